//! The one door to the interpreter: `dispatcher._fastpath`.

use pyo3::prelude::*;

#[pymodule]
fn _fastpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Python takes a module of its own version only.
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
