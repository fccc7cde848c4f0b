use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::image::{Algorithm, Fixed, ForceRport, Kind, Way};

const PHONE: &str = "198.51.100.7:40001";
const SERVER: &str = "10.0.0.11:5060";
const UP: u8 = 3;

/// One server behind two listeners, the second of which is for servers.
fn image(change: impl FnOnce(&mut Fixed)) -> Image {
    let slots: Vec<u8> = [0u16, 0xffff, 0xffff, 0xffff]
        .into_iter()
        .flat_map(u16::to_le_bytes)
        .cycle()
        .take(1 << 19)
        .collect();
    let mut fixed = Fixed::new(vec![[7; 16]]);
    fixed.add_listener(at("192.0.2.1:5060"), b"192.0.2.1:5060", false);
    fixed.add_listener(at("10.0.0.1:5060"), b"10.0.0.1:5060", true);
    fixed.add_own("192.0.2.1", 5060, 0);
    fixed.add_own("10.0.0.1", 5060, 1);
    fixed.add_pool(1, vec![Some(Arc::new(slots))]);
    fixed.add_destination(at(SERVER), 1000, None);
    fixed.add_listed("10.0.0.11", 5060, 0);
    fixed.default = Way {
        pool: Some(0),
        algorithm: Algorithm {
            kind: Kind::CallId,
            table: 0,
        },
        salt: 99,
    };
    change(&mut fixed);
    Image {
        version: 1,
        fixed: Arc::new(fixed),
        liveness: vec![UP].into(),
        ramp: Vec::new().into(),
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A request of the phone with these further lines, each with its line end.
fn request(method: &str, uri: &str, via: &str, lines: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:8005@a>;tag=x\r\n\
         To: <sip:8006@a>\r\nCall-ID: a\r\nCSeq: 1 {method}\r\n{lines}\r\n"
    )
}

const OURS: &str = "sip:8006@192.0.2.1";
const VIA: &str = "SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1;rport";

/// What becomes of a datagram, and what leaves.
fn ask<'m>(image: &Image, text: &'m [u8], source: &str) -> (Decision<'m>, String) {
    let mut out = b"what was there".to_vec();
    let decision = decide(
        image,
        &RecentChoices::new(64),
        &mut Scratch::default(),
        text,
        at(source),
        0,
        1.2,
        &mut out,
    );
    (decision, String::from_utf8(out).unwrap())
}

fn is_handed_over(text: &str, source: &str) -> bool {
    let image = image(|_| ());
    matches!(
        ask(&image, text.as_bytes(), source).0,
        Decision::HandOver(_)
    )
}

fn sent(image: &Image, text: &str, source: &str) -> (String, SocketAddr, usize) {
    let (decision, out) = ask(image, text.as_bytes(), source);
    let Decision::Forward(forward) = decision else {
        panic!("{decision:?}");
    };
    (out, forward.address, forward.listener)
}

/// A server's answer to what it was sent.
fn answer(text: &str, status: &str) -> String {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines: Vec<&str> = text
        .split("\r\n")
        .filter(|line| kept.iter().any(|name| line.starts_with(name)))
        .collect();
    format!("SIP/2.0 {status}\r\n{}\r\nl: 0\r\n\r\n", lines.join("\r\n"))
}

#[test]
fn what_has_no_via_line_ends_here() {
    let image = image(|_| ());
    for (text, reason) in [
        (&b""[..], DropReason::Keepalive),
        (b"\r\n\r\n", DropReason::Keepalive),
        (b"\0 \0", DropReason::Keepalive),
        (b"\x00\x01\x00\x00", DropReason::Stun),
        (b"\x03", DropReason::Stun),
        (b"SIP/2.0 200 OK\r\n\r\n", DropReason::MalformedReply),
        (
            b"\r\nsip/2.0 200 OK\r\nTo: x\r\n\r\n",
            DropReason::MalformedReply,
        ),
        (b"SIP", DropReason::Malformed),
        (b"\x04", DropReason::Malformed),
        (
            b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\n",
            DropReason::Malformed,
        ),
    ] {
        assert_eq!(
            ask(&image, text, PHONE).0,
            Decision::Drop(reason),
            "{text:?}"
        );
    }
    for text in [&b"x\nvia"[..], b"\nV", b"SIP/2.0 200 OK\r\nv: x\r\n\r\n"] {
        assert_eq!(
            ask(&image, text, PHONE).0,
            Decision::HandOver(0),
            "{text:?}"
        );
    }
}

#[test]
fn the_messages_of_a_call_have_one_order() {
    let image = image(|_| ());
    let own = order(&image, b"x\r\nCall-ID: a\r\n");
    assert_ne!(own, 0);
    assert_eq!(order(&image, b"y\nCALL-ID : a \n"), own);
    assert_ne!(order(&image, b"x\r\nCall-ID: b\r\n"), own);
    assert_eq!(order(&image, b"x"), 0);
}

#[test]
fn a_request_goes_to_the_server_and_its_reply_comes_back() {
    let image = image(|_| ());
    let (invite, server, _) = sent(&image, &request("INVITE", OURS, VIA, ""), PHONE);
    assert_eq!(server, at(SERVER));
    let start =
        "INVITE sip:8006@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK";
    assert!(invite.starts_with(start), "{invite}");
    assert!(invite.contains(";t=00xc\r\nRecord-Route: <sip:"));
    let below =
        "Via: SIP/2.0/UDP 198.51.100.7:40001;branch=z9hG4bK1;rport=40001;received=198.51.100.7\r\n";
    assert!(invite.contains(below), "{invite}");
    assert!(invite.contains("\r\nMax-Forwards: 69\r\n"));
    let (reply, phone, _) = sent(&image, &answer(&invite, "200 OK"), SERVER);
    assert_eq!(phone, at(PHONE));
    assert!(
        reply.starts_with(&format!("SIP/2.0 200 OK\r\n{below}")),
        "{reply}"
    );
    let forged = answer(&invite, "200 OK").replace("Call-ID: a", "Call-ID: b");
    let dropped = Decision::Drop(DropReason::ReplyForged);
    assert_eq!(ask(&image, forged.as_bytes(), SERVER).0, dropped);
}

#[test]
fn a_reply_keeps_what_its_first_line_has_behind_our_via() {
    let image = image(|_| ());
    let (invite, ..) = sent(&image, &request("INVITE", OURS, VIA, ""), PHONE);
    let joined =
        answer(&invite, "200 OK").replacen("\r\nVia: SIP/2.0/UDP 198", ",\tSIP/2.0/UDP 198", 1);
    let (reply, ..) = sent(&image, &joined, SERVER);
    assert!(
        reply.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.7:40001;"),
        "{reply}"
    );
}

#[test]
fn who_does_not_know_its_address_is_told_as_the_operator_wants() {
    let via = "SIP/2.0/UDP 192.168.1.9:5062;branch=z9hG4bK1 , SIP/2.0/UDP b";
    let text = request("OPTIONS", OURS, via, "");
    for (force_rport, stamp) in [
        (ForceRport::Nat, ";rport=40001;received=198.51.100.7 , "),
        (ForceRport::Always, ";rport=40001;received=198.51.100.7 , "),
        (ForceRport::Never, ";received=198.51.100.7 , "),
    ] {
        let image = image(|fixed| fixed.force_rport = force_rport);
        let (options, ..) = sent(&image, &text, PHONE);
        assert!(
            options.contains(&format!(";branch=z9hG4bK1{stamp}SIP/2.0/UDP b\r\n")),
            "{options}"
        );
    }
    let untouched = request("OPTIONS", OURS, "SIP/2.0/UDP 198.51.100.7:40001", "");
    let (options, ..) = sent(&image(|_| ()), &untouched, PHONE);
    assert!(
        options.contains("\r\nVia: SIP/2.0/UDP 198.51.100.7:40001\r\n"),
        "{options}"
    );
}

#[test]
fn our_routes_are_taken_off() {
    let image = image(|_| ());
    let own = "<sip:192.0.2.1;lr>";
    for (lines, left) in [
        (format!("Route: {own}\r\n"), ""),
        (
            format!("Route: {own}, {own}\r\nroute:{own}\r\nX: y\r\n"),
            "X: y\r\n",
        ),
        (
            format!("Route: {own}, <sip:10.0.0.11;lr> \r\n"),
            "Route: <sip:10.0.0.11;lr>\r\n",
        ),
    ] {
        let (left_by_us, ..) = sent(
            &image,
            &request("INFO", "sip:8006@10.0.0.1", VIA, &lines),
            PHONE,
        );
        assert!(
            left_by_us.ends_with(&format!("CSeq: 1 INFO\r\n{left}\r\n")),
            "{left_by_us}"
        );
    }
}

#[test]
fn python_is_asked_where_it_may_refuse() {
    let options = request("OPTIONS", "sip:192.0.2.1", VIA, "");
    assert!(is_handed_over(&options, PHONE), "it is for us");
    let plain = request("INVITE", OURS, VIA, "");
    assert!(!is_handed_over(&plain, PHONE));
    for (before, after) in [
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("Call-ID: a", "Proxy-Require: a\r\nCall-ID: a"),
        ("Call-ID: a\r\n", ""),
        ("Call-ID: a", "l: 1\r\nCall-ID: a"),
        (
            "Call-ID: a",
            "Route: <sip:192.0.2.9>\r\nVia: \"\r\nRoute: x\r\nCall-ID: a",
        ),
        ("sip:8006@", "sips:8006@"),
    ] {
        assert!(
            is_handed_over(&plain.replacen(before, after, 1), PHONE),
            "{after}"
        );
    }
    let strict = request(
        "INVITE",
        "sip:a@203.0.113.5",
        VIA,
        "Route: <sip:203.0.113.9>\r\n",
    );
    assert!(is_handed_over(&strict, SERVER), "to a strict router");
    let named = request("INVITE", "sip:a@trunk.example.net", VIA, "");
    assert!(
        is_handed_over(&named, SERVER),
        "the core's names are looked up"
    );
}

#[test]
fn a_loop_is_python_s_to_refuse() {
    let image = image(|_| ());
    let (once, ..) = sent(
        &image,
        &request("INVITE", "sip:a@203.0.113.5", VIA, ""),
        SERVER,
    );
    assert!(is_handed_over(&once, SERVER));
    let elsewhere = once.replace("INVITE sip:a@", "INVITE sip:b@");
    assert!(!is_handed_over(&elsewhere, SERVER), "a spiral is none");
}

#[test]
fn a_body_is_cut_where_its_length_says() {
    let image = image(|_| ());
    let text = request("INVITE", OURS, VIA, "Content-Length: 2\r\n") + "abcd";
    let (invite, ..) = sent(&image, &text, PHONE);
    assert!(invite.ends_with("Content-Length: 2\r\n\r\nab"), "{invite}");
}

#[test]
fn the_ack_to_python_s_answer_ends_here() {
    let image = image(|_| ());
    let tag = crate::branch::Transaction {
        branch: b"z9hG4bK1",
        host: crate::value::Host::Address(at(PHONE).ip()),
        port: 40001,
        reply_to: at(PHONE),
        call_id: b"a",
        from_tag: b"x",
        cseq: 1,
    }
    .mac(image.key(), Use::ToTag);
    let ack = request("ACK", OURS, VIA, "")
        .replace("<sip:8006@a>", &format!("<sip:8006@a>;tag={tag:016x}"));
    let dropped = Decision::Drop(DropReason::AckToOurAnswer);
    assert_eq!(ask(&image, ack.as_bytes(), PHONE).0, dropped);
    let other = ack.replace(";tag=", ";tag=0");
    assert!(matches!(
        ask(&image, other.as_bytes(), PHONE).0,
        Decision::Forward(_)
    ));
}
