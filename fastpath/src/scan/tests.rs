use super::*;

const INVITE: &[u8] = b"INVITE sip:100@vip.example SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bKa;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Alice\" <sip:alice@example>;tag=1\r\n\
To: <sip:100@vip.example>\r\n\
Call-ID: a84b4c76e66710\r\n\
CSeq: 314159 INVITE\r\n\
User-Agent: none of our business\r\n\
Content-Length: 4\r\n\
\r\n\
v=0\n";

/// `INVITE` with one text put in place of another.
fn with(old: &str, new: &str) -> Vec<u8> {
    let text = str::from_utf8(INVITE).unwrap();
    assert!(text.contains(old), "{old}");
    text.replacen(old, new, 1).into_bytes()
}

fn is_usual(data: &[u8]) -> bool {
    scan(data, &mut Vec::new()).is_some()
}

#[test]
fn the_lines_are_the_datagram() {
    let mut lines = Vec::new();
    let message = scan(INVITE, &mut lines).unwrap();
    let mut again = [message.start_line(), b"\r\n"].concat();
    for place in 0..message.lines.len() {
        again.extend_from_slice(message.line(place));
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"\r\n");
    again.extend_from_slice(message.body());
    assert_eq!(again, INVITE);
    assert_eq!(message.body(), b"v=0\n");
}

#[test]
fn fields_are_found_by_name() {
    let mut lines = Vec::new();
    let message = scan(INVITE, &mut lines).unwrap();
    assert_eq!(
        message.start,
        Start::Request {
            method: b"INVITE",
            uri: b"sip:100@vip.example"
        }
    );
    assert_eq!(
        message.raw(Name::CallId),
        Some(b" a84b4c76e66710".as_slice())
    );
    assert_eq!(
        message.value(Name::CallId),
        Some(b"a84b4c76e66710".as_slice())
    );
    assert_eq!(message.place(Name::From), Some(2));
    assert_eq!(
        message.line(2),
        b"From: \"Alice\" <sip:alice@example>;tag=1"
    );
    assert_eq!(message.raw(Name::Route), None);
    assert_eq!(message.values(Name::Route).count(), 0);
    assert_eq!(message.raw(Name::Other), None);
    assert_eq!(message.lines[6].name, Name::Other);
}

#[test]
fn what_stands_twice_is_repeated() {
    let data = with(
        "Max-Forwards",
        "v:SIP/2.0/UDP 192.0.2.6\r\nVIA : x\r\nMax-Forwards",
    );
    assert!(!is_usual(&data)); // a blank before the colon is for Python
    let data = with("Max-Forwards", "v:SIP/2.0/UDP 192.0.2.6\r\nMax-Forwards");
    let mut lines = Vec::new();
    let message = scan(&data, &mut lines).unwrap();
    assert!(message.is_repeated(Name::Via));
    assert!(!message.is_repeated(Name::From) && !message.is_repeated(Name::Route));
    let vias: Vec<_> = message.values(Name::Via).collect();
    assert_eq!(vias[1], (1, b"SIP/2.0/UDP 192.0.2.6".as_slice()));
    assert_eq!(vias.len(), 2);
}

#[test]
fn a_reply_has_a_status() {
    for (start, status) in [
        ("SIP/2.0 200 OK", 200),
        ("SIP/2.0 100 ", 100),
        ("SIP/2.0 699", 699),
        ("SIP/2.0 180 \u{fc} \t", 180),
    ] {
        let data = with("INVITE sip:100@vip.example SIP/2.0", start);
        let mut lines = Vec::new();
        assert_eq!(
            scan(&data, &mut lines).unwrap().start,
            Start::Reply { status }
        );
    }
}

#[test]
fn other_start_lines_are_unusual() {
    for start in [
        "",
        " ",
        "INVITE",
        "INVITE sip:a",
        "INVITE sip:a ",
        "INVITE  SIP/2.0",
        "INVITE sip:a SIP/2.0 ",
        "INVITE sip:a  SIP/2.0",
        "INVITE sip:a b SIP/2.0",
        "INVITE sip:a SIP/3.0",
        "INVITE sip:a sip/2.0",
        " INVITE sip:a SIP/2.0",
        "INV(TE sip:a SIP/2.0",
        "SIP/2.0 20 OK",
        "SIP/2.0 2000",
        "SIP/2.0 700 x",
        "SIP/2.0 099 x",
        "SIP/2.0 2x0 x",
        "SIP/2.0 200\tOK",
        "SIP/2.0  200 OK",
        "sip/2.0 200 OK",
        "SIP/2.0",
        "SIP/3.0 200 OK",
        "\r\nINVITE sip:a SIP/2.0",
        "INVITE sip:a SIP/2.0\n",
        "INVITE\tsip:a SIP/2.0",
    ] {
        assert!(
            !is_usual(&with("INVITE sip:100@vip.example SIP/2.0", start)),
            "{start}"
        );
    }
}

#[test]
fn unusual_lines_are_handed_over() {
    for (old, new) in [
        ("\r\nTo:", "\nTo:"),
        ("\r\nTo:", "\rTo:"),
        ("\r\nTo:", "\r\r\nTo:"),
        ("\r\nTo:", "\r\n folded\r\nTo:"),
        ("\r\nTo:", "\r\n\tfolded\r\nTo:"),
        ("\r\nTo:", "\0\r\nTo:"),
        ("\r\nTo:", "\r\nTo"),
        ("To:", "To :"),
        ("To:", ":"),
        ("To:", "T\u{f6}:"),
        ("To:", "T o:"),
        ("To:", "no colon\r\nTo:"),
        ("\r\n\r\n", "\r\n"),
        ("\r\n\r\n", "\r\n\n"),
        ("\r\n\r\n", "\r\n\r"),
    ] {
        assert!(!is_usual(&with(old, new)), "{old:?} {new:?}");
    }
    for length in 0..INVITE.len() - b"v=0\n".len() {
        assert!(!is_usual(&INVITE[..length]));
    }
    assert!(!is_usual(b"INVITE sip:a SIP/2.0\r\n\r\n"));
}

#[test]
fn the_body_is_whatever_it_is() {
    assert!(is_usual(&with("v=0\n", "\0\r\n\r\n\n\r ")));
    assert!(is_usual(&with("v=0\n", "")));
}

#[test]
fn the_limits_hold() {
    let fields = |count: usize| {
        with(
            "User-Agent",
            &format!("{}User-Agent", "X: y\r\n".repeat(count)),
        )
    };
    assert!(is_usual(&fields(MAX_LINES - 8)));
    assert!(!is_usual(&fields(MAX_LINES - 7)));
    let head = |length: usize| {
        with(
            "User-Agent",
            &format!("X: {}\r\nUser-Agent", "y".repeat(length)),
        )
    };
    assert!(is_usual(&head(MAX_HEAD_BYTES - INVITE.len() - 5)));
    assert!(!is_usual(&head(MAX_HEAD_BYTES)));
    let body = |length: usize| with("v=0\n", &"b".repeat(length + b"v=0\n".len() - INVITE.len()));
    assert!(is_usual(&body(MAX_MESSAGE_BYTES)));
    assert!(!is_usual(&body(MAX_MESSAGE_BYTES + 1)));
}

/// How the field with this name is known.
fn name_in(written: &str) -> Option<Name> {
    let data = with("User-Agent", written);
    scan(&data, &mut Vec::new()).map(|message| message.lines[6].name)
}

#[test]
fn line_ends_are_found_wherever_they_stand() {
    for length in 0..200 {
        let data = with("none of our business", &"x".repeat(length));
        let mut lines = Vec::new();
        let message = scan(&data, &mut lines).unwrap();
        assert_eq!(
            (message.lines.len(), message.body()),
            (8, b"v=0\n".as_slice())
        );
        let raw = message.raw_at(6);
        assert_eq!(raw.len(), length + 1);
        for odd in ["\r", "\n", "\0", "\n\r", "\r\r\n"] {
            let text = format!("{}{odd}{}", "x".repeat(length), "y".repeat(length % 7));
            assert!(!is_usual(&with("none of our business", &text)));
        }
        let text = format!("\t{}\x01", "x".repeat(length));
        assert!(is_usual(&with("none of our business", &text)));
    }
}

#[test]
fn a_name_is_the_same_in_any_case_and_in_its_compact_form() {
    for (written, name) in [
        ("Via", Name::Via),
        ("v", Name::Via),
        ("V", Name::Via),
        ("vIA", Name::Via),
        ("From", Name::From),
        ("f", Name::From),
        ("To", Name::To),
        ("t", Name::To),
        ("Call-ID", Name::CallId),
        ("call-id", Name::CallId),
        ("i", Name::CallId),
        ("CSeq", Name::CSeq),
        ("CSEQ", Name::CSeq),
        ("Max-Forwards", Name::MaxForwards),
        ("Content-Length", Name::ContentLength),
        ("l", Name::ContentLength),
        ("Route", Name::Route),
        ("Contact", Name::Contact),
        ("m", Name::Contact),
        ("Supported", Name::Supported),
        ("k", Name::Supported),
        ("Proxy-Require", Name::ProxyRequire),
        ("Retry-After", Name::RetryAfter),
        ("c", Name::Other),
        ("x", Name::Other),
        ("1", Name::Other),
        ("ab", Name::Other),
        ("Vi", Name::Other),
        ("Vias", Name::Other),
        ("Allow", Name::Other),
        ("Record-Route", Name::Other),
        ("Call_ID", Name::Other),
        ("Contacu", Name::Other),
        ("Retry-Afte", Name::Other),
        ("Session-Expires", Name::Other),
        ("P-Asserted-Identity", Name::Other),
        ("Content-Lengths", Name::Other),
        ("x_y!", Name::Other),
        ("ToTo", Name::Other),
        ("Callxid", Name::Other),
    ] {
        assert_eq!(name_in(written), Some(name), "{written}");
    }
    for written in [
        "",
        "a b",
        "\u{e4}",
        "Max Forwards",
        "Call\tID",
        "From ",
        "abcdefghijklmnopq rst",
    ] {
        assert_eq!(name_in(written), None, "{written}");
    }
}

#[test]
fn a_call_id_is_found_in_what_is_not_usual() {
    let found = |data: &[u8]| find_call_id(data).map(<[u8]>::to_vec);
    assert_eq!(found(INVITE).unwrap(), b"a84b4c76e66710");
    assert_eq!(
        found(&with("Call-ID: ", "i\t:\t")).unwrap(),
        b"a84b4c76e66710"
    );
    assert_eq!(
        found(&with("\r\nCall-ID", "\nCALL-id")).unwrap(),
        b"a84b4c76e66710"
    );
    assert_eq!(found(b"x\ni: a"), Some(b"a".to_vec()));
    for data in [
        b"".as_slice(),
        b"i: a",
        b"x\ni:",
        b"x\ni a",
        b"x\ni: \r\n",
        b"x\n: a",
        b"x\nii: a",
    ] {
        assert_eq!(found(data), None);
    }
}
