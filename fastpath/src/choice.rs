//! Which destination takes a request that is dispatched: what was chosen a moment ago, and what is the choice keyed on
//! (`dispatcher.choice`)?

use crate::image::{Follow, Image, Kind};
use crate::keyed::call_digest;
use crate::recent::RecentChoices;
use crate::request::Request;
use crate::scan::{Message, Name};
use crate::select::{aor_digest, choose};
use crate::value::{name_addr, parse_uri, trim};

/// Where a dispatched request goes.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// A place in the image.
    pub destination: usize,
    /// The key under which the choice is remembered.
    pub remember: Option<u64>,
    /// The Call-ID's digest.
    pub call: u64,
}

/// Choose a destination; `named` is the one that the Request-URI asks for, usable or not.  `None`: Python chooses.
#[must_use]
pub fn dispatch(
    image: &Image,
    recent: &RecentChoices,
    message: &Message<'_, '_>,
    request: &Request<'_>,
    named: Option<usize>,
    now: f64,
) -> Option<Chosen> {
    let way = image.way(
        request.method,
        &request.uri,
        request.source.ip(),
        request.arrival,
    )?;
    let fixed = &image.fixed;
    let call = call_digest(image.key(), request.call_id);
    let chosen = |destination, remember| Chosen {
        destination,
        remember,
        call,
    };
    let named = named.filter(|place| image.is_usable(*place));
    if request.method == b"REGISTER" {
        if let Some(place) = named {
            return Some(chosen(place, None));
        }
        let key = address_of_record(image, message, Name::To, fixed.aor_domain)?;
        return Some(chosen(choose(image, way, key, true)?, None));
    }
    let called = match way.algorithm.kind {
        Kind::Aor => Some(aor_digest(image.key(), &request.uri, fixed.aor_domain)),
        Kind::RequestUri => Some(aor_digest(image.key(), &request.uri, true)),
        Kind::To => Some(address_of_record(image, message, Name::To, true)?),
        Kind::CallId | Kind::From | Kind::Other => None,
    };
    let mine = call
        ^ way.salt
        ^ called.unwrap_or(0)
        ^ image.whom(request.uri.host, request.uri.port_or_default());
    let follows = request.follows();
    if (named.is_none() || follows)
        && let Some(number) = recent.lookup(mine, now)
    {
        match image.follow(number, follows) {
            Follow::There(place) => return Some(chosen(place, None)),
            Follow::HandOver => return None,
            Follow::Anew => {}
        }
    }
    let remember = (!follows).then_some(mine);
    if let Some(place) = named {
        return Some(chosen(place, remember));
    }
    let key = match way.algorithm.kind {
        Kind::From => address_of_record(image, message, Name::From, true)?,
        Kind::Other => return None,
        _ => called.unwrap_or(call),
    };
    Some(chosen(choose(image, way, key, false)?, remember))
}

/// The digest of the address of record in From or To.
fn address_of_record(
    image: &Image,
    message: &Message<'_, '_>,
    name: Name,
    with_domain: bool,
) -> Option<u64> {
    let uri = parse_uri(name_addr(trim(message.raw(name)?))?)?;
    Some(aor_digest(image.key(), &uri, with_domain))
}
