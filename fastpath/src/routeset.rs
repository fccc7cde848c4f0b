//! What is left of a request's Route once our entries are off, and what did their token say (`dispatcher.routeset`)?

use crc32fast::Hasher;

use crate::image::Image;
use crate::request::Request;
use crate::scan::{Message, Name};
use crate::token::{Claims, MAX_LENGTH};
use crate::value::{Host, Uri, members, name_addr, parse_uri, trim};
use crate::written::hex32;

/// As `sip.limits`.
const MAX_ROUTES: usize = 64;

/// The shortest token: a shorter user part is none.
const MIN_LENGTH: usize = 32;

/// What a valid token grants.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Whom it connects.
    pub claims: Claims,
    /// The listener by which the edge end is reached.
    pub edge_listener: usize,
    /// The listener that the last of our entries names: the side that the request leaves by.
    pub leave_by: Option<usize>,
}

/// What becomes of a Route field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It leaves as it came.
    All,
    /// Its members from this offset in the datagram on are left.
    From(usize),
    /// All its members were ours.
    Nothing,
}

/// The Route after ours are popped.
#[derive(Debug)]
pub struct RouteSet<'m> {
    /// The topmost entry that is left.
    pub top: Option<Uri<'m>>,
    /// `l` of our Via: all that decides where the request goes; the same again is a loop (RFC 3261 16.6 step 8).
    pub mark: [u8; 8],
    /// What the token of our entries says.
    pub grant: Option<Grant>,
    /// The field of the topmost entry that is left, and its offset there if others were popped in front of it.
    first_left: Option<(usize, Option<usize>)>,
}

impl RouteSet<'_> {
    /// What becomes of the Route field at this place.
    #[must_use]
    pub fn keep(&self, place: usize) -> Keep {
        match self.first_left {
            Some((first, offset)) if place == first => offset.map_or(Keep::All, Keep::From),
            Some((first, _)) if place > first => Keep::All,
            _ => Keep::Nothing,
        }
    }
}

/// Pop the topmost Routes of ours and read their token; `None`: Python does.
///
/// Handed over are strict routers, and names that the core's requests bring and that Python may know for ours.
#[must_use]
pub fn take_routes<'m>(
    image: &Image,
    message: &Message<'m, '_>,
    request: &Request<'m>,
    from_core: bool,
) -> Option<RouteSet<'m>> {
    let mut text = Hasher::new();
    text.update(request.uri.text);
    let mut routes = RouteSet {
        top: None,
        mark: [0; 8],
        grant: None,
        first_left: None,
    };
    if message.place(Name::Route).is_some() {
        if may_hold_token(&request.uri) && image.is_own_name(&request.uri)? {
            return None; // from a strict router, perhaps: the last Route holds the real Request-URI
        }
        let mut token: Option<&[u8]> = None;
        let mut count = 0;
        for (place, raw) in message.values(Name::Route) {
            let mut offset = message.lines[place].colon as usize + 1;
            for (index, member) in members(raw)?.enumerate() {
                let written = name_addr(trim(member))?;
                count += 1;
                if count > MAX_ROUTES {
                    return None;
                }
                if routes.top.is_none() {
                    let uri = parse_uri(written)?;
                    let look_up = from_core && routes.grant.is_none();
                    if is_ours(image, &uri, look_up)? && routes.pop(image, &uri, &mut token) {
                        offset += member.len() + 1;
                        continue;
                    }
                    routes.top = Some(uri);
                    routes.first_left = Some((place, (index > 0).then_some(offset)));
                }
                text.update(b"\n");
                text.update(written);
            }
        }
    }
    text.update(if from_core { b"\ncore" } else { b"\nedge" });
    routes.mark = hex32(text.finalize());
    Some(routes)
}

impl RouteSet<'_> {
    /// Take an entry of ours off; false when it stays: its token is another one, of another pass through us.
    fn pop<'m>(&mut self, image: &Image, uri: &Uri<'m>, token: &mut Option<&'m [u8]>) -> bool {
        if uri.user.is_none() || !may_hold_token(uri) {
            return true;
        }
        if uri.user != *token {
            let Some((claims, edge_listener)) = uri
                .user
                .and_then(|user| Claims::read(user, &image.fixed.keys, image.sent_by()))
            else {
                return true;
            };
            if self.grant.is_some() {
                return false;
            }
            *token = uri.user;
            self.grant = Some(Grant {
                claims,
                edge_listener,
                leave_by: None,
            });
        }
        if let Some(grant) = &mut self.grant {
            grant.leave_by = image.own_listener(uri.host, uri.port_or_default());
        }
        true
    }
}

/// Whether a URI means this proxy; with `look_up` a name may by its address: `None`, for Python knows those.
#[must_use]
pub fn is_ours(image: &Image, uri: &Uri<'_>, look_up: bool) -> Option<bool> {
    if image.is_own_name(uri)? {
        return Some(true);
    }
    match uri.host {
        Host::Name(_) if look_up => None,
        _ => Some(false),
    }
}

fn may_hold_token(uri: &Uri<'_>) -> bool {
    uri.user
        .is_some_and(|user| (MIN_LENGTH..=MAX_LENGTH).contains(&user.len()))
}
