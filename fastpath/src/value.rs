//! What does one value say?  Via, SIP URI and the rest in the shapes that phones and servers write; `None`: Python reads it.

use memchr::memchr;
use std::net::{IpAddr, SocketAddr};

pub use crate::address::{Contact, contact, name_addr, tag_of};
use crate::grammar::{self, CALL_ID, TOKEN, URI_PARAM, URI_PARAM_NAME, USER, VALUE};
pub use crate::host::{Host, parse_host, write_address, write_host, write_number};
use crate::host::{ipv4, ipv6, split_host};
use crate::lists::Params;
pub use crate::lists::{Members, members, trim};

const DEFAULT_PORT: u16 = 5060;
const DEFAULT_TLS_PORT: u16 = 5061;

const OF_A_URI: Params = Params {
    name: URI_PARAM_NAME,
    value: URI_PARAM,
    quotes: false,
};

const OF_A_VIA: Params = Params {
    name: TOKEN,
    value: VALUE,
    quotes: false,
};

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
    /// Whether its transport is TLS.
    pub tls: bool,
}

impl Uri<'_> {
    /// The port that is written, else the transport's.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.tls {
            DEFAULT_TLS_PORT
        } else {
            DEFAULT_PORT
        })
    }
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
        self.port.unwrap_or(if self.secure {
            DEFAULT_TLS_PORT
        } else {
            DEFAULT_PORT
        })
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

/// A `sip:` URI, trimmed (`sip.uri.parse_uri`); see `Uri` for what is not read.
#[must_use]
pub fn parse_uri(text: &[u8]) -> Option<Uri<'_>> {
    read_uri(text, |user| grammar::is_all(user, USER))
}

/// The same with a user part that may have escapes.
pub(crate) fn parse_uri_of_any_user(text: &[u8]) -> Option<Uri<'_>> {
    read_uri(text, is_user)
}

#[inline]
fn read_uri(text: &[u8], is_user: impl FnOnce(&[u8]) -> bool) -> Option<Uri<'_>> {
    let rest = text.strip_prefix(b"sip:")?;
    let (user, rest) = match memchr(b'@', rest) {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    if user.is_some_and(|user| !is_user(user)) {
        return None;
    }
    let start = text.len() - rest.len();
    let (host, length) = split_host(rest)?;
    let (port, params) = split_port(&rest[length..])?;
    let mut uri = Uri {
        text,
        user,
        host,
        port,
        params,
        host_port: (start, text.len() - params.len()),
        loose: false,
        udp: true,
        tls: false,
    };
    if !params.is_empty() {
        read_uri_params(&mut uri)?;
    }
    Some(uri)
}

/// A user part whose escapes are whole.
fn is_user(text: &[u8]) -> bool {
    if grammar::is_all(text, USER) {
        return true;
    }
    let mut pieces = text.split(|&byte| byte == b'%');
    let is_plain = |piece: &[u8]| piece.is_empty() || grammar::is_all(piece, USER);
    !text.is_empty()
        && pieces.next().is_some_and(is_plain)
        && pieces.all(|piece| matches!(piece, [high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && is_plain(rest)))
}

/// The port behind a host, if there is one, and what follows.
#[inline]
fn split_port(text: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let [b':', text @ ..] = text else {
        return Some((None, text));
    };
    let digits = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits);
    Some((Some(grammar::port(digits)?), rest))
}

fn read_uri_params(uri: &mut Uri<'_>) -> Option<()> {
    let params = uri.params;
    OF_A_URI.each(params, |name, value| {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"lr") => uri.loose = true,
            5 if name.eq_ignore_ascii_case(b"maddr") => return None,
            9 if name.eq_ignore_ascii_case(b"transport") => {
                let asked = value.unwrap_or_default();
                uri.udp = asked.is_empty() || asked.eq_ignore_ascii_case(b"udp");
                uri.tls = asked.eq_ignore_ascii_case(b"tls");
            }
            _ => {}
        }
        Some(())
    })
}

/// One Via value, trimmed (`sip.via.parse_via`).
#[must_use]
pub fn parse_via(text: &[u8]) -> Option<Via<'_>> {
    let (transport, rest) = if let Some(rest) = text.strip_prefix(b"SIP/2.0/UDP ") {
        (b"UDP".as_slice(), rest)
    } else {
        let rest = text.strip_prefix(b"SIP/2.0/")?;
        let (transport, rest) = rest.split_at(grammar::span(rest, TOKEN));
        (transport, rest.strip_prefix(b" ")?)
    };
    if transport.is_empty() {
        return None;
    }
    let (host, length) = split_host(rest)?;
    let (port, params) = split_port(&rest[length..])?;
    let mut via = Via {
        host,
        port,
        secure: transport.eq_ignore_ascii_case(b"TLS") || transport.eq_ignore_ascii_case(b"WSS"),
        branch: b"",
        received: None,
        rport: Rport::Absent,
        left: b"",
        arrival: b"",
        mark: b"",
    };
    if read_usual_params(&mut via, params).is_none() {
        read_via_params(&mut via, params)?;
    }
    Some(via)
}

/// Read the parameters that nearly every Via has, by their whole names; `None` where another one stands among them.
#[inline]
fn read_usual_params<'m>(via: &mut Via<'m>, params: &'m [u8]) -> Option<()> {
    let mut seen = 0_u8;
    let mut rest = params;
    while !rest.is_empty() {
        let (bit, behind) = match rest.get(1)? {
            b'b' => (1, rest.strip_prefix(b";branch=")?),
            b'r' if rest.get(2) == Some(&b'p') => (2, rest.strip_prefix(b";rport")?),
            b'r' => (4, rest.strip_prefix(b";received=")?),
            b'l' => (8, rest.strip_prefix(b";l=")?),
            b't' => (16, rest.strip_prefix(b";t=")?),
            b'i' => (32, rest.strip_prefix(b";i=")?),
            _ => return None,
        };
        let (value, behind) = behind.split_at(grammar::long_span(behind, VALUE));
        if seen & bit != 0 || !matches!(behind, [] | [b';', ..]) {
            return None;
        }
        seen |= bit;
        rest = behind;
        match bit {
            1 => via.branch = value,
            2 => {
                via.rport = match value {
                    [] => Rport::Asked,
                    _ => Rport::Port(grammar::port(value.strip_prefix(b"=")?)?),
                }
            }
            4 => via.received = Some(read_received(value)?),
            8 => via.mark = value,
            16 => via.left = value,
            _ => via.arrival = value,
        }
    }
    Some(())
}

fn read_via_params<'m>(via: &mut Via<'m>, params: &'m [u8]) -> Option<()> {
    OF_A_VIA.each(params, |name, value| {
        let value = value.unwrap_or_default();
        match name.len() {
            1 => match name[0].to_ascii_lowercase() {
                b't' => via.left = value,
                b'i' => via.arrival = value,
                b'l' => via.mark = value,
                _ => {}
            },
            5 if name.eq_ignore_ascii_case(b"rport") => {
                via.rport = if value.is_empty() {
                    Rport::Asked
                } else {
                    Rport::Port(grammar::port(value)?)
                };
            }
            6 if name.eq_ignore_ascii_case(b"branch") => via.branch = value,
            8 if name.eq_ignore_ascii_case(b"received") => {
                via.received = Some(read_received(value)?);
            }
            _ => {}
        }
        Some(())
    })
}

/// IPv6 stands here with and without brackets (RFC 5118 4.5).
fn read_received(value: &[u8]) -> Option<IpAddr> {
    if let Some(address) = ipv4(value) {
        return Some(IpAddr::V4(address));
    }
    let bare = value
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(value);
    ipv6(bare).map(IpAddr::V6)
}

/// The Call-ID (`sip.request.read_call_id`).
#[must_use]
pub fn call_id(raw: &[u8]) -> Option<&[u8]> {
    let text = trim(raw);
    grammar::is_all(text, CALL_ID).then_some(text)
}

/// Number and method of a `CSeq` (`sip.request.read_cseq`): less than 2**31, RFC 3261 8.1.1.5.
#[must_use]
pub fn cseq(raw: &[u8]) -> Option<(u32, &[u8])> {
    let text = trim(raw);
    let digits = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(digits);
    let method = trim(rest);
    if method.len() == rest.len() || !grammar::is_all(method, TOKEN) {
        return None;
    }
    let number = u32::try_from(grammar::number(digits, 10)?).ok()?;
    (number < 1 << 31).then_some((number, method))
}

/// Bytes of body that a Content-Length says.
#[must_use]
pub fn content_length(raw: &[u8]) -> Option<usize> {
    usize::try_from(grammar::number(trim(raw), 10)?).ok()
}

/// Hops that a Max-Forwards leaves.
#[must_use]
pub fn max_forwards(raw: &[u8]) -> Option<u8> {
    u8::try_from(grammar::number(trim(raw), 10)?).ok()
}

/// Seconds that a Retry-After says (`sip.retry_after.read_retry_after`): a comment or parameters may follow.
#[must_use]
pub fn retry_after(raw: &[u8]) -> Option<u32> {
    let text = trim(raw);
    let digits = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits);
    let seconds = u32::try_from(grammar::number(digits, 10)?).ok()?;
    matches!(trim(rest), [] | [b';' | b'(', ..]).then_some(seconds)
}

#[cfg(test)]
mod tests;
