//! The engine as Python has it: started and stopped by `dispatcher.service`, which takes what waits for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::image::{Image, RecentChoices};
use super::limits::PyLimits;
use super::tables::{PyCallTable, PySentBranches, PyUnanswered};
use crate::engine::Engine;
use crate::handover::News;
use crate::ledger::Tables;
use crate::pipeline::Pipeline;
use crate::recent;
use crate::socket::NetworkError;

/// An address as Python has it.
type Address = (String, u16);
type Message<'py> = (Bound<'py, PyBytes>, Address, usize);
/// The fields of `health.errorqueue.SocketError` in their order.
type Error<'py> = (
    Option<Address>,
    u32,
    u8,
    u8,
    u8,
    u32,
    Option<String>,
    Bound<'py, PyBytes>,
);
type Taken<'py> = (
    Vec<Message<'py>>,
    Vec<Error<'py>>,
    Vec<(u32, u32)>,
    Vec<(String, String)>,
    Vec<String>,
);
/// Number; requests, replies by first digit less one, when last seen; samples by bucket and their sum.
type Traffic = (u32, u64, [u64; 6], f64, Vec<u64>, f64);
type Counted = (
    u64,
    u64,
    u64,
    HashMap<&'static str, u64>,
    HashMap<i32, u64>,
    HashMap<u32, u64>,
    Vec<Traffic>,
);

/// The threads of the packet path.
#[pyclass(name = "Engine", module = "dispatcher._fastpath", frozen)]
pub struct PyEngine {
    engine: Engine,
    recent: Arc<recent::RecentChoices>,
}

#[pymethods]
impl PyEngine {
    #[new]
    #[pyo3(signature = (listeners, image, recent, calls, sent, unanswered, limits, workers))]
    #[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)] // what PyO3 extracts it owns; Python hands in each table
    fn new(
        listeners: Vec<RawFd>,
        image: &Image,
        recent: &RecentChoices,
        calls: &PyCallTable,
        sent: &PySentBranches,
        unanswered: &PyUnanswered,
        limits: &PyLimits,
        workers: usize,
    ) -> PyResult<Self> {
        let tables = Tables {
            calls: Arc::clone(&calls.table),
            sent: Arc::clone(&sent.table),
            unanswered: Arc::clone(&unanswered.table),
            limits: Arc::clone(&limits.shared),
        };
        let recent = Arc::clone(&recent.0);
        let engine = Engine::new(
            &listeners,
            Arc::clone(&image.0),
            Arc::clone(&recent),
            tables,
            workers,
        )?;
        Ok(PyEngine { engine, recent })
    }

    /// Readable while something waits to be taken.
    fn fileno(&self) -> RawFd {
        self.engine.handover().bell().as_raw_fd()
    }

    /// Start the threads; `now` is the moment on the caller's clock.
    fn start(&self, now: f64) -> PyResult<()> {
        Ok(self
            .engine
            .start(now, || Pipeline::new(Arc::clone(&self.recent)))?)
    }

    /// End the threads, once what the kernel holds has been dealt with or, `at_once`, now.
    #[pyo3(signature = (*, at_once = false))]
    fn stop(&self, py: Python<'_>, at_once: bool) {
        py.detach(|| self.engine.stop(at_once));
    }

    /// Decide by this image from the next batch on.
    fn swap(&self, image: &Image) {
        self.engine.swap(Arc::clone(&image.0));
    }

    /// Up to `limit` messages and all else that waits; what was taken before has been dealt with.
    fn take<'py>(&self, py: Python<'py>, limit: usize) -> Taken<'py> {
        let taken = self.engine.handover().take(limit);
        let messages = taken
            .messages
            .iter()
            .map(|each| {
                (
                    PyBytes::new(py, &each.payload),
                    address(each.source),
                    each.arrival,
                )
            })
            .collect();
        let errors = taken.errors.iter().map(|each| error(py, each)).collect();
        let (mut busy, mut mistakes, mut deaf) = (Vec::new(), Vec::new(), Vec::new());
        for each in taken.news {
            match each {
                News::Busy(number, seconds) => busy.push((number, seconds)),
                News::Mistake(source, text) => mistakes.push((source.ip().to_string(), text)),
                News::Deaf(why) => deaf.push(why),
            }
        }
        (messages, errors, busy, mistakes, deaf)
    }

    /// What was taken has been dealt with.
    fn done(&self) {
        self.engine.handover().done();
    }

    /// How many messages wait to be taken.
    fn waiting(&self) -> usize {
        self.engine.handover().waiting()
    }

    /// What the threads have counted.
    fn counted(&self, py: Python<'_>) -> Counted {
        let counters = py.detach(|| self.engine.counters());
        let traffic = counters
            .destinations
            .into_iter()
            .map(|(number, each)| {
                (
                    number,
                    each.requests,
                    each.replies,
                    each.last_seen,
                    each.answers.to_vec(),
                    each.answer_total,
                )
            })
            .collect();
        (
            counters.received,
            counters.received_bytes,
            counters.forwarded,
            counters.dropped.into_iter().collect(),
            counters.unsent.into_iter().collect(),
            counters.network_errors.into_iter().collect(),
            traffic,
        )
    }

    /// Begin anew with what is counted of a destination.
    fn forget(&self, number: u32) {
        self.engine.forget(number);
    }
}

fn address(address: SocketAddr) -> Address {
    (address.ip().to_string(), address.port())
}

fn error<'py>(py: Python<'py>, error: &NetworkError) -> Error<'py> {
    (
        error.address.map(address),
        error.errno,
        error.origin,
        error.kind,
        error.code,
        error.info,
        error.offender.map(|offender| offender.to_string()),
        PyBytes::new(py, &error.quoted),
    )
}
