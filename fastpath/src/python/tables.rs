//! The tables that the threads and Python share, with the methods of their Python twins.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::calls::CallTable;
use crate::ledger::lock;
use crate::outcome::{CallFact, CallStep};
use crate::recent::DEFAULT_ENTRIES;
use crate::sent::{KEPT, SentBranches, number_of};
use crate::unanswered::Unanswered;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyCallTable>()?;
    module.add_class::<PySentBranches>()?;
    module.add_class::<PyUnanswered>()
}

/// `dispatcher.callload.CallTable`.
#[pyclass(name = "CallTable", module = "dispatcher._fastpath", frozen)]
pub struct PyCallTable {
    /// Shared with the threads.
    pub table: Arc<Mutex<CallTable>>,
}

#[pymethods]
impl PyCallTable {
    #[new]
    #[pyo3(signature = (entries = DEFAULT_ENTRIES))]
    fn new(entries: usize) -> Self {
        PyCallTable {
            table: Arc::new(Mutex::new(CallTable::new(entries))),
        }
    }

    fn __len__(&self) -> usize {
        lock(&self.table).len()
    }

    #[getter]
    fn entries(&self) -> usize {
        lock(&self.table).entries()
    }

    fn active(&self, number: u32) -> u64 {
        lock(&self.table).active(number)
    }

    fn begun(&self, number: u32) -> u64 {
        lock(&self.table).begun(number)
    }

    fn begun_by_number(&self) -> std::collections::HashMap<u32, u64> {
        lock(&self.table).begun_by_number().into_iter().collect()
    }

    fn forget(&self, number: u32) {
        lock(&self.table).forget(number);
    }

    fn idle_since(&self, number: u32) -> f64 {
        lock(&self.table)
            .idle_since(number)
            .unwrap_or(f64::NEG_INFINITY)
    }

    fn note(&self, fact: &Bound<'_, PyAny>, number: Option<u32>, now: f64) -> PyResult<()> {
        let key = fact.getattr("key")?.extract()?;
        let step = fact
            .getattr("step")?
            .getattr("value")?
            .extract::<String>()?;
        let step = match step.as_str() {
            "begin" => CallStep::Begin,
            "answered" => CallStep::Answered,
            "going" => CallStep::Going,
            "challenged" => CallStep::Challenged,
            "failed" => CallStep::Failed,
            "end" => CallStep::End,
            _ => return Err(PyValueError::new_err(step)),
        };
        lock(&self.table).note(CallFact { key, step }, number, now);
        Ok(())
    }

    fn expire(&self, now: f64) -> bool {
        lock(&self.table).expire(now)
    }

    fn expire_all(&self, now: f64) -> Expiring {
        Expiring {
            table: Arc::clone(&self.table),
            now,
        }
    }
}

/// The steps of `CallTable.expire_all`.
#[pyclass(module = "dispatcher._fastpath", frozen)]
pub struct Expiring {
    table: Arc<Mutex<CallTable>>,
    now: f64,
}

#[pymethods]
impl Expiring {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.table).expire(self.now).then(|| py.None())
    }
}

/// `dispatcher.sent.SentBranches`.
#[pyclass(name = "SentBranches", module = "dispatcher._fastpath", frozen)]
pub struct PySentBranches {
    /// Shared with the threads.
    pub table: Arc<Mutex<SentBranches>>,
}

#[pymethods]
impl PySentBranches {
    #[new]
    #[pyo3(signature = (kept = KEPT))]
    fn new(kept: usize) -> Self {
        PySentBranches {
            table: Arc::new(Mutex::new(SentBranches::new(kept))),
        }
    }

    fn remember(&self, address: (&str, u16), payload: &[u8]) {
        if let (Some(address), Some(branch)) =
            (socket_address(address), crate::sent::branch_of(payload))
        {
            lock(&self.table).remember(address, branch);
        }
    }

    fn was_sent(&self, address: (&str, u16), quoted: &[u8]) -> bool {
        socket_address(address).is_some_and(|address| lock(&self.table).was_sent(address, quoted))
    }

    fn went(&self, address: (&str, u16), branch: &[u8]) -> bool {
        match (socket_address(address), number_of(branch)) {
            (Some(address), Some(branch)) => lock(&self.table).went(address, branch),
            _ => false,
        }
    }
}

/// `health.unanswered.Unanswered`.
#[pyclass(name = "Unanswered", module = "dispatcher._fastpath", frozen)]
pub struct PyUnanswered {
    /// Shared with the threads.
    pub table: Arc<Mutex<Unanswered>>,
}

#[pymethods]
impl PyUnanswered {
    #[new]
    fn new() -> Self {
        PyUnanswered {
            table: Arc::default(),
        }
    }

    fn sent(&self, number: u32, now: f64) {
        lock(&self.table).sent(number, now);
    }

    fn answered(&self, number: u32) {
        lock(&self.table).answered(number);
    }

    fn overdue<'py>(
        &self,
        py: Python<'py>,
        now: f64,
    ) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
        let found = lock(&self.table).overdue(now);
        pyo3::types::PyTuple::new(py, found)
    }
}

/// `None` for a host that is no address, which is where nothing was sent.
fn socket_address((host, port): (&str, u16)) -> Option<SocketAddr> {
    Some(SocketAddr::new(host.parse().ok()?, port))
}
