//! What does the packet path know?  A flat copy of Python's `dispatcher.snapshot.Snapshot`, with its version number.
//!
//! `Fixed` is what a list and a configuration make; `Image` adds what changes with every verdict.  Both are immutable:
//! Python makes the next one and swaps it in.

use rustc_hash::{FxHashMap, FxHashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::keyed::{Key, Use, digest, with_host};
use crate::places::{Addresses, Hosts, Places};
use crate::rules::Rule;
use crate::value::{Host, Uri};
use crate::written;

/// Bit of a liveness code: may be chosen for new work (`health.board`).
pub const NEW_WORK: u8 = 1;
/// Bit of a liveness code: keeps what was given to it.
pub const OLD_WORK: u8 = 2;

/// Four indexes a slot, little-endian 16 bits.  The bytes may be Python's own: half a megabyte is not copied.
pub type Table = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A listener: where messages arrive and leave.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What the socket is bound to.
    pub address: SocketAddr,
    /// `host:port` for Via and Record-Route.
    pub sent_by: Box<[u8]>,
    /// CRC-32 of `sent_by` in eight hexadecimal digits: what the `i` parameter of our Via says.
    pub mark: [u8; 8],
    /// Whether the list names it with `socket`: it is toward the servers.
    pub inner: bool,
}

/// A destination of any set.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// Where its server is.
    pub address: SocketAddr,
    /// What the table of recent choices knows it by.
    pub number: u32,
    /// The listener that its `socket` attribute asks for.
    pub socket: Option<usize>,
}

/// What a choice is keyed on (`dispatcher.algorithm.Kind`); the kinds that this crate does not choose by are `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    /// `weight`, `call-id`, `relative-weight`, `tiers`, `priority`: keyed on the Call-ID.
    CallId,
    From,
    To,
    RequestUri,
    Aor,
    /// `random`, `round-robin`, `latency`, `call-load`, `auth-user`, `header`: Python chooses, unless a choice is remembered.
    Other,
}

/// A way of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// What it is keyed on.
    pub kind: Kind,
    /// The place of its ranking among a pool's tables.
    pub table: usize,
}

/// Where a dispatched request is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Place of the pool, `None` when the list has no such set.
    pub pool: Option<usize>,
    /// How it is chosen from.
    pub algorithm: Algorithm,
    /// 64 bits to combine with a Call-ID's digest; there is one whether the list has the set or not.
    pub salt: u64,
}

/// A set of destinations.
pub struct Pool {
    /// The number of the set.
    pub set_id: i64,
    /// Where it begins in `Fixed::destinations`.
    pub start: usize,
    /// How many destinations it has.
    pub count: usize,
    /// By ranking; `None` where no table was built.
    pub tables: Vec<Option<Table>>,
}

/// When a sender is asked to say where it is heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ForceRport {
    Nat,
    Always,
    Never,
}

/// What the list and the configuration make.  It is filled by the methods below, listeners first.
pub struct Fixed {
    /// Hash keys of the secrets, the current one first; at least one.
    pub keys: Vec<Key>,
    /// In the order of the snapshot.
    pub listeners: Vec<Listener>,
    /// Of all sets, one set after the other.
    pub destinations: Vec<Destination>,
    /// The sets.
    pub pools: Vec<Pool>,
    /// Where requests are led that no rule matches.
    pub default: Way,
    /// In their order.
    pub rules: Vec<Rule>,
    /// `Snapshot._core_hosts`.
    pub core_hosts: Addresses,
    /// `core_networks`: first and last address of each.
    pub core_networks: Vec<(IpAddr, IpAddr)>,
    /// `Snapshot._listed`.
    pub listed: Places<usize>,
    /// `Snapshot._own`.
    pub own: Places<usize>,
    /// `Snapshot._own_names`: what means us without a port.
    pub own_names: Hosts,
    /// `policy.domains`.
    pub domains: Hosts,
    /// `Snapshot._own_ports`.
    pub own_ports: FxHashSet<u16>,
    /// Places by number.
    pub by_number: FxHashMap<u32, usize>,
    /// `aor_domain`.
    pub aor_domain: bool,
    /// `rewrite_host`.
    pub rewrite_host: bool,
    /// `force_rport`.
    pub force_rport: ForceRport,
    /// The hosts that nearly all requests ask for, hashed beforehand.
    known_whom: Places<u64>,
}

/// Everything that decides where a message goes.
#[derive(Clone)]
pub struct Image {
    /// The snapshot's version.
    pub version: u64,
    /// What the list makes.
    pub fixed: Arc<Fixed>,
    /// One byte a destination, coded as `health.board`, in the order of `Fixed::destinations`.
    pub liveness: Arc<[u8]>,
    /// How many of 256 keys each destination takes, 255 for all; empty when nobody warms up.
    pub ramp: Arc<[u8]>,
}

/// What a remembered choice means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It goes to the destination at this place, and the choice is not remembered again.
    There(usize),
    /// It is chosen for anew.
    Anew,
    /// The list has lost the destination: Python knows whether it is followed.
    HandOver,
}

impl Fixed {
    /// Without listeners, destinations and rules: everything is handed over.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Fixed {
            keys,
            listeners: Vec::new(),
            destinations: Vec::new(),
            pools: Vec::new(),
            default: Way {
                pool: None,
                algorithm: Algorithm {
                    kind: Kind::Other,
                    table: 0,
                },
                salt: 0,
            },
            rules: Vec::new(),
            core_hosts: Addresses::default(),
            core_networks: Vec::new(),
            listed: Places::default(),
            own: Places::default(),
            own_names: Hosts::default(),
            domains: Hosts::default(),
            own_ports: FxHashSet::default(),
            by_number: FxHashMap::default(),
            aor_domain: false,
            rewrite_host: false,
            force_rport: ForceRport::Nat,
            known_whom: Places::default(),
        }
    }

    /// A listener after those that there are.
    pub fn add_listener(&mut self, address: SocketAddr, sent_by: &[u8], inner: bool) {
        self.listeners.push(Listener {
            address,
            sent_by: sent_by.into(),
            mark: written::hex32(crc32fast::hash(sent_by)),
            inner,
        });
    }

    /// A host and port that mean the listener at `place`.
    pub fn add_own(&mut self, host: &str, port: u16, place: usize) {
        self.own.add(host, port, place);
        self.own_ports.insert(port);
        self.know_whom(host, port);
    }

    /// A host, in lower case, that means us without a port.
    pub fn add_own_name(&mut self, host: &str) {
        self.own_names.add(host);
        self.know_whom(host, 5060);
    }

    /// A set, behind the destinations that there are; those that are added now are its own.
    pub fn add_pool(&mut self, set_id: i64, tables: Vec<Option<Table>>) {
        self.pools.push(Pool {
            set_id,
            start: self.destinations.len(),
            count: 0,
            tables,
        });
    }

    /// A destination of the last set.
    pub fn add_destination(&mut self, address: SocketAddr, number: u32, socket: Option<usize>) {
        self.by_number.insert(number, self.destinations.len());
        self.core_hosts.add(address.ip());
        self.destinations.push(Destination {
            address,
            number,
            socket,
        });
        if let Some(pool) = self.pools.last_mut() {
            pool.count += 1;
        }
    }

    /// A host and port by which the list knows the destination at `place`.
    pub fn add_listed(&mut self, host: &str, port: u16, place: usize) {
        self.listed.add(host, port, place);
    }

    fn know_whom(&mut self, host: &str, port: u16) {
        if let Some(key) = self.keys.first() {
            let hash = whom(key, host.as_bytes(), port);
            self.known_whom.add(host, port, hash);
        }
    }
}

impl Image {
    /// The current hash key.
    #[must_use]
    pub fn key(&self) -> &Key {
        // An image without a key is refused where it is made.
        self.fixed.keys.first().unwrap_or(&[0; 16])
    }

    /// Whether an address is on the core side.
    #[must_use]
    pub fn is_core(&self, host: IpAddr) -> bool {
        self.fixed.core_hosts.contains(host)
            || self
                .fixed
                .core_networks
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&host))
    }

    /// The place of the destination that the list has under this host (as written, or numeric) and port.
    #[must_use]
    pub fn listed(&self, host: Host<'_>, port: u16) -> Option<usize> {
        self.fixed.listed.get(host, port)
    }

    /// The place of the listener with this address or advertised name.
    #[must_use]
    pub fn own_listener(&self, host: Host<'_>, port: u16) -> Option<usize> {
        self.fixed.own.get(host, port)
    }

    /// Whether a URI means this proxy, without a look-up; `None` when that hangs on the port of another transport.
    #[must_use]
    pub fn is_own_name(&self, uri: &Uri<'_>) -> Option<bool> {
        let port = uri.port.or(uri.udp.then_some(5060))?;
        if self.listed(uri.host, port).is_some() {
            return Some(false);
        }
        if self.own_listener(uri.host, port).is_some() {
            return Some(true);
        }
        Some(match uri.port {
            None => self.fixed.own_names.contains(uri.host),
            Some(port) => {
                self.fixed.own_ports.contains(&port) && self.fixed.domains.contains(uri.host)
            }
        })
    }

    /// The listener to leave by: the preferred one if it has the family of `host`, else the first that has it.
    #[must_use]
    pub fn listener_for(&self, host: IpAddr, preferred: usize) -> Option<usize> {
        let listeners = &self.fixed.listeners;
        if listeners.get(preferred)?.fits(host) {
            return Some(preferred);
        }
        listeners.iter().position(|listener| listener.fits(host))
    }

    /// The listener by which a server's request that came in by `arrival` leaves for `host`.
    #[must_use]
    pub fn listener_outward(&self, host: IpAddr, arrival: usize) -> Option<usize> {
        let listeners = &self.fixed.listeners;
        if listeners.get(arrival)?.inner && !self.is_core(host) {
            let outer = listeners
                .iter()
                .position(|listener| !listener.inner && listener.fits(host));
            if outer.is_some() {
                return outer;
            }
        }
        self.listener_for(host, arrival)
    }

    /// The listener that the `i` parameter of our Via names.
    #[must_use]
    pub fn listener_marked(&self, mark: &[u8]) -> Option<usize> {
        self.fixed
            .listeners
            .iter()
            .position(|listener| listener.mark == mark)
    }

    /// `sent_by` of each listener: what a token is tried with.
    pub fn sent_by(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.fixed
            .listeners
            .iter()
            .map(|listener| &*listener.sent_by)
    }

    /// Whether a destination takes requests that name it: it is neither down nor disabled.
    #[must_use]
    pub fn is_usable(&self, place: usize) -> bool {
        self.liveness
            .get(place)
            .is_some_and(|code| code & OLD_WORK != 0)
    }

    /// Where a request is led: the first rule that matches, else the proxy's own; `None`: Python asks a regular
    /// expression.  `uri` is the Request-URI that is left, which is a `sip:` one.
    #[must_use]
    pub fn way(
        &self,
        method: &[u8],
        uri: &Uri<'_>,
        source: IpAddr,
        arrival: usize,
    ) -> Option<&Way> {
        for rule in &self.fixed.rules {
            if rule.matches(method, uri, source, arrival)? {
                return Some(&rule.way);
            }
        }
        Some(&self.fixed.default)
    }

    /// 64 bits for the host of a Request-URI, part of what a choice is remembered by.
    #[must_use]
    pub fn whom(&self, host: Host<'_>, port: u16) -> u64 {
        self.fixed
            .known_whom
            .get(host, port)
            .unwrap_or_else(|| with_host(host, |host| whom(self.key(), host, port)))
    }

    /// What the choice of destination `number` means for a request; `follows` for ACK and CANCEL.
    #[must_use]
    pub fn follow(&self, number: u32, follows: bool) -> Follow {
        match self.fixed.by_number.get(&number) {
            Some(place) if follows || self.is_usable(*place) => Follow::There(*place),
            None if follows => Follow::HandOver,
            _ => Follow::Anew,
        }
    }
}

impl Listener {
    fn fits(&self, host: IpAddr) -> bool {
        self.address.is_ipv4() == host.is_ipv4()
    }
}

fn whom(key: &Key, host: &[u8], port: u16) -> u64 {
    let port = written::number(port.into());
    digest(key, Use::Choice, &[b"host ", host, b" ", port.as_bytes()])
}
