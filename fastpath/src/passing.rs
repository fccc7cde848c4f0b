//! What leaves on the wire when a request is passed on (`dispatcher.passing`)?  Our Via, Record-Route or Path on top.

use crate::edit::{put_entry, put_host_port, put_name, put_stamped, put_via};
use crate::image::{Image, Listener};
use crate::keyed::Use;
use crate::nexthop::Hop;
use crate::request::Request;
use crate::routeset::{Keep, RouteSet};
use crate::scan::{Message, Name};
use crate::value::{trim, write_number};

/// `SIP/2.0`, in whatever case.
const VERSION_BYTES: usize = 7;

/// What we add is shorter: three entries with the longest tokens, a Via, and names of listeners.
const ADDED_BYTES: usize = 1024;

/// Write the request as it leaves and return the hash in its branch; `None` when the image does not fit.
pub fn pass_on(
    out: &mut Vec<u8>,
    image: &Image,
    message: &Message<'_, '_>,
    request: &Request<'_>,
    routes: &RouteSet<'_>,
    hop: &Hop,
    now: f64,
) -> Option<u64> {
    let listeners = &image.fixed.listeners;
    let own = listeners.get(hop.listener)?;
    let arrival = listeners.get(request.arrival)?;
    let other_side = (hop.listener != request.arrival).then_some(arrival);
    let branch = request.transaction.mac(image.key(), Use::Branch);
    out.reserve(message.data.len() + ADDED_BYTES);
    put_start(out, image, message, request, hop);
    put_via(out, own, branch, &routes.mark, now, other_side);
    match request.method {
        b"INVITE" | b"SUBSCRIBE" | b"REFER" | b"NOTIFY" => {
            let edge = listeners.get(hop.edge_listener)?;
            let token = hop.claims.write(image.key(), &edge.sent_by);
            put_entry(out, b"Record-Route", token.as_bytes(), own);
            if let Some(arrival) = other_side {
                put_entry(out, b"Record-Route", token.as_bytes(), arrival); // RFC 5658
            }
        }
        b"REGISTER" if !hop.claims.creator_is_core => {
            let edge = listeners.get(hop.edge_listener)?;
            put_path(out, image, message, hop, own, edge);
        }
        _ => {}
    }
    if request.max_forwards.is_none() {
        out.extend_from_slice(b"Max-Forwards: 70\r\n"); // RFC 3261 16.6 step 3
    }
    put_fields(out, message, request, routes);
    Some(branch)
}

fn put_start(
    out: &mut Vec<u8>,
    image: &Image,
    message: &Message<'_, '_>,
    request: &Request<'_>,
    hop: &Hop,
) {
    let line = message.start_line();
    if hop.chosen.is_some() && image.fixed.rewrite_host {
        let (start, end) = request.uri.host_port;
        out.extend_from_slice(request.method);
        out.push(b' ');
        out.extend_from_slice(&request.uri.text[..start]);
        put_host_port(out, hop.address);
        out.extend_from_slice(&request.uri.text[end..]);
        out.push(b' ');
        out.extend_from_slice(&line[line.len().saturating_sub(VERSION_BYTES)..]);
    } else {
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\r\n");
}

/// Path, and `Supported: path` where a phone did not say so (RFC 3327).
fn put_path(
    out: &mut Vec<u8>,
    image: &Image,
    message: &Message<'_, '_>,
    hop: &Hop,
    own: &Listener,
    edge: &Listener,
) {
    let mut claims = hop.claims;
    claims.is_path = true;
    let token = claims.write(image.key(), &edge.sent_by);
    put_entry(out, b"Path", token.as_bytes(), own);
    let offered = message
        .values(Name::Supported)
        .flat_map(|(_, raw)| raw.split(|byte| *byte == b','))
        .any(|member| trim(member).eq_ignore_ascii_case(b"path"));
    if !offered {
        out.extend_from_slice(b"Supported: path\r\n");
    }
}

/// The fields with their edits and the body: what lies between two edits is copied at once.
fn put_fields(
    out: &mut Vec<u8>,
    message: &Message<'_, '_>,
    request: &Request<'_>,
    routes: &RouteSet<'_>,
) {
    let data = message.data;
    let top_via = message.place(Name::Via);
    let mut copied = message.start_end + 2;
    for (place, line) in message.lines.iter().enumerate() {
        let (from, to) = (line.from as usize, line.to as usize);
        match line.name {
            Name::Via if Some(place) == top_via => {
                if let Some(stamp) = request.stamp {
                    out.extend_from_slice(&data[copied..from]);
                    put_stamped(out, data, *line, stamp);
                    copied = to;
                }
            }
            Name::MaxForwards => {
                if let Some(hops) = request.max_forwards {
                    out.extend_from_slice(&data[copied..from]);
                    put_name(out, data, *line);
                    write_number(out, u32::from(hops.saturating_sub(1)));
                    copied = to;
                }
            }
            Name::Route => match routes.keep(place) {
                Keep::All => {}
                Keep::From(offset) => {
                    out.extend_from_slice(&data[copied..from]);
                    put_name(out, data, *line);
                    out.extend_from_slice(trim(&data[offset..to]));
                    copied = to;
                }
                Keep::Nothing => {
                    out.extend_from_slice(&data[copied..from]);
                    copied = to + 2;
                }
            },
            _ => {}
        }
    }
    out.extend_from_slice(&data[copied..request.end]);
}
