//! The image and the table of recent choices as Python sees them: `dispatcher.flat` fills one, both paths share the other.

#![allow(clippy::needless_pass_by_value)] // what Python hands over is taken by value

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::image::{self, Algorithm, Fixed, ForceRport, Kind, Table, Way};
use crate::keyed::Key;
use crate::places::Hosts;
use crate::recent::{self, DEFAULT_ENTRIES};
use crate::rules::Rule;
use crate::select::{self, TABLE_SIZE};
use crate::value::parse_host;

/// Place of the pool (none: no such set), what the choice is keyed on, place of the ranking, salt.
type PyWay = (Option<usize>, String, usize, u64);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Draft>()?;
    module.add_class::<Image>()?;
    module.add_class::<RecentChoices>()
}

/// An image that is being made: each call is a step of a microsecond or less.
#[pyclass(module = "dispatcher._fastpath")]
pub struct Draft(Option<Fixed>);

impl Draft {
    fn fixed(&mut self) -> PyResult<&mut Fixed> {
        self.0
            .as_mut()
            .ok_or_else(|| PyRuntimeError::new_err("the image has been made"))
    }
}

#[pymethods]
impl Draft {
    #[new]
    fn new(keys: Vec<PyBackedBytes>) -> PyResult<Self> {
        let keys = keys
            .iter()
            .map(|key| Key::try_from(&key[..]))
            .collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|_| PyValueError::new_err("a key has 16 bytes"))?;
        if keys.is_empty() {
            return Err(PyValueError::new_err("there is no key"));
        }
        Ok(Draft(Some(Fixed::new(keys))))
    }

    fn set_policy(
        &mut self,
        aor_domain: bool,
        rewrite_host: bool,
        force_rport: &str,
    ) -> PyResult<()> {
        let fixed = self.fixed()?;
        fixed.aor_domain = aor_domain;
        fixed.rewrite_host = rewrite_host;
        fixed.force_rport = match force_rport {
            "nat" => ForceRport::Nat,
            "always" => ForceRport::Always,
            "never" => ForceRport::Never,
            _ => return Err(PyValueError::new_err(format!("force_rport {force_rport}"))),
        };
        Ok(())
    }

    /// The host may be link-local, with its interface behind `%`: no message ever names that.
    fn add_listener(&mut self, host: &str, port: u16, sent_by: &[u8], inner: bool) -> PyResult<()> {
        let host = host.split('%').next().unwrap_or(host);
        self.fixed()?
            .add_listener(SocketAddr::new(numeric(host)?, port), sent_by, inner);
        Ok(())
    }

    fn add_own(&mut self, host: &str, port: u16, place: usize) -> PyResult<()> {
        self.fixed()?.add_own(host, port, place);
        Ok(())
    }

    fn add_own_name(&mut self, host: &str) -> PyResult<()> {
        self.fixed()?.add_own_name(host);
        Ok(())
    }

    fn add_domain(&mut self, host: &str) -> PyResult<()> {
        self.fixed()?.domains.add(host);
        Ok(())
    }

    fn add_core_network(&mut self, first: &str, last: &str) -> PyResult<()> {
        let network = (numeric(first)?, numeric(last)?);
        self.fixed()?.core_networks.push(network);
        Ok(())
    }

    /// The tables are kept as they are, not copied.
    fn add_pool(&mut self, set_id: i64, tables: Vec<Option<PyBackedBytes>>) -> PyResult<()> {
        if tables
            .iter()
            .flatten()
            .any(|table| table.len() != TABLE_SIZE)
        {
            return Err(PyValueError::new_err(format!(
                "a slot table has {TABLE_SIZE} bytes"
            )));
        }
        let tables = tables
            .into_iter()
            .map(|table| table.map(|table| Arc::new(table) as Table));
        self.fixed()?.add_pool(set_id, tables.collect());
        Ok(())
    }

    fn add_destination(
        &mut self,
        host: &str,
        port: u16,
        number: u32,
        socket: Option<usize>,
    ) -> PyResult<()> {
        let address = SocketAddr::new(numeric(host)?, port);
        self.fixed()?.add_destination(address, number, socket);
        Ok(())
    }

    fn add_listed(&mut self, host: &str, port: u16, place: usize) -> PyResult<()> {
        self.fixed()?.add_listed(host, port, place);
        Ok(())
    }

    fn set_default(&mut self, way: PyWay) -> PyResult<()> {
        self.fixed()?.default = read_way(way)?;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // as many as a rule has conditions
    fn add_rule(
        &mut self,
        methods: Vec<PyBackedBytes>,
        user_prefixes: Vec<PyBackedBytes>,
        has_regex: bool,
        hosts: Vec<String>,
        sources: Vec<(String, String)>,
        listeners: Option<Vec<usize>>,
        way: PyWay,
    ) -> PyResult<()> {
        let mut rule = Rule::new(read_way(way)?);
        rule.methods = methods.iter().map(|method| method[..].into()).collect();
        rule.user_prefixes = user_prefixes
            .iter()
            .map(|prefix| prefix[..].into())
            .collect();
        rule.has_regex = has_regex;
        rule.hosts = hosts.iter().fold(Hosts::default(), |mut all, host| {
            all.add(host);
            all
        });
        for (first, last) in sources {
            rule.sources.push((numeric(&first)?, numeric(&last)?));
        }
        rule.listeners = listeners;
        self.fixed()?.rules.push(rule);
        Ok(())
    }

    /// The image; nothing can be added after that.
    fn finish(&mut self, version: u64, liveness: &[u8], ramp: &[u8]) -> PyResult<Image> {
        let fixed = self
            .0
            .take()
            .ok_or_else(|| PyRuntimeError::new_err("the image has been made"))?;
        Image::make(version, Arc::new(fixed), liveness, ramp)
    }
}

/// Everything that decides where a message goes; immutable.
#[pyclass(frozen, module = "dispatcher._fastpath")]
pub struct Image(pub Arc<image::Image>);

impl Image {
    fn make(version: u64, fixed: Arc<Fixed>, liveness: &[u8], ramp: &[u8]) -> PyResult<Self> {
        let count = fixed.destinations.len();
        if liveness.len() != count || !(ramp.is_empty() || ramp.len() == count) {
            return Err(PyValueError::new_err(format!(
                "not one byte for each of {count} destinations"
            )));
        }
        Ok(Image(Arc::new(image::Image {
            version,
            fixed,
            liveness: liveness.into(),
            ramp: ramp.into(),
        })))
    }
}

#[pymethods]
impl Image {
    #[getter]
    fn version(&self) -> u64 {
        self.0.version
    }

    /// The same list with other liveness: what the list makes is shared.
    fn with_liveness(&self, version: u64, liveness: &[u8], ramp: &[u8]) -> PyResult<Image> {
        Image::make(version, Arc::clone(&self.0.fixed), liveness, ramp)
    }

    fn is_core(&self, host: &str) -> PyResult<bool> {
        Ok(self.0.is_core(numeric(host)?))
    }

    /// The host as a URI has it: IPv6 in brackets.
    fn listed(&self, host: &[u8], port: u16) -> Option<usize> {
        self.0.listed(parse_host(host)?, port)
    }

    fn own_listener(&self, host: &[u8], port: u16) -> Option<usize> {
        self.0.own_listener(parse_host(host)?, port)
    }

    fn listener_for(&self, host: &str, preferred: usize) -> PyResult<Option<usize>> {
        Ok(self.0.listener_for(numeric(host)?, preferred))
    }

    fn listener_outward(&self, host: &str, arrival: usize) -> PyResult<Option<usize>> {
        Ok(self.0.listener_outward(numeric(host)?, arrival))
    }

    fn is_usable(&self, place: usize) -> bool {
        self.0.is_usable(place)
    }

    /// The place of the destination that new work with this digest is for, as far as a slot's known places tell.
    fn choose(&self, way: PyWay, digest: u64, register: bool) -> PyResult<Option<usize>> {
        Ok(select::choose(&self.0, &read_way(way)?, digest, register))
    }
}

/// The table of recent choices (`dispatcher.recent.RecentChoices`) that all threads share with Python.
#[pyclass(frozen, module = "dispatcher._fastpath")]
pub struct RecentChoices(pub Arc<recent::RecentChoices>);

#[pymethods]
impl RecentChoices {
    #[new]
    #[pyo3(signature = (entries = DEFAULT_ENTRIES))]
    fn new(entries: usize) -> Self {
        RecentChoices(Arc::new(recent::RecentChoices::new(entries)))
    }

    #[getter]
    fn entries(&self) -> usize {
        self.0.entries()
    }

    fn lookup(&self, key: u64, now: f64) -> Option<u32> {
        self.0.lookup(key, now)
    }

    fn remember(&self, key: u64, number: u32, now: f64) {
        self.0.remember(key, number, now);
    }

    /// A copy of the flat array.
    #[getter]
    fn words<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes: Vec<u8> = self.0.words().flat_map(u64::to_ne_bytes).collect();
        py.import("array")?
            .getattr("array")?
            .call1(("Q", PyBytes::new(py, &bytes)))
    }
}

fn numeric(host: &str) -> PyResult<IpAddr> {
    host.parse()
        .map_err(|_| PyValueError::new_err(format!("{host} is no address")))
}

fn read_way((pool, kind, table, salt): PyWay) -> PyResult<Way> {
    let kind = match &kind[..] {
        "call-id" => Kind::CallId,
        "from" => Kind::From,
        "to" => Kind::To,
        "request-uri" => Kind::RequestUri,
        "aor" => Kind::Aor,
        "" => Kind::Other,
        _ => return Err(PyValueError::new_err(format!("nothing is keyed on {kind}"))),
    };
    let algorithm = Algorithm { kind, table };
    Ok(Way {
        pool,
        algorithm,
        salt,
    })
}
