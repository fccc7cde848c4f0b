use super::*;
use std::net::Ipv4Addr;

const HOST: Host<'static> = Host::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn uri(text: &str) -> Option<Uri<'_>> {
    parse_uri(text.as_bytes())
}

fn via(text: &str) -> Option<Via<'_>> {
    parse_via(text.as_bytes())
}

#[test]
fn a_uri_has_user_host_port_and_parameters() {
    let text = "sip:alice;x=1@192.0.2.1:5070;user=phone;lr";
    let read = uri(text).unwrap();
    assert_eq!(read.text, text.as_bytes());
    assert_eq!(read.user, Some(b"alice;x=1".as_slice()));
    assert_eq!(
        (read.host, read.port, read.port_or_default()),
        (HOST, Some(5070), 5070)
    );
    assert_eq!(read.params, b";user=phone;lr");
    assert_eq!(&text[read.host_port.0..read.host_port.1], "192.0.2.1:5070");
    assert!(read.loose && read.udp && !read.tls);
}

#[test]
fn a_uri_may_be_a_host_only() {
    let read = uri("sip:Vip.Example").unwrap();
    assert_eq!(
        (read.user, read.host, read.port),
        (None, Host::Name(b"Vip.Example"), None)
    );
    assert_eq!(
        (read.port_or_default(), read.params),
        (5060, b"".as_slice())
    );
    assert_eq!(read.host_port, (4, 15));
    assert!(!read.loose && read.udp);
    let read = uri("sip:[2001:db8::1]:5080").unwrap();
    assert_eq!(read.host, Host::Address("2001:db8::1".parse().unwrap()));
    assert_eq!((read.port, read.host_port), (Some(5080), (4, 22)));
}

#[test]
fn what_a_uri_asks_for_is_read_in_any_case() {
    for (params, loose, udp, tls) in [
        (";LR", true, true, false),
        (";lr=on;ftag=a.b-c;did=1", true, true, false),
        (";transport=UDP", false, true, false),
        (";Transport=udp;ob", false, true, false),
        (";transport", false, true, false),
        (";transport=", false, true, false),
        (";transport=tcp", false, false, false),
        (";transport=TLS;lr", true, false, true),
        (";transport=ws", false, false, false),
        (";x=a=b", false, true, false),
        (";lrx", false, true, false),
    ] {
        let text = format!("sip:a@192.0.2.1{params}");
        let read = uri(&text).unwrap();
        assert_eq!(
            (read.loose, read.udp, read.tls),
            (loose, udp, tls),
            "{params}"
        );
    }
    assert_eq!(
        uri("sip:a@b;transport=tls").unwrap().port_or_default(),
        5061
    );
    assert_eq!(uri("sip:a@b:1;transport=tls").unwrap().port_or_default(), 1);
}

#[test]
fn a_dialled_hash_is_a_user() {
    assert_eq!(uri("sip:*21#@b").unwrap().user, Some(b"*21#".as_slice()));
    assert_eq!(
        uri("sip:+1-(2)@b").unwrap().user,
        Some(b"+1-(2)".as_slice())
    );
}

#[test]
fn what_is_no_uri_or_an_unusual_one_is_not_read() {
    for text in [
        "",
        "sip:",
        "sips:a@b",
        "SIP:a@b",
        "tel:+1",
        "urn:service:sos",
        "sip:@b",
        "sip:a@",
        "sip:a:b@c",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a%20@b",
        "sip:a@b%20",
        "sip:a@b;x=%20",
        "sip:a@b?x=y",
        "sip:a@b;",
        "sip:a@b;;x",
        "sip:a@b;=x",
        "sip:a@b;x;x",
        "sip:a@b;x=1;X=2",
        "sip:a@b;maddr=1.2.3.4",
        "sip:a@b;MADDR",
        "sip:a@b:",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:123456",
        "sip:a@b:5060x",
        "sip:a@b:5060 ",
        "sip:a@b/x",
        "sip:a@1.2.3",
        "sip:a@01.2.3.4",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@b;x=\"y\"",
        "sip:a@b;x=<",
        "sip:\u{e4}@b",
        "sip:a@b;\u{e4}",
        "sip:a@b;x=\u{e4}",
        "sip:a@b;x\t",
        "<sip:a@b>",
        "sip:a@b,",
        "sip:a@-b",
    ] {
        assert_eq!(uri(text), None, "{text}");
    }
    let many: Vec<_> = (0..17).map(|number| format!(";p{number}")).collect();
    assert_eq!(uri(&format!("sip:b{}", many.concat())), None);
    assert!(uri(&format!("sip:b{}", many[..16].concat())).is_some());
}

#[test]
fn escapes_are_read_where_the_user_does_not_matter() {
    for (text, is_read) in [
        ("sip:a%40b@c", true),
        ("sip:%23@c", true),
        ("sip:a%4@c", false),
        ("sip:a%@c", false),
        ("sip:a%4g@c", false),
    ] {
        assert_eq!(
            parse_uri_of_any_user(text.as_bytes()).is_some(),
            is_read,
            "{text}"
        );
    }
    assert!(parse_uri_of_any_user(b"sip:a@c").is_some());
    assert!(parse_uri_of_any_user(b"sip:@c").is_none());
    assert!(parse_uri_of_any_user(b"sip:a%40:b@c").is_none());
}

#[test]
fn a_via_of_a_phone() {
    let read = via("SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bKa").unwrap();
    assert_eq!(
        (read.host, read.port, read.sent_by_port()),
        (HOST, Some(5070), 5070)
    );
    assert_eq!(
        (read.branch, read.rport, read.received),
        (b"z9hG4bKa".as_slice(), Rport::Asked, None)
    );
    assert!(!read.secure);
    assert_eq!(
        read.reply_address(),
        Some("192.0.2.1:5070".parse().unwrap())
    );
}

#[test]
fn a_via_of_ours() {
    let read = via("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0;rport;l=1a;t=2b;i=3c").unwrap();
    assert_eq!(
        (read.mark, read.left, read.arrival),
        (b"1a".as_slice(), b"2b".as_slice(), b"3c".as_slice())
    );
}

#[test]
fn a_reply_goes_to_where_its_request_came_from() {
    for (params, expected) in [
        (
            ";received=198.51.100.7;rport=1024",
            Some("198.51.100.7:1024"),
        ),
        (";received=198.51.100.7", Some("198.51.100.7:5060")),
        (";rport=1024", Some("192.0.2.1:1024")),
        (";rport=01024", Some("192.0.2.1:1024")),
        (";rport=", Some("192.0.2.1:5060")),
        (";RPORT=1;Received=198.51.100.7", Some("198.51.100.7:1")),
        (";received=2001:db8::1", Some("[2001:db8::1]:5060")),
        (";received=[2001:db8::1]", Some("[2001:db8::1]:5060")),
    ] {
        let text = format!("SIP/2.0/UDP 192.0.2.1{params}");
        assert_eq!(
            via(&text).unwrap().reply_address(),
            expected.map(|text| text.parse().unwrap()),
            "{params}"
        );
    }
    assert_eq!(
        via("SIP/2.0/UDP pbx.example").unwrap().reply_address(),
        None
    );
    let read = via("SIP/2.0/UDP PBX.example;received=198.51.100.7").unwrap();
    assert_eq!(read.host, Host::Name(b"PBX.example"));
    assert_eq!(
        read.reply_address(),
        Some("198.51.100.7:5060".parse().unwrap())
    );
}

#[test]
fn the_default_port_is_the_transports() {
    for (transport, port) in [
        ("UDP", 5060),
        ("TLS", 5061),
        ("tls", 5061),
        ("WSS", 5061),
        ("WS", 5060),
        ("TLS-SCTP", 5060),
    ] {
        assert_eq!(
            via(&format!("SIP/2.0/{transport} a"))
                .unwrap()
                .sent_by_port(),
            port
        );
    }
}

#[test]
fn unusual_parameters_change_nothing_about_the_usual_ones() {
    let usual = ";rport=5;branch=x;received=192.0.2.9;l=1;t=2;i=3";
    let read = |params: &str| {
        let text = format!("SIP/2.0/UDP a{params}");
        via(&text).map(|via| format!("{via:?}"))
    };
    let expected = read(usual);
    assert!(expected.is_some());
    for other in [
        ";ttl=1",
        ";x",
        ";rportx=1",
        ";b",
        ";rp",
        ";r",
        ";branches=1",
    ] {
        assert_eq!(read(&format!("{other}{usual}")), expected, "{other}");
        assert_eq!(read(&format!("{usual}{other}")), expected, "{other}");
    }
    for twice in [
        ";rport",
        ";Branch=y",
        ";T=1",
        ";i",
        ";l=",
        ";received=192.0.2.9",
    ] {
        assert_eq!(read(&format!("{usual}{twice}")), None, "{twice}");
    }
    assert_eq!(
        read(";RPORT=5;Branch=x;RECEIVED=192.0.2.9;L=1;T=2;I=3"),
        expected
    );
}

#[test]
fn what_is_no_via_or_an_unusual_one_is_not_read() {
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/ a",
        "SIP/2.0/UDP  a",
        "SIP/2.0/UDP\ta",
        "SIP / 2.0 / UDP a",
        "sip/2.0/udp a",
        "SIP/3.0/UDP a",
        "SIP/2.0/U(P a",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a;",
        "SIP/2.0/UDP a ;branch=x",
        "SIP/2.0/UDP a; branch=x",
        "SIP/2.0/UDP a;branch =x",
        "SIP/2.0/UDP a;branch= x",
        "SIP/2.0/UDP a;branch=x;branch=y",
        "SIP/2.0/UDP a;x;X",
        "SIP/2.0/UDP a;branch=\"x\"",
        "SIP/2.0/UDP a;x=a,b",
        "SIP/2.0/UDP a;x=<",
        "SIP/2.0/UDP a;=x",
        "SIP/2.0/UDP a:0",
        "SIP/2.0/UDP a:99999",
        "SIP/2.0/UDP a:5060:1",
        "SIP/2.0/UDP a;rport=0",
        "SIP/2.0/UDP a;rport=65536",
        "SIP/2.0/UDP a;rport=x",
        "SIP/2.0/UDP a;received",
        "SIP/2.0/UDP a;received=b",
        "SIP/2.0/UDP a;received=1.2.3",
        "SIP/2.0/UDP a;received=01.2.3.4",
        "SIP/2.0/UDP a;received=[1.2.3.4]",
        "SIP/2.0/UDP a;received=[::1",
        "SIP/2.0/UDP a;received=fe80::1%1",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP a;(x)",
        "SIP/2.0/UDP \u{e4}",
        "SIP/2.0/UDP a;\u{e4}",
    ] {
        assert_eq!(via(text), None, "{text}");
    }
    assert_eq!(
        via("SIP/2.0/UDP a;x=\u{e4};branch=a=b").unwrap().branch,
        b"a=b"
    );
}

#[test]
fn a_call_id_is_trimmed() {
    assert_eq!(
        call_id(b" \tf81d4fae@192.0.2.1 "),
        Some(b"f81d4fae@192.0.2.1".as_slice())
    );
    assert_eq!(
        call_id("(<\"\u{e4}".as_bytes()),
        Some("(<\"\u{e4}".as_bytes())
    );
    for raw in [b"".as_slice(), b" ", b"a b", b"a\x7f", b"a\x01"] {
        assert_eq!(call_id(raw), None);
    }
}

#[test]
fn a_cseq_has_a_number_and_a_method() {
    assert_eq!(cseq(b" 0009 \t INVITE "), Some((9, b"INVITE".as_slice())));
    assert_eq!(
        cseq(b"2147483647 X"),
        Some((i32::MAX.unsigned_abs(), b"X".as_slice()))
    );
    for raw in [
        b"".as_slice(),
        b"1",
        b"1 ",
        b"INVITE",
        b" INVITE",
        b"1INVITE",
        b"1 IN VITE",
        b"1 INV(TE",
        b"2147483648 X",
        b"-1 X",
        b"99999999999 X",
    ] {
        assert_eq!(cseq(raw), None);
    }
}

#[test]
fn the_numbers_of_fields() {
    assert_eq!(
        (
            content_length(b" 0 "),
            content_length(b"0004294967"),
            content_length(b"")
        ),
        (Some(0), Some(4_294_967), None)
    );
    assert_eq!(
        (
            content_length(b"1 2"),
            content_length(b"+1"),
            content_length(b"00000000001")
        ),
        (None, None, None)
    );
    assert_eq!(
        (
            max_forwards(b" 70"),
            max_forwards(b"255"),
            max_forwards(b"256")
        ),
        (Some(70), Some(255), None)
    );
    assert_eq!(
        (max_forwards(b""), max_forwards(b"x"), max_forwards(b"0")),
        (None, None, Some(0))
    );
}

#[test]
fn a_retry_after_may_have_a_comment() {
    for (raw, seconds) in [
        (" 18000", 18000),
        ("5 (in a meeting)", 5),
        ("5;duration=3600", 5),
        ("5(x", 5),
        ("5 ;x", 5),
        ("4294967295", u32::MAX),
    ] {
        assert_eq!(retry_after(raw.as_bytes()), Some(seconds), "{raw}");
    }
    for raw in [
        "",
        "x",
        "5x",
        "5 x",
        "-5",
        "4294967296",
        "12345678901",
        "5,6",
    ] {
        assert_eq!(retry_after(raw.as_bytes()), None, "{raw}");
    }
}
