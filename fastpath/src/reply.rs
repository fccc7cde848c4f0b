//! Which replies go on, and where to (`dispatcher.replies`)?  Only those whose top Via we have made ourselves.

use std::net::SocketAddr;

use crate::branch::{COOKIE, Transaction};
use crate::edit::put_name;
use crate::elapsed::since;
use crate::image::Image;
use crate::keyed::{Use, call_digest};
use crate::outcome::{CallFact, CallStep, Decision, DropReason, Forward};
use crate::request::{body_end, is_usual};
use crate::scan::{Message, Name};
use crate::value::{Host, Via, call_id, cseq, members, parse_via, retry_after, tag_of, trim};

/// Pop our Via and write the reply for where its request came from; `None`: Python does.
pub fn pass_back<'m>(
    out: &mut Vec<u8>,
    image: &Image,
    message: &Message<'m, '_>,
    status: u16,
    source: SocketAddr,
    arrival: usize,
    now: f64,
) -> Option<Decision<'m>> {
    if !is_usual(message) {
        return None;
    }
    let Vias { top, below, second } = two_vias(message)?;
    let Some(below) = below else {
        return Some(Decision::Drop(DropReason::ReplyToUs));
    };
    let call_id = call_id(message.raw(Name::CallId)?)?;
    let from_tag = tag_of(message.raw(Name::From)?)?;
    let (number, method) = cseq(message.raw(Name::CSeq)?)?;
    let verified = Transaction::below(&below, call_id, from_tag, number).and_then(|transaction| {
        let candidate = top.branch.strip_prefix(COOKIE)?;
        let branch = transaction.verify(candidate, &image.fixed.keys, Use::Branch)?;
        Some((branch, transaction.reply_to))
    });
    let Some((branch, address)) = verified else {
        return Some(Decision::Drop(DropReason::ReplyForged));
    };
    let end = body_end(message)?;
    let preferred = image.listener_marked(top.arrival).unwrap_or(arrival);
    let Some(listener) = image.listener_for(address.ip(), preferred) else {
        return Some(Decision::Drop(DropReason::NoReplyAddress));
    };
    let asked_rest = match message.raw(Name::RetryAfter) {
        Some(raw) if status == 503 => Some(retry_after(raw)?),
        _ => None,
    };
    put_reply(out, message, second, end)?;
    Some(Decision::Forward(Forward {
        address,
        listener,
        destination: image.listed(Host::Address(source.ip()), source.port()),
        remember: None,
        status,
        method,
        call: call_fact(image, status, method, call_id),
        elapsed: since(top.left, now),
        retry_after: asked_rest,
        branch,
    }))
}

/// The top Via and the one below it.
struct Vias<'m> {
    top: Via<'m>,
    below: Option<Via<'m>>,
    /// Where the second member of the first field begins.
    second: Option<usize>,
}

fn two_vias<'m>(message: &Message<'m, '_>) -> Option<Vias<'m>> {
    let place = message.place(Name::Via)?;
    let mut fields = message.values(Name::Via);
    let (_, raw) = fields.next()?;
    let mut found = members(raw)?;
    let first = found.next()?;
    let top = parse_via(trim(first))?;
    if let Some(member) = found.next() {
        return Some(Vias {
            top,
            below: Some(parse_via(trim(member))?),
            second: Some(message.lines[place].colon as usize + 1 + first.len() + 1),
        });
    }
    let below = match fields.next() {
        Some((_, raw)) => Some(parse_via(trim(members(raw)?.next()?))?),
        None => None,
    };
    Some(Vias {
        top,
        below,
        second: None,
    })
}

/// The reply without its top Via (`sip.edit.without_first_member`) and without what is behind its Content-Length.
fn put_reply(
    out: &mut Vec<u8>,
    message: &Message<'_, '_>,
    second: Option<usize>,
    end: usize,
) -> Option<()> {
    let data = message.data;
    let line = *message.lines.get(message.place(Name::Via)?)?;
    let to = line.to as usize;
    out.reserve(data.len());
    out.extend_from_slice(&data[..line.from as usize]);
    if let Some(start) = second {
        put_name(out, data, line);
        out.extend_from_slice(data[start..to].trim_ascii_start());
        out.extend_from_slice(&data[to..end]);
    } else {
        out.extend_from_slice(&data[to + 2..end]);
    }
    Some(())
}

/// What a reply says of its call (`dispatcher.callfact.of_reply`).
fn call_fact(image: &Image, status: u16, method: &[u8], call_id: &[u8]) -> Option<CallFact> {
    if method != b"INVITE" {
        return None;
    }
    let step = match status {
        ..200 => return None,
        200..300 => CallStep::Answered,
        401 | 407 => CallStep::Challenged,
        _ => CallStep::Failed,
    };
    Some(CallFact {
        key: call_digest(image.key(), call_id),
        step,
    })
}
