//! Which bytes leave?  Numbers and addresses as text, and the edited lines (`sip.edit`), written behind what is there.

use std::net::{IpAddr, SocketAddr};

use memchr::memchr;

use crate::branch::{COOKIE, hex};
use crate::elapsed::moment;
use crate::image::Listener;
use crate::scan::Line;
use crate::value::{trim, write_address, write_number};

/// An address as it is written in URIs: brackets round IPv6.
pub fn put_host_port(out: &mut Vec<u8>, address: SocketAddr) {
    if address.is_ipv6() {
        out.push(b'[');
        write_address(out, address.ip());
        out.push(b']');
    } else {
        write_address(out, address.ip());
    }
    out.push(b':');
    write_number(out, address.port().into());
}

/// Our Via, line end included: `arrival` is the listener that the request came by where it leaves by another.
pub fn put_via(
    out: &mut Vec<u8>,
    own: &Listener,
    branch: u64,
    mark: &[u8; 8],
    now: f64,
    arrival: Option<&Listener>,
) {
    out.extend_from_slice(b"Via: SIP/2.0/UDP ");
    out.extend_from_slice(&own.sent_by);
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(COOKIE);
    out.extend_from_slice(&hex(branch));
    out.extend_from_slice(b";rport;l=");
    out.extend_from_slice(mark);
    out.extend_from_slice(b";t=");
    out.extend_from_slice(&moment(now));
    if let Some(listener) = arrival {
        out.extend_from_slice(b";i=");
        out.extend_from_slice(&listener.mark);
    }
    out.extend_from_slice(b"\r\n");
}

/// A Record-Route or Path entry of ours, line end included.
pub fn put_entry(out: &mut Vec<u8>, name: &[u8], token: &[u8], own: &Listener) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": <sip:");
    out.extend_from_slice(token);
    out.push(b'@');
    out.extend_from_slice(&own.sent_by);
    out.extend_from_slice(b";lr>\r\n");
}

/// The name of a field, its colon and a blank: what stands before a new value (`sip.edit.with_value`).
pub fn put_name(out: &mut Vec<u8>, data: &[u8], line: Line) {
    out.extend_from_slice(&data[line.from as usize..line.colon as usize]);
    out.extend_from_slice(b": ");
}

/// What the top Via is given: `received` and `rport` as we saw them, `None` leaves one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The source's address.
    pub received: Option<IpAddr>,
    /// The source's port.
    pub rport: Option<u16>,
    /// Whether the field has no other member.
    pub is_alone: bool,
}

/// The top Via field with the stamp on its first member, without line end (`sip.edit.stamp_via`).
///
/// The field has no quotes.
pub fn put_stamped(out: &mut Vec<u8>, data: &[u8], line: Line, stamp: Stamp) {
    let raw = &data[line.colon as usize + 1..line.to as usize];
    out.extend_from_slice(&data[line.from as usize..=line.colon as usize]);
    if let (Some(received), Some(rport)) = (stamp.received, stamp.rport)
        && stamp.is_alone
        && let Some(at) = bare_rport(raw)
    {
        let behind = at + b";rport".len();
        out.extend_from_slice(&raw[..behind]);
        put_rport_value(out, rport);
        put_received(out, received);
        out.extend_from_slice(&raw[behind..]);
        return;
    }
    let end = if stamp.is_alone {
        raw.len()
    } else {
        memchr(b',', raw).unwrap_or(raw.len())
    };
    let text = raw[..end].trim_ascii_end();
    let mut asked = stamp.rport;
    for (place, piece) in text.split(|byte| *byte == b';').enumerate() {
        let key = key_of(piece);
        if key.eq_ignore_ascii_case(b"received") {
            continue;
        }
        if place > 0 {
            out.push(b';');
        }
        if key.eq_ignore_ascii_case(b"rport")
            && let Some(port) = asked.take()
        {
            out.extend_from_slice(b"rport");
            put_rport_value(out, port);
        } else {
            out.extend_from_slice(piece);
        }
    }
    if let Some(port) = asked {
        out.extend_from_slice(b";rport");
        put_rport_value(out, port);
    }
    if let Some(address) = stamp.received {
        put_received(out, address);
    }
    out.extend_from_slice(&raw[text.len()..]);
}

fn put_rport_value(out: &mut Vec<u8>, port: u16) {
    out.push(b'=');
    write_number(out, port.into());
}

fn put_received(out: &mut Vec<u8>, address: IpAddr) {
    out.extend_from_slice(b";received=");
    write_address(out, address);
}

/// Where `;rport` stands in one Via value that asks for it first or behind its branch, and says no received: what
/// `sip.edit` takes for nearly every phone's.
fn bare_rport(raw: &[u8]) -> Option<usize> {
    let mut at = memchr(b';', raw)?;
    if raw[at..].starts_with(b";branch=") {
        at += 1 + memchr(b';', &raw[at + 1..])?;
    }
    let behind = raw[at..].strip_prefix(b";rport")?;
    if behind.is_empty() {
        return Some(at);
    }
    let others = behind.strip_prefix(b";")?;
    others
        .split(|byte| *byte == b';')
        .all(|piece| {
            let text = piece.trim_ascii_start();
            !starts_with_word(text, b"rport") && !starts_with_word(text, b"received")
        })
        .then_some(at)
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn key_of(piece: &[u8]) -> &[u8] {
    let end = memchr(b'=', piece).unwrap_or(piece.len());
    trim(&piece[..end])
}
