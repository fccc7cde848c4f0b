//! `_fastpath.Limits`: the limits and the bans, with the methods of Python's `dispatcher.limits.SourceLimits`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{Ban, Limits, Over, Policy, SOURCES, Span, Verdict, span_of};

/// The limits and the bans; `shared` is what the workers have of them.
#[pyclass(name = "Limits", frozen, module = "dispatcher._fastpath")]
pub struct PyLimits {
    /// Read by every worker, changed by Python.
    pub shared: Arc<Limits>,
    policy: Mutex<Py<PyAny>>,
    classes: Classes,
}

/// What Python is answered with.
struct Classes {
    limited: Py<PyAny>,
    banned: Py<PyAny>,
    ban: Py<PyAny>,
    over: Py<PyAny>,
    policy: Py<PyAny>,
}

impl Classes {
    fn import(py: Python<'_>) -> PyResult<Self> {
        let limits = py.import("dispatcher.limits")?;
        let reasons = py.import("dispatcher.outcome")?.getattr("DropReason")?;
        Ok(Self {
            limited: reasons.getattr("LIMITED")?.unbind(),
            banned: reasons.getattr("BANNED")?.unbind(),
            ban: limits.getattr("Ban")?.unbind(),
            over: limits.getattr("Over")?.unbind(),
            policy: limits.getattr("LimitPolicy")?.unbind(),
        })
    }
}

#[pymethods]
impl PyLimits {
    #[new]
    #[pyo3(signature = (policy=None, *, seed, sources=SOURCES))]
    fn new(
        py: Python<'_>,
        policy: Option<Bound<'_, PyAny>>,
        seed: &[u8],
        sources: usize,
    ) -> PyResult<Self> {
        let seed = seed
            .try_into()
            .map_err(|_| PyValueError::new_err("a seed has 16 bytes"))?;
        let classes = Classes::import(py)?;
        let policy = match policy {
            Some(policy) => policy,
            None => classes.policy.bind(py).call0()?,
        };
        Ok(Self {
            shared: Arc::new(Limits::new(read_policy(&policy)?, seed, sources)),
            policy: Mutex::new(policy.unbind()),
            classes,
        })
    }

    #[getter]
    fn active(&self) -> bool {
        self.shared.is_active()
    }

    #[getter]
    fn policy(&self, py: Python<'_>) -> Py<PyAny> {
        self.policy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_ref(py)
    }

    #[getter]
    fn begun(&self) -> u64 {
        self.shared.begun()
    }

    fn change(&self, policy: Bound<'_, PyAny>) -> PyResult<()> {
        self.shared.change(read_policy(&policy)?);
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy.unbind();
        Ok(())
    }

    fn admit(&self, py: Python<'_>, host: &str, now: f64) -> PyResult<Option<Py<PyAny>>> {
        Ok(match self.shared.admit(read_address(host)?, now) {
            Verdict::Admitted => None,
            Verdict::Limited => Some(self.classes.limited.clone_ref(py)),
            Verdict::Banned => Some(self.classes.banned.clone_ref(py)),
        })
    }

    fn ban<'py>(
        &self,
        network: &Bound<'py, PyAny>,
        seconds: f64,
        cause: String,
        now: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.shared.ban(read_span(network)?, seconds, cause, now) {
            Ok(ban) => self.ban_value(network.py(), &ban),
            Err(full) => Err(PyValueError::new_err(full.to_string())),
        }
    }

    fn unban<'py>(
        &self,
        network: &Bound<'py, PyAny>,
        now: f64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.shared
            .unban(read_span(network)?, now)
            .map(|ban| self.ban_value(network.py(), &ban))
            .transpose()
    }

    fn bans<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyTuple>> {
        self.ban_values(py, &self.shared.bans(now))
    }

    fn take_begun<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.ban_values(py, &self.shared.take_begun())
    }

    fn expire<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyTuple>> {
        self.ban_values(py, &self.shared.expire(now))
    }

    fn banned(&self, now: f64) -> usize {
        self.shared.banned(now)
    }

    fn over(&self, now: f64) -> usize {
        self.shared.over(now)
    }

    fn top<'py>(&self, py: Python<'py>, count: usize, now: f64) -> PyResult<Bound<'py, PyTuple>> {
        let found: PyResult<Vec<_>> = self
            .shared
            .top(count, now)
            .iter()
            .map(|over| self.over_value(py, over))
            .collect();
        PyTuple::new(py, found?)
    }
}

impl PyLimits {
    fn ban_values<'py>(&self, py: Python<'py>, bans: &[Ban]) -> PyResult<Bound<'py, PyTuple>> {
        let values: PyResult<Vec<_>> = bans.iter().map(|ban| self.ban_value(py, ban)).collect();
        PyTuple::new(py, values?)
    }

    fn ban_value<'py>(&self, py: Python<'py>, ban: &Ban) -> PyResult<Bound<'py, PyAny>> {
        let named = PyDict::new(py);
        named.set_item("source", &ban.source)?;
        named.set_item("since", ban.since)?;
        named.set_item("until", ban.until)?;
        named.set_item("cause", &ban.cause)?;
        named.set_item("dropped", ban.dropped)?;
        self.classes.ban.bind(py).call((), Some(&named))
    }

    fn over_value<'py>(&self, py: Python<'py>, over: &Over) -> PyResult<Bound<'py, PyAny>> {
        let named = PyDict::new(py);
        named.set_item("source", &over.source)?;
        named.set_item("since", over.since)?;
        named.set_item("dropped", over.dropped)?;
        self.classes.over.bind(py).call((), Some(&named))
    }
}

/// `dispatcher.limits.LimitPolicy`.
fn read_policy(policy: &Bound<'_, PyAny>) -> PyResult<Policy> {
    let allow: PyResult<Vec<Span>> = policy
        .getattr("allow")?
        .try_iter()?
        .map(|network| read_span(&network?))
        .collect();
    Ok(Policy {
        rate: policy.getattr("rate")?.extract()?,
        room: policy.getattr("room")?.extract()?,
        ban_after: policy.getattr("ban_after")?.extract()?,
        ban_for: policy.getattr("ban_for")?.extract()?,
        cause: policy.getattr("cause")?.extract()?,
        allow: allow?,
    })
}

/// A network of `ipaddress`.
fn read_span(network: &Bound<'_, PyAny>) -> PyResult<Span> {
    let first = network.getattr("network_address")?.str()?;
    let last = network.getattr("broadcast_address")?.str()?;
    Ok(span_of(
        read_address(&first.to_cow()?)?,
        read_address(&last.to_cow()?)?,
    ))
}

fn read_address(host: &str) -> PyResult<IpAddr> {
    host.parse()
        .map_err(|_| PyValueError::new_err(format!("{host:?} is not a numeric address")))
}
