//! The one door to the interpreter: `dispatcher._fastpath`.  A file for each thing that Python sees.

use pyo3::prelude::*;

mod decide;
pub mod engine;
pub mod image;
pub mod limits;
pub mod tables;

/// What this module has, as Python reads it.
const STUB: &[u8] = include_bytes!("../../dispatcher/_fastpath.pyi");

#[pymodule]
fn _fastpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Python takes a module of its own version only, and only one that has what its stub says: a module may be left from
    // a build of older sources.
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("STUB_CRC32", crc32fast::hash(STUB))?;
    decide::register(module)?;
    image::register(module)?;
    module.add_class::<limits::PyLimits>()?;
    tables::register(module)?;
    module.add_class::<engine::PyEngine>()
}
