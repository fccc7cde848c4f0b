//! The one door to the interpreter: `dispatcher._fastpath`.  A file for each thing that Python sees.

use pyo3::prelude::*;

mod decide;
pub mod engine;
pub mod image;
pub mod limits;
pub mod tables;

#[pymodule]
fn _fastpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Python takes a module of its own version only.
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    decide::register(module)?;
    image::register(module)?;
    module.add_class::<limits::PyLimits>()?;
    tables::register(module)?;
    module.add_class::<engine::PyEngine>()
}
