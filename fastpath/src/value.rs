//! What does one value say?  Via, SIP URI, name-addr in the shapes that phones and servers write; `None`: Python reads it.

use std::net::{IpAddr, SocketAddr};

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

/// The parameter `rport` of a Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rport {
    /// It does not stand there.
    Absent,
    /// It asks.
    Asked,
    /// It answers.
    Port(u16),
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
    /// Whether the hop before wants to know, or has been told, the port that it is seen to send from (RFC 3581).
    pub rport: Rport,
    /// The value of `t`.
    pub left: &'m [u8],
    /// The value of `i`.
    pub arrival: &'m [u8],
    /// The value of `l`; Python looks for the whole mark anywhere in the Via (`mark in own`).
    pub mark: &'m [u8],
}

impl Via<'_> {
    /// The port of the sent-by, the transport's default when none is written.
    #[must_use]
    pub fn sent_by_port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 5061 } else { 5060 })
    }

    /// Where a reply with this Via on top is sent (`sip.via.reply_address`); `None` when that would take a look-up.
    #[must_use]
    pub fn reply_address(&self) -> Option<SocketAddr> {
        let host = match (self.received, self.host) {
            (Some(received), _) => received,
            (None, Host::Address(host)) => host,
            (None, Host::Name(_)) => return None,
        };
        let port = if let Rport::Port(port) = self.rport {
            port
        } else {
            self.sent_by_port()
        };
        Some(SocketAddr::new(host, port))
    }
}

/// A value without the blanks round it (`sip.message.unfold`, where there are no folds).
#[must_use]
pub fn trim(raw: &[u8]) -> &[u8] {
    todo!("{}", raw.len())
}

/// The members of a list field as written, blanks included; made by `members`.
#[derive(Clone, Debug)]
pub struct Members<'m> {
    rest: Option<&'m [u8]>,
}

impl<'m> Iterator for Members<'m> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        todo!("{:?}", self.rest)
    }
}

/// The members of a list field (`sip.lists.split_members`); `None` when commas and quotes stand together, when an angle
/// bracket stays open or when there are very many.
#[must_use]
pub fn members(raw: &[u8]) -> Option<Members<'_>> {
    todo!("{}", raw.len())
}

/// A `sip:` URI, trimmed (`sip.uri.parse_uri`); see `Uri` for what is not read.
#[must_use]
pub fn parse_uri(text: &[u8]) -> Option<Uri<'_>> {
    todo!("{}", text.len())
}

/// One Via value, trimmed (`sip.via.parse_via`).
#[must_use]
pub fn parse_via(text: &[u8]) -> Option<Via<'_>> {
    todo!("{}", text.len())
}

/// The tag of a From or To as it came, empty when it has none (`sip.address.tag_of`).
#[must_use]
pub fn tag_of(raw: &[u8]) -> Option<&[u8]> {
    todo!("{}", raw.len())
}

/// The URI of one member of Route, Contact, From or To, as it came (`sip.address.parse_name_addr`).
#[must_use]
pub fn name_addr(member: &[u8]) -> Option<&[u8]> {
    todo!("{}", member.len())
}

/// What a Contact says about where its sender is (`dispatcher.nat._contact`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// A numeric address, with the port that holds where none is written.
    At(IpAddr, u16),
    /// A name or `*`.
    Elsewhere,
}

/// Where the first Contact of a field's raw value is.
#[must_use]
pub fn contact(raw: &[u8]) -> Option<Contact> {
    todo!("{}", raw.len())
}

/// The Call-ID (`sip.request.read_call_id`).
#[must_use]
pub fn call_id(raw: &[u8]) -> Option<&[u8]> {
    todo!("{}", raw.len())
}

/// Number and method of a `CSeq` (`sip.request.read_cseq`).
#[must_use]
pub fn cseq(raw: &[u8]) -> Option<(u32, &[u8])> {
    todo!("{}", raw.len())
}

/// Bytes of body that a Content-Length says.
#[must_use]
pub fn content_length(raw: &[u8]) -> Option<usize> {
    todo!("{}", raw.len())
}

/// Hops that a Max-Forwards leaves.
#[must_use]
pub fn max_forwards(raw: &[u8]) -> Option<u8> {
    todo!("{}", raw.len())
}

/// Seconds that a Retry-After says (`sip.retry_after.read_retry_after`).
#[must_use]
pub fn retry_after(raw: &[u8]) -> Option<u32> {
    todo!("{}", raw.len())
}

/// A host without brackets: strict IPv4, IPv6 or a name (`sip.uri.parse_host` and `numeric`); IPv6 stands in brackets.
#[must_use]
pub fn parse_host(text: &[u8]) -> Option<Host<'_>> {
    todo!("{}", text.len())
}

/// Append a numeric address as Python's `sip.uri.canonical` writes it: no brackets, mapped addresses with dots.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    todo!("{} {address}", out.len())
}

/// Append a host as `sip.uri.SipUri.host` has it: a name in lower case, an address by `write_address`.
pub fn write_host(out: &mut Vec<u8>, host: Host<'_>) {
    todo!("{} {host:?}", out.len())
}

/// Append a number in decimal digits.
pub fn write_number(out: &mut Vec<u8>, number: u32) {
    todo!("{} {number}", out.len())
}
