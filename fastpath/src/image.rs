//! What does the packet path know?  A flat copy of Python's `dispatcher.snapshot.Snapshot`, with its version number.
//!
//! `Fixed` is what a list and a configuration make; `Image` adds what changes with every verdict.  Both are immutable:
//! Python makes the next one and swaps it in.

use rustc_hash::{FxHashMap, FxHashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::keyed::Key;
use crate::value::{Host, Uri};

/// A listener: where messages arrive and leave.
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
pub struct Destination {
    /// Where its server is.
    pub address: SocketAddr,
    /// What the table of recent choices knows it by.
    pub number: u32,
    /// The listener that its `socket` attribute asks for.
    pub socket: Option<usize>,
    /// The set's place in `Fixed::pools` and its index there.
    pub pool: usize,
    /// Its index within the set.
    pub index: usize,
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

/// Four indexes a slot, little-endian 16 bits.  The bytes may be Python's own: half a megabyte is not copied.
pub type Table = Arc<dyn AsRef<[u8]> + Send + Sync>;

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

/// One `[[proxy.route]]` (`dispatcher.rules.Rule`).
pub struct Rule {
    /// Empty: any.  Never ACK or CANCEL.
    pub methods: Vec<Box<[u8]>>,
    /// Of the user part, unescaped and without its parameters.
    pub user_prefixes: Vec<Box<[u8]>>,
    /// Whether there is a regular expression: whoever gets as far as this is handed over.
    pub has_regex: bool,
    /// Hosts of the Request-URI; both empty: any.
    pub hosts: Vec<Box<[u8]>>,
    /// Those that are addresses.
    pub addresses: Vec<IpAddr>,
    /// First and last address of each network; empty: any.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// Places of listeners; `None`: any.
    pub listeners: Option<Vec<usize>>,
    /// Where it leads.
    pub way: Way,
}

/// When a sender is asked to say where it is heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ForceRport {
    Nat,
    Always,
    Never,
}

/// What the list and the configuration make.
pub struct Fixed {
    /// Hash keys of the secrets, the current one first.
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
    pub core_hosts: FxHashSet<IpAddr>,
    /// `core_networks`: first and last address of each.
    pub core_networks: Vec<(IpAddr, IpAddr)>,
    /// `Snapshot._listed`, hosts that are addresses.
    pub listed: FxHashMap<(IpAddr, u16), usize>,
    /// `Snapshot._listed`, hosts that are names, in lower case.
    pub listed_names: FxHashMap<(Box<[u8]>, u16), usize>,
    /// `Snapshot._own`, hosts that are addresses.
    pub own: FxHashMap<(IpAddr, u16), usize>,
    /// `Snapshot._own`, hosts that are names.
    pub own_names: FxHashMap<(Box<[u8]>, u16), usize>,
    /// `policy.domains`.
    pub domains: FxHashSet<Box<[u8]>>,
    /// Those of them that are addresses.
    pub domain_addresses: FxHashSet<IpAddr>,
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

impl Image {
    /// The current hash key.
    #[must_use]
    pub fn key(&self) -> &Key {
        todo!()
    }

    /// Whether an address is on the core side.
    #[must_use]
    pub fn is_core(&self, host: IpAddr) -> bool {
        todo!("{host}")
    }

    /// The place of the destination that the list has under this host (as written, or numeric) and port.
    #[must_use]
    pub fn listed(&self, host: Host<'_>, port: u16) -> Option<usize> {
        todo!("{host:?} {port}")
    }

    /// The place of the listener with this address or advertised name.
    #[must_use]
    pub fn own_listener(&self, host: Host<'_>, port: u16) -> Option<usize> {
        todo!("{host:?} {port}")
    }

    /// Whether a URI means this proxy, without a look-up: `Some` for URIs of UDP (`Uri::udp`) only.
    #[must_use]
    pub fn is_own_name(&self, uri: &Uri<'_>) -> Option<bool> {
        todo!("{uri:?}")
    }

    /// The listener to leave by: the preferred one if it has the family of `host`, else the first that has it.
    #[must_use]
    pub fn listener_for(&self, host: IpAddr, preferred: usize) -> Option<usize> {
        todo!("{host} {preferred}")
    }

    /// The listener by which a server's request that came in by `arrival` leaves for `host`.
    #[must_use]
    pub fn listener_outward(&self, host: IpAddr, arrival: usize) -> Option<usize> {
        todo!("{host} {arrival}")
    }

    /// The listener that the `i` parameter of our Via names.
    #[must_use]
    pub fn listener_marked(&self, mark: &[u8]) -> Option<usize> {
        todo!("{mark:?}")
    }

    /// `sent_by` of each listener: what a token is tried with.
    pub fn sent_by(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.fixed
            .listeners
            .iter()
            .map(|listener| &*listener.sent_by)
    }

    /// Whether a destination takes requests that name it.
    #[must_use]
    pub fn is_usable(&self, place: usize) -> bool {
        todo!("{place}")
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
        todo!("{method:?} {uri:?} {source} {arrival}")
    }

    /// 64 bits for the host of a Request-URI, part of what a choice is remembered by.
    #[must_use]
    pub fn whom(&self, host: Host<'_>, port: u16) -> u64 {
        todo!("{host:?} {port}")
    }

    /// What the choice of destination `number` means for a request; `follows` for ACK and CANCEL.
    #[must_use]
    pub fn follow(&self, number: u32, follows: bool) -> Follow {
        todo!("{number} {follows}")
    }
}
