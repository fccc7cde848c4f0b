//! What does one value say?  Via, SIP URI, name-addr in the shapes that phones and servers write; `None`: Python reads it.

use std::net::IpAddr;

/// A host as `sip.uri` has it: numeric, or a name as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'m> {
    /// IPv4 in dots, or IPv6 (in brackets where it stood).
    Address(IpAddr),
    /// A name as written: compare it in lower case.
    Name(&'m [u8]),
}

/// A `sip:` URI without header fields, escapes, `maddr` or repeated parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'m> {
    /// All of it.
    pub text: &'m [u8],
    /// The user part.
    pub user: Option<&'m [u8]>,
    /// The host.
    pub host: Host<'m>,
    /// The port that is written.
    pub port: Option<u16>,
    /// Everything from the first semicolon on.
    pub params: &'m [u8],
    /// Where host and port stand in `text`.
    pub host_port: (usize, usize),
    /// Whether it has `lr`.
    pub loose: bool,
    /// Whether its transport is UDP or none is asked for.
    pub udp: bool,
}

/// One Via value (`sip.via.Via`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'m> {
    /// The sent-by's host.
    pub host: Host<'m>,
    /// The sent-by's port as written.
    pub port: Option<u16>,
    /// Whether the transport's default port is 5061.
    pub secure: bool,
    /// The branch, empty when there is none.
    pub branch: &'m [u8],
    /// Where the hop before has seen it come from.
    pub received: Option<IpAddr>,
    /// `Some(None)` when it is only asked for.
    pub rport: Option<Option<u16>>,
    /// The value of `t`.
    pub left: &'m [u8],
    /// The value of `i`.
    pub arrival: &'m [u8],
    /// The value of `l`.
    pub mark: &'m [u8],
}
