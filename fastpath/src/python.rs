//! The one door to the interpreter: `dispatcher._fastpath`.

use pyo3::prelude::*;

#[pymodule]
fn _fastpath(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
