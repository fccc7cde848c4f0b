//! What does the packet path know?  A flat copy of Python's `dispatcher.snapshot.Snapshot`, with its version number.
//!
//! `Fixed` is what a list and a configuration make; `Image` adds what changes with every verdict.  Both are immutable:
//! Python makes the next one and swaps it in.

use rustc_hash::{FxHashMap, FxHashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::keyed::Key;

/// A listener: where messages arrive and leave.
pub struct Listener {
    /// What the socket is bound to.
    pub address: SocketAddr,
    /// `host:port` for Via and Record-Route.
    pub sent_by: Box<[u8]>,
    /// CRC-32 of `sent_by`, as the `i` parameter of our Via has it.
    pub mark: u32,
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

/// A set of destinations.
pub struct Pool {
    /// The number of the set.
    pub set_id: i64,
    /// Where it begins in `Fixed::destinations`.
    pub start: usize,
    /// How many destinations it has.
    pub count: usize,
    /// 64 bits to combine with a Call-ID's digest.
    pub salt: u64,
    /// Four indexes a slot, little-endian 16 bits, by ranking; `None` where no table was built.
    pub tables: Vec<Option<Arc<[u16]>>>,
}

/// One `[[proxy.route]]` (`dispatcher.rules.Rule`).
pub struct Rule {
    /// Empty: any.  Never ACK or CANCEL.
    pub methods: Vec<Box<[u8]>>,
    /// Of the user part, unescaped and without its parameters.
    pub user_prefixes: Vec<Box<[u8]>>,
    /// Whether there is a regular expression: whoever gets as far as this is handed over.
    pub has_regex: bool,
    /// Hosts of the Request-URI in lower case.
    pub hosts: Vec<Box<[u8]>>,
    /// First and last address of each network.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// Places of listeners.
    pub listeners: Vec<usize>,
    /// Place of the pool, `None` when the list has no such set; the default one when the rule names none.
    pub pool: Option<usize>,
    /// The algorithm that it leads to.
    pub algorithm: Algorithm,
    /// The salt of the set (`Pool::salt`), whether the list has it or not.
    pub salt: u64,
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
    /// What decides when no rule does: pool, algorithm and salt, as of a rule.
    pub default: (Option<usize>, Algorithm, u64),
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
