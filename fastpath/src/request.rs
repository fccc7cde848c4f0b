//! What must be known of a request before it is routed (`sip.request`, `dispatcher.received`)?

use std::net::SocketAddr;

use crate::branch::Transaction;
use crate::edit::Stamp;
use crate::image::ForceRport;
use crate::scan::{Message, Name};
use crate::value::{
    Host, Rport, Uri, Via, call_id, content_length, cseq, max_forwards, members, parse_uri,
    parse_via, tag_of, trim,
};

/// Fields that a proxy reads and that may stand only once, as a mask of `Message::is_any_repeated`.
const SINGLE: u16 = 1 << Name::From as u16
    | 1 << Name::To as u16
    | 1 << Name::CallId as u16
    | 1 << Name::CSeq as u16
    | 1 << Name::MaxForwards as u16
    | 1 << Name::ContentLength as u16;

/// A Via of this length has no more parameters than Python reads.
const USUAL_VIA_BYTES: usize = 500;

/// A legal request as far as a proxy looks into it, with its source.
#[derive(Debug)]
pub struct Request<'m> {
    /// A token.
    pub method: &'m [u8],
    /// The Request-URI.
    pub uri: Uri<'m>,
    /// The top Via as it came.
    pub via: Via<'m>,
    /// Whether its top Via is alone in its field.
    pub is_alone: bool,
    /// What the top Via is given, `None` when it is left alone.
    pub stamp: Option<Stamp>,
    /// Trimmed.
    pub call_id: &'m [u8],
    /// Empty when there is none.
    pub from_tag: &'m [u8],
    /// Empty when there is none.
    pub to_tag: &'m [u8],
    /// More than 0.
    pub max_forwards: Option<u8>,
    /// Where the body ends: what is behind its Content-Length is cut off.
    pub end: usize,
    /// Where it came from.
    pub source: SocketAddr,
    /// The place of the listener that it arrived on.
    pub arrival: usize,
    /// What its branch is made of.
    pub transaction: Transaction<'m>,
}

impl Request<'_> {
    /// Whether it is an ACK or a CANCEL, which belong to an INVITE.
    #[must_use]
    pub fn follows(&self) -> bool {
        matches!(self.method, b"ACK" | b"CANCEL")
    }
}

/// Check and read a request; `None`: Python does.
#[must_use]
pub fn read<'m>(
    message: &Message<'m, '_>,
    method: &'m [u8],
    uri: &'m [u8],
    source: SocketAddr,
    arrival: usize,
    force_rport: ForceRport,
) -> Option<Request<'m>> {
    if !is_usual(message) || message.place(Name::ProxyRequire).is_some() {
        return None;
    }
    let to_tag = tag_of(message.raw(Name::To)?)?;
    let from_tag = tag_of(message.raw(Name::From)?)?;
    let via_raw = message.raw(Name::Via)?;
    let via_text = members(via_raw)?.next()?;
    if via_text.len() > USUAL_VIA_BYTES {
        return None;
    }
    let is_alone = via_text.len() == via_raw.len();
    let via = parse_via(trim(via_text))?;
    let (number, named) = cseq(message.raw(Name::CSeq)?)?;
    if named != method {
        return None;
    }
    let hops = match message.raw(Name::MaxForwards) {
        Some(raw) => Some(max_forwards(raw).filter(|hops| *hops > 0)?),
        None => None,
    };
    let call_id = call_id(message.raw(Name::CallId)?)?;
    let stamp = stamp_for(&via, source, force_rport, is_alone);
    let transaction = Transaction {
        branch: via.branch,
        host: via.host,
        port: via.sent_by_port(),
        reply_to: SocketAddr::new(
            source.ip(),
            stamp
                .and_then(|stamp| stamp.rport)
                .unwrap_or(via.sent_by_port()),
        ),
        call_id,
        from_tag,
        cseq: number,
    };
    Some(Request {
        method,
        uri: parse_uri(uri)?,
        via,
        is_alone,
        stamp,
        call_id,
        from_tag,
        to_tag,
        max_forwards: hops,
        end: body_end(message)?,
        source,
        arrival,
        transaction,
    })
}

/// Whether no field that is read stands twice.
#[must_use]
pub fn is_usual(message: &Message<'_, '_>) -> bool {
    !message.is_any_repeated(SINGLE)
}

/// Where the body ends by its Content-Length; `None` when there is less of it.
#[must_use]
pub fn body_end(message: &Message<'_, '_>) -> Option<usize> {
    let there = message.data.len();
    match message.raw(Name::ContentLength) {
        Some(raw) => {
            let end = message.body.checked_add(content_length(raw)?)?;
            (end <= there).then_some(end)
        }
        None => Some(there),
    }
}

/// `received` and `rport` for the top Via (RFC 3581 4), as far as it needs them.
fn stamp_for(
    via: &Via<'_>,
    source: SocketAddr,
    force_rport: ForceRport,
    is_alone: bool,
) -> Option<Stamp> {
    let moved = via.host != Host::Address(source.ip());
    let asked = via.rport != Rport::Absent;
    let forced = match force_rport {
        ForceRport::Always => true,
        ForceRport::Nat => moved,
        ForceRport::Never => false,
    };
    let stamp = Stamp {
        received: (moved || asked).then_some(source.ip()),
        rport: (asked || forced).then_some(source.port()),
        is_alone,
    };
    (stamp.received.is_some() || stamp.rport.is_some() || via.received.is_some()).then_some(stamp)
}
