//! What does one datagram become?  The pipeline for tests: each answer as a tuple.

use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::image::{Image, RecentChoices};
use crate::counters::label;
use crate::decide::{Scratch, decide as decided};
use crate::outcome::{CallStep, Decision, Forward};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decide, module)?)
}

/// `("hand-over", order)`, `("drop", label)`, or `"forward"` and the fields of Python's `Forward` in their order.
///
/// The fact is its key and the value of its step; the branch is a number, of a request too.
#[pyfunction]
fn decide<'py>(
    py: Python<'py>,
    image: &Image,
    recent: &RecentChoices,
    datagram: &[u8],
    source: (&str, u16),
    arrival: usize,
    now: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let host: IpAddr = source
        .0
        .parse()
        .map_err(|_| PyValueError::new_err("the source is no numeric address"))?;
    let mut out = Vec::new();
    let decision = decided(
        &image.0,
        &recent.0,
        &mut Scratch::new(),
        datagram,
        SocketAddr::new(host, source.1),
        arrival,
        now,
        &mut out,
    );
    let told = match decision {
        Decision::HandOver(order) => ("hand-over", order).into_pyobject(py)?.into_any(),
        Decision::Drop(reason) => ("drop", label(reason)).into_pyobject(py)?.into_any(),
        Decision::Forward(forward) => told(py, &forward, &out)?,
    };
    Ok(told)
}

fn told<'py>(
    py: Python<'py>,
    forward: &Forward<'_>,
    payload: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let fact = forward.call.map(|call| (call.key, step(call.step)));
    let fields = (
        "forward",
        PyBytes::new(py, payload),
        (forward.address.ip().to_string(), forward.address.port()),
        forward.listener,
        forward.destination,
        forward.remember,
        forward.status,
        PyBytes::new(py, forward.method),
        fact,
        forward.elapsed,
        forward.retry_after,
        forward.branch,
    );
    Ok(fields.into_pyobject(py)?.into_any())
}

fn step(step: CallStep) -> &'static str {
    match step {
        CallStep::Begin => "begin",
        CallStep::Answered => "answered",
        CallStep::Going => "going",
        CallStep::Challenged => "challenged",
        CallStep::Failed => "failed",
        CallStep::End => "end",
    }
}
