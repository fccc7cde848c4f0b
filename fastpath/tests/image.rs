//! What the packet path knows: whose a host is, by which listener to leave, which rule matches, what is followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use _fastpath::image::{Algorithm, Fixed, Follow, Image, Kind, Way};
use _fastpath::keyed::{Use, digest};
use _fastpath::rules::Rule;
use _fastpath::select::aor_digest;
use _fastpath::value::{Host, Uri};

const KEY: [u8; 16] = [7; 16];
const UP: u8 = 3;
const DOWN: u8 = 8;
const DRAINING: u8 = 18;
const DISABLED: u8 = 32;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn host(text: &str) -> Host<'_> {
    text.parse()
        .map_or(Host::Name(text.as_bytes()), Host::Address)
}

fn uri<'m>(user: Option<&'m str>, name: &'m str, port: Option<u16>) -> Uri<'m> {
    Uri {
        text: b"",
        user: user.map(str::as_bytes),
        host: host(name),
        port,
        params: b"",
        host_port: (0, 0),
        loose: false,
        udp: true,
        tls: false,
    }
}

fn way(pool: usize) -> Way {
    let algorithm = Algorithm {
        kind: Kind::CallId,
        table: 0,
    };
    Way {
        pool: Some(pool),
        algorithm,
        salt: 0,
    }
}

/// A public listener, one toward the servers, and one of IPv6; two servers, one of which the list has by name only.
fn fixed() -> Fixed {
    let mut fixed = Fixed::new(vec![KEY]);
    fixed.add_listener(socket("192.0.2.1:5060"), b"192.0.2.1:5060", false);
    fixed.add_listener(socket("10.0.0.1:5060"), b"10.0.0.1:5060", true);
    fixed.add_listener(socket("[2001:db8::1]:5060"), b"[2001:db8::1]:5060", false);
    fixed.add_own("192.0.2.1", 5060, 0);
    fixed.add_own("10.0.0.1", 5060, 1);
    fixed.add_own("edge.example.com", 5070, 1);
    fixed.add_own("2001:db8::1", 5060, 2);
    for name in ["edge.example.com", "example.com"] {
        fixed.add_own_name(name);
    }
    fixed.domains.add("example.com");
    fixed.add_pool(1, vec![]);
    fixed.add_destination(socket("10.0.0.11:5060"), 1000, Some(1));
    fixed.add_destination(socket("10.0.0.12:5060"), 1001, None);
    fixed.add_listed("10.0.0.11", 5060, 0);
    fixed.add_listed("10.0.0.12", 5060, 1);
    fixed.add_listed("pbx.example.com", 5060, 1);
    fixed
        .core_networks
        .push((ip("10.9.0.0"), ip("10.9.255.255")));
    fixed.core_networks.push((
        ip("2001:db8:2::"),
        ip("2001:db8:2:ffff:ffff:ffff:ffff:ffff"),
    ));
    fixed.default = way(0);
    fixed
}

fn image_of(fixed: Fixed, liveness: &[u8]) -> Image {
    Image {
        version: 1,
        fixed: Arc::new(fixed),
        liveness: liveness.into(),
        ramp: [].into(),
    }
}

fn image() -> Image {
    image_of(fixed(), &[UP, UP])
}

#[test]
fn the_core_is_the_servers_and_the_networks_of_the_operator() {
    for core in [
        "10.0.0.11",
        "10.0.0.12",
        "10.9.0.0",
        "10.9.255.255",
        "2001:db8:2::7",
    ] {
        assert!(image().is_core(ip(core)), "{core}");
    }
    for edge in [
        "10.0.0.13",
        "10.10.0.0",
        "2001:db8:3::7",
        "::ffff:10.0.0.11",
        "198.51.100.7",
    ] {
        assert!(!image().is_core(ip(edge)), "{edge}");
    }
}

#[test]
fn a_name_of_ours_may_lack_the_port_and_an_address_must_have_it() {
    let image = image();
    let ours = |name, port| image.is_own_name(&uri(None, name, port));
    for (name, port) in [
        ("192.0.2.1", None),
        ("192.0.2.1", Some(5060)),
        ("Edge.Example.com", None),
        ("edge.example.com", Some(5070)),
        ("EXAMPLE.com", Some(5070)),
        ("example.com", None),
        ("2001:db8::1", None),
    ] {
        assert_eq!(ours(name, port), Some(true), "{name} {port:?}");
    }
    for (name, port) in [
        ("192.0.2.1", Some(5070)),
        ("edge.example.com", Some(5060)),
        ("example.com", Some(5099)),
        ("10.0.0.11", None),
        ("pbx.example.com", None),
        ("example.org", None),
    ] {
        assert_eq!(ours(name, port), Some(false), "{name} {port:?}");
    }
}

#[test]
fn what_the_list_has_is_meant_before_us() {
    let mut fixed = fixed();
    fixed.add_listed("example.com", 5060, 0);
    let image = image_of(fixed, &[UP, UP]);
    assert_eq!(
        image.is_own_name(&uri(None, "example.com", None)),
        Some(false)
    );
    assert_eq!(
        image.is_own_name(&uri(None, "example.com", Some(5070))),
        Some(true)
    );
}

#[test]
fn the_port_of_another_transport_is_python_s_to_know() {
    let tls = |port| Uri {
        udp: false,
        ..uri(None, "192.0.2.1", port)
    };
    assert_eq!(image().is_own_name(&tls(None)), None);
    assert_eq!(image().is_own_name(&tls(Some(5060))), Some(true));
}

#[test]
fn a_message_leaves_by_a_listener_of_its_family() {
    let image = image();
    assert_eq!(image.listener_for(ip("198.51.100.7"), 1), Some(1));
    assert_eq!(image.listener_for(ip("198.51.100.7"), 2), Some(0));
    assert_eq!(image.listener_for(ip("2001:db8::7"), 0), Some(2));
    assert_eq!(
        image.listener_for(ip("2001:db8::7"), 3),
        None,
        "there is no such listener"
    );
    let only = image_of(
        {
            let mut fixed = Fixed::new(vec![KEY]);
            fixed.add_listener(socket("192.0.2.1:5060"), b"192.0.2.1:5060", false);
            fixed
        },
        &[],
    );
    assert_eq!(only.listener_for(ip("2001:db8::7"), 0), None);
}

#[test]
fn the_listener_toward_the_servers_leads_to_no_carrier() {
    let image = image();
    assert_eq!(image.listener_outward(ip("198.51.100.7"), 1), Some(0));
    assert_eq!(image.listener_outward(ip("10.0.0.12"), 1), Some(1));
    assert_eq!(image.listener_outward(ip("198.51.100.7"), 0), Some(0));
    assert_eq!(image.listener_outward(ip("2001:db8::7"), 1), Some(2));
    let mut inner_first = fixed();
    inner_first.listeners.swap(0, 1);
    let image = image_of(inner_first, &[UP, UP]);
    assert_eq!(image.listener_outward(ip("198.51.100.7"), 0), Some(1));
    let mut inner_only = fixed();
    inner_only.listeners.remove(0);
    let image = image_of(inner_only, &[UP, UP]);
    assert_eq!(
        image.listener_outward(ip("198.51.100.7"), 0),
        Some(0),
        "there is no other"
    );
}

#[test]
fn a_listener_is_found_by_its_mark() {
    let image = image();
    let mark = format!("{:08x}", crc32fast::hash(b"10.0.0.1:5060"));
    assert_eq!(image.listener_marked(mark.as_bytes()), Some(1));
    assert_eq!(image.listener_marked(mark.to_uppercase().as_bytes()), None);
    assert_eq!(image.listener_marked(b""), None);
    let all: Vec<&[u8]> = image.sent_by().collect();
    assert_eq!(
        all,
        [
            &b"192.0.2.1:5060"[..],
            b"10.0.0.1:5060",
            b"[2001:db8::1]:5060"
        ]
    );
}

#[test]
fn a_recent_choice_is_followed_while_its_server_is_usable_and_by_ack_and_cancel_always() {
    for (code, usable) in [
        (UP, true),
        (DRAINING, true),
        (DOWN, false),
        (DISABLED, false),
    ] {
        let image = image_of(fixed(), &[UP, code]);
        assert_eq!(image.is_usable(1), usable);
        let there = Follow::There(1);
        assert_eq!(
            image.follow(1001, false),
            if usable { there } else { Follow::Anew }
        );
        assert_eq!(image.follow(1001, true), there);
    }
    assert_eq!(image().follow(5, false), Follow::Anew);
    assert_eq!(
        image().follow(5, true),
        Follow::HandOver,
        "Python knows whom the list has lost"
    );
    assert!(!image().is_usable(2));
}

fn ruled(change: impl FnOnce(&mut Rule)) -> Image {
    let mut rule = Rule::new(way(1));
    change(&mut rule);
    let mut fixed = fixed();
    fixed.rules.push(rule);
    image_of(fixed, &[UP, UP])
}

/// The pool that a request of this kind is led to: 1 by the rule, 0 without it.
fn led(image: &Image, method: &str, uri: &Uri<'_>, source: &str, arrival: usize) -> Option<usize> {
    image.way(method.as_bytes(), uri, ip(source), arrival)?.pool
}

#[test]
fn a_rule_without_conditions_matches() {
    let image = ruled(|_| ());
    assert_eq!(
        led(
            &image,
            "INVITE",
            &uri(None, "example.com", None),
            "192.0.2.7",
            0
        ),
        Some(1)
    );
}

#[test]
fn ack_and_cancel_match_as_their_invite() {
    let image = ruled(|rule| rule.methods = vec![(*b"INVITE").into(), (*b"INFO").into()]);
    for (method, pool) in [
        ("INVITE", 1),
        ("ACK", 1),
        ("CANCEL", 1),
        ("INFO", 1),
        ("BYE", 0),
        ("invite", 0),
    ] {
        assert_eq!(
            led(&image, method, &uri(None, "a", None), "192.0.2.7", 0),
            Some(pool),
            "{method}"
        );
    }
}

#[test]
fn a_prefix_is_that_of_the_user_without_parameters() {
    let image = ruled(|rule| rule.user_prefixes = vec![(*b"9").into(), (*b"00").into()]);
    let of = |user| led(&image, "INVITE", &uri(user, "a", None), "192.0.2.7", 0);
    for (user, pool) in [
        ("9", 1),
        ("0049", 1),
        ("049", 0),
        ("", 0),
        (";9", 0),
        ("9;a=b", 1),
    ] {
        assert_eq!(of(Some(user)), Some(pool), "{user}");
    }
    assert_eq!(of(None), Some(0));
}

#[test]
fn hosts_sources_and_listeners_are_conditions() {
    let image = ruled(|rule| {
        rule.hosts.add("example.com");
        rule.hosts.add("2001:db8::1");
        rule.sources = vec![
            (ip("198.51.100.0"), ip("198.51.100.255")),
            (ip("2001:db8::"), ip("2001:db8::ffff")),
        ];
        rule.listeners = Some(vec![0, 2]);
    });
    let of = |name, source, arrival| led(&image, "INVITE", &uri(None, name, None), source, arrival);
    assert_eq!(of("Example.COM", "198.51.100.255", 0), Some(1));
    assert_eq!(of("2001:db8::1", "2001:db8::7", 2), Some(1));
    assert_eq!(of("example.org", "198.51.100.255", 0), Some(0));
    assert_eq!(of("example.com", "198.51.101.0", 0), Some(0));
    assert_eq!(
        of("example.com", "::ffff:198.51.100.1", 0),
        Some(0),
        "another family"
    );
    assert_eq!(of("example.com", "198.51.100.1", 1), Some(0));
    let nowhere = ruled(|rule| rule.listeners = Some(vec![]));
    assert_eq!(
        led(&nowhere, "INVITE", &uri(None, "a", None), "192.0.2.7", 0),
        Some(0)
    );
}

#[test]
fn a_regular_expression_is_python_s_where_all_else_holds() {
    let image = ruled(|rule| {
        rule.has_regex = true;
        rule.user_prefixes = vec![(*b"9").into()];
    });
    let of = |user| {
        image
            .way(b"INVITE", &uri(user, "a", None), ip("192.0.2.7"), 0)
            .is_none()
    };
    assert!(of(Some("91")));
    assert!(!of(Some("81")));
    assert!(!of(None));
    let any_user = ruled(|rule| rule.has_regex = true);
    assert!(
        any_user
            .way(b"INVITE", &uri(None, "a", None), ip("192.0.2.7"), 0)
            .is_some(),
        "no user, no match"
    );
}

#[test]
fn an_address_of_record_is_user_and_if_asked_host() {
    let of = |text: &[u8]| digest(&KEY, Use::Choice, &[text]);
    let phone = uri(Some("8005;phone-context=x"), "Example.COM", Some(5070));
    assert_eq!(aor_digest(&KEY, &phone, false), of(b"8005"));
    assert_eq!(aor_digest(&KEY, &phone, true), of(b"8005@example.com"));
    assert_eq!(
        aor_digest(&KEY, &uri(None, "2001:db8::1", None), true),
        of(b"@2001:db8::1")
    );
    assert_eq!(
        aor_digest(&KEY, &uri(None, "192.0.2.1", None), false),
        of(b"")
    );
}
