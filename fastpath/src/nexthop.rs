//! Where does a request go next: the two sides, the token's direction rule, and dispatching (`dispatcher.nexthop`)?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::choice::{Chosen, dispatch};
use crate::image::Image;
use crate::nat::is_behind_nat;
use crate::recent::RecentChoices;
use crate::request::Request;
use crate::routeset::{Grant, RouteSet, is_ours};
use crate::scan::{Message, Name};
use crate::token::{Claims, Transport, tag_hash};
use crate::value::{Host, Uri};

/// Where a request goes and what its Record-Route will say.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The next hop.
    pub address: SocketAddr,
    /// The place of the listener that it leaves by.
    pub listener: usize,
    /// What its token will say.
    pub claims: Claims,
    /// The listener by which the edge end is reached.
    pub edge_listener: usize,
    /// The place of the destination that it goes to.
    pub destination: Option<usize>,
    /// When it was dispatched.
    pub chosen: Option<Chosen>,
    /// The next hop is the topmost Route that is left.
    pub along_route: bool,
}

/// What a request is asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a, 'm, 's> {
    /// What is known.
    pub image: &'a Image,
    /// The choices of the last minutes.
    pub recent: &'a RecentChoices,
    /// The request, split.
    pub message: &'a Message<'m, 's>,
    /// The request, read.
    pub request: &'a Request<'m>,
    /// Whether it comes from the core.
    pub from_core: bool,
    /// In seconds.
    pub now: f64,
}

/// The next hop of a request; `None` when Python refuses it, looks a name up, or decides otherwise.
#[must_use]
pub fn next_hop<'m>(asked: Asked<'_, 'm, '_>, routes: &RouteSet<'m>) -> Option<Hop> {
    let hop = match &routes.grant {
        Some(grant) => by_token(asked, routes, grant),
        None if asked.from_core => from_core(asked, routes),
        None => {
            let uri = &asked.request.uri;
            let named = asked.image.listed(uri.host, uri.port_or_default());
            dispatched(asked, named)
        }
    }?;
    let strict = hop.along_route && !routes.top.as_ref().is_some_and(|top| top.loose);
    (!strict).then_some(hop)
}

fn by_token<'m>(asked: Asked<'_, 'm, '_>, routes: &RouteSet<'m>, grant: &Grant) -> Option<Hop> {
    let image = asked.image;
    let source = asked.request.source;
    let claims = grant.claims;
    if claims.transport != Transport::Udp {
        return None;
    }
    let from_creator = claims.creator_tag == tag_hash(asked.request.from_tag);
    if claims.is_path || from_creator == claims.creator_is_core {
        return toward_edge(asked, routes, grant);
    }
    let target = target(asked, routes);
    let place = image.listed(target.host, target.port_or_default());
    let address = match place {
        Some(place) => image.fixed.destinations.get(place)?.address,
        None => claims.core,
    };
    if !(asked.from_core || image.is_core(address.ip()) || source.ip() == claims.edge.ip()) {
        return None;
    }
    let leave_by = grant.leave_by.unwrap_or(asked.request.arrival);
    Some(Hop {
        address,
        listener: image.listener_for(address.ip(), leave_by)?,
        claims,
        edge_listener: grant.edge_listener,
        destination: place,
        chosen: None,
        along_route: routes.top.is_some(),
    })
}

/// Only the core, or the token's own core end, may use a token in this direction.
fn toward_edge<'m>(asked: Asked<'_, 'm, '_>, routes: &RouteSet<'m>, grant: &Grant) -> Option<Hop> {
    let source = asked.request.source;
    let mut claims = grant.claims;
    let mut address = claims.edge;
    let mut along_route = false;
    if !asked.from_core {
        if source.ip() != claims.core.ip() {
            return None;
        }
    } else if !claims.behind_nat {
        let asked_for = numeric_address(target(asked, routes))?;
        if !is_own(asked.image, asked_for) {
            address = asked_for;
            along_route = routes.top.is_some();
        }
    }
    if claims.is_path {
        claims.core = plain(source);
        claims.creator_is_core = true;
        claims.creator_tag = tag_hash(asked.request.from_tag);
        claims.is_path = false;
    }
    Some(Hop {
        address,
        listener: asked
            .image
            .listener_for(address.ip(), grant.edge_listener)?,
        claims,
        edge_listener: grant.edge_listener,
        destination: None,
        chosen: None,
        along_route,
    })
}

fn from_core<'m>(asked: Asked<'_, 'm, '_>, routes: &RouteSet<'m>) -> Option<Hop> {
    let image = asked.image;
    let request = asked.request;
    if is_ours(image, &request.uri, routes.top.is_none())? {
        return dispatched(asked, None);
    }
    let address = numeric_address(target(asked, routes))?;
    if is_own(image, address) {
        return dispatched(asked, None);
    }
    let listener = image.listener_outward(address.ip(), request.arrival)?;
    Some(Hop {
        address,
        listener,
        claims: Claims {
            edge: address,
            core: plain(request.source),
            behind_nat: false,
            creator_is_core: true,
            creator_tag: tag_hash(request.from_tag),
            is_path: false,
            transport: Transport::Udp,
        },
        edge_listener: listener,
        destination: image.listed(Host::Address(address.ip()), address.port()),
        chosen: None,
        along_route: routes.top.is_some(),
    })
}

fn dispatched(asked: Asked<'_, '_, '_>, named: Option<usize>) -> Option<Hop> {
    let image = asked.image;
    let request = asked.request;
    let chosen = dispatch(
        image,
        asked.recent,
        asked.message,
        request,
        named,
        asked.now,
    )?;
    let destination = image.fixed.destinations.get(chosen.destination)?;
    let raw_contact = asked.message.raw(Name::Contact);
    let preferred = destination.socket.unwrap_or(request.arrival);
    Some(Hop {
        address: destination.address,
        listener: image.listener_for(destination.address.ip(), preferred)?,
        claims: Claims {
            edge: plain(request.source),
            core: destination.address,
            behind_nat: is_behind_nat(&request.via, raw_contact, request.source)?,
            creator_is_core: false,
            creator_tag: tag_hash(request.from_tag),
            is_path: false,
            transport: Transport::Udp,
        },
        edge_listener: request.arrival,
        destination: Some(chosen.destination),
        chosen: Some(chosen),
        along_route: false,
    })
}

fn target<'a, 'm>(asked: Asked<'a, 'm, '_>, routes: &'a RouteSet<'m>) -> &'a Uri<'m> {
    routes.top.as_ref().unwrap_or(&asked.request.uri)
}

/// The address that a URI names if a datagram can be sent there; names are Python's, and so are other transports.
fn numeric_address(uri: &Uri<'_>) -> Option<SocketAddr> {
    let Host::Address(host) = uri.host else {
        return None;
    };
    let one_node = match host {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && v4 != Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_multicast() && v6.to_ipv4_mapped().is_none()
        }
    };
    (uri.udp && one_node).then(|| SocketAddr::new(host, uri.port.unwrap_or(5060)))
}

fn is_own(image: &Image, address: SocketAddr) -> bool {
    image
        .own_listener(Host::Address(address.ip()), address.port())
        .is_some()
}

/// Host and port alone: a zone leads nowhere from another node.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
