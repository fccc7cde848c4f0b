//! What becomes of this datagram (`dispatcher.route`)?  The whole pipeline, one question after the other.
//!
//! Every step gives `None` where it is not sure of Python's answer; then Python is asked.

use std::net::SocketAddr;

use memchr::{memchr_iter, memmem};

use crate::image::Image;
use crate::keyed::{Use, call_digest, order_hash};
use crate::nexthop::{Asked, Hop, next_hop};
use crate::outcome::{CallFact, CallStep, Decision, DropReason, Forward};
use crate::passing::pass_on;
use crate::recent::RecentChoices;
use crate::reply::pass_back;
use crate::request::{Request, read};
use crate::routeset::{RouteSet, is_ours, take_routes};
use crate::scan::{Line, MAX_LINES, Message, Name, Start, find_call_id, scan};

/// As `sip.limits`.
const MAX_VIAS: usize = 100;

/// Memory that is used again for each datagram.
#[derive(Debug)]
pub struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// Room for the fields of one message.
    #[must_use]
    pub fn new() -> Self {
        Scratch {
            lines: Vec::with_capacity(MAX_LINES),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// Decide about one datagram that came from `source` to the listener at `arrival`.
///
/// `now` is in seconds of any clock that goes on evenly.  The bytes that leave are in `out`, which is cleared before;
/// it holds nothing of use unless the decision is `Forward`.
#[allow(clippy::too_many_arguments)] // all that the pipeline may know, by name
pub fn decide<'m>(
    image: &Image,
    recent: &RecentChoices,
    scratch: &mut Scratch,
    datagram: &'m [u8],
    source: SocketAddr,
    arrival: usize,
    now: f64,
    out: &mut Vec<u8>,
) -> Decision<'m> {
    out.clear();
    match scan(datagram, &mut scratch.lines) {
        Some(message) if message.place(Name::Via).is_some() => {
            read_on(out, image, recent, &message, source, arrival, now)
        }
        _ => hopeless(datagram),
    }
    .unwrap_or_else(|| Decision::HandOver(order(image, datagram)))
}

fn read_on<'m>(
    out: &mut Vec<u8>,
    image: &Image,
    recent: &RecentChoices,
    message: &Message<'m, '_>,
    source: SocketAddr,
    arrival: usize,
    now: f64,
) -> Option<Decision<'m>> {
    match message.start {
        Start::Request { method, uri } => {
            let force_rport = image.fixed.force_rport;
            let request = read(message, method, uri, source, arrival, force_rport)?;
            route(out, image, recent, message, &request, now)
        }
        Start::Reply { status } => pass_back(out, image, message, status, source, arrival, now),
    }
}

/// What keeps the messages of one call in order while one of them waits for Python; 0 for a datagram without Call-ID.
#[must_use]
pub fn order(image: &Image, datagram: &[u8]) -> u64 {
    find_call_id(datagram).map_or(0, |call_id| order_hash(call_digest(image.key(), call_id)))
}

/// What is dropped at sight: no Via says where a reply would go or an answer of ours.
fn hopeless(datagram: &[u8]) -> Option<Decision<'static>> {
    let text = datagram.iter().position(|byte| !b"\r\n\0 ".contains(byte));
    let reason = if text.is_none() {
        DropReason::Keepalive
    } else if datagram.first().is_some_and(|byte| *byte < 4) {
        DropReason::Stun // RFC 5764 5.1.2
    } else if memchr_iter(b'\n', datagram)
        .any(|at| matches!(datagram.get(at + 1), Some(b'v' | b'V')))
    {
        return None;
    } else {
        let blank = |byte: &u8| matches!(*byte, b'\r' | b'\n');
        let start = datagram.iter().position(|byte| !blank(byte)).unwrap_or(0);
        match datagram[start..].get(..4) {
            Some(word) if word.eq_ignore_ascii_case(b"SIP/") => DropReason::MalformedReply,
            _ => DropReason::Malformed,
        }
    };
    Some(Decision::Drop(reason))
}

fn route<'m>(
    out: &mut Vec<u8>,
    image: &Image,
    recent: &RecentChoices,
    message: &Message<'m, '_>,
    request: &Request<'m>,
    now: f64,
) -> Option<Decision<'m>> {
    let transaction = &request.transaction;
    if request.method == b"ACK"
        && transaction
            .verify(request.to_tag, &image.fixed.keys, Use::ToTag)
            .is_some()
    {
        return Some(Decision::Drop(DropReason::AckToOurAnswer));
    }
    let from_core = image.is_core(request.source.ip());
    let routes = take_routes(image, message, request, from_core)?;
    if asks_for_us(image, request, &routes, from_core)?
        || may_have_looped(message, request, &routes)
    {
        return None;
    }
    let asked = Asked {
        image,
        recent,
        message,
        request,
        from_core,
        now,
    };
    let hop = next_hop(asked, &routes)?;
    let branch = pass_on(out, image, message, request, &routes, &hop, now)?;
    Some(Decision::Forward(Forward {
        address: hop.address,
        listener: hop.listener,
        destination: hop.destination,
        remember: hop.chosen.and_then(|chosen| chosen.remember),
        status: 0,
        method: request.method,
        call: call_fact(image, request, &hop),
        elapsed: None,
        retry_after: None,
        branch,
    }))
}

/// Whether this is an OPTIONS for the proxy itself.
fn asks_for_us(
    image: &Image,
    request: &Request<'_>,
    routes: &RouteSet<'_>,
    from_core: bool,
) -> Option<bool> {
    let for_us = request.method == b"OPTIONS"
        && request.to_tag.is_empty()
        && matches!(request.uri.user, None | Some(b"s" | b"ping"))
        && routes.grant.is_none();
    if for_us {
        is_ours(image, &request.uri, from_core && routes.top.is_none())
    } else {
        Some(false)
    }
}

/// Whether a Via may be one of ours with the same mark.
///
/// One Via is the sender's.  Where there are many, or quotes among them, Python reads them.
fn may_have_looped(
    message: &Message<'_, '_>,
    request: &Request<'_>,
    routes: &RouteSet<'_>,
) -> bool {
    if request.is_alone && !message.is_repeated(Name::Via) {
        return false;
    }
    let mut count = 0;
    let mut odd = false;
    let mut marked = false;
    for (_, raw) in message.values(Name::Via) {
        count += 1 + memchr_iter(b',', raw).count();
        odd |= raw.iter().any(|byte| matches!(byte, b'"' | b'<'));
        marked |= memmem::find_iter(raw, b"l=")
            .any(|at| raw.get(at + 2..at + 10) == Some(&routes.mark[..]));
    }
    odd || marked || count > MAX_VIAS
}

/// What a request says of its call (`dispatcher.callfact.of_request`).
fn call_fact(image: &Image, request: &Request<'_>, hop: &Hop) -> Option<CallFact> {
    let step = if request.to_tag.is_empty() {
        if request.method != b"INVITE" || hop.chosen.is_none() {
            return None;
        }
        CallStep::Begin
    } else {
        match request.method {
            b"INVITE" | b"UPDATE" | b"INFO" | b"OPTIONS" => CallStep::Going,
            b"BYE" => CallStep::End,
            _ => return None,
        }
    };
    let key = hop.chosen.map_or_else(
        || call_digest(image.key(), request.call_id),
        |chosen| chosen.call,
    );
    Some(CallFact { key, step })
}

#[cfg(test)]
mod tests;
