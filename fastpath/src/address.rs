//! Whom does From, To, Contact or Route name?  The shapes of `sip.address` without blanks round brackets and parameters.

use memchr::{memchr, memchr3};
use std::net::IpAddr;

use crate::grammar::{self, BARE, BRACKETED, DISPLAY, SCHEME, TOKEN, VALUE};
use crate::host::{Host, split_ipv4};
use crate::lists::{Params, members, quoted_end, trim};
use crate::value::parse_uri_of_any_user;

const OF_A_FIELD: Params = Params {
    name: TOKEN,
    value: VALUE,
    quotes: true,
};

/// What a Contact says about where its sender is (`dispatcher.nat._contact`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// A numeric address, with the port that holds where none is written.
    At(IpAddr, u16),
    /// A name or `*`.
    Elsewhere,
}

/// URI and field parameters of an address, trimmed: `"name" <uri>;params`, `name <uri>;params` or `uri;params`.
#[inline]
fn split_address(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let before = match text {
        [b'"', ..] => {
            let closing = quoted_end(text)?;
            closing
                + text[closing..]
                    .iter()
                    .position(|&byte| byte != b' ' && byte != b'\t')?
        }
        _ => grammar::span(text, DISPLAY),
    };
    let (uri, params) = match text.get(before)? {
        b'<' => {
            let inside = &text[before + 1..];
            let end = memchr(b'>', inside)?;
            (&inside[..end], &inside[end + 1..])
        }
        b':' if text[0] != b'"' => text.split_at(grammar::long_span(text, BARE)),
        _ => return None,
    };
    (is_uri(uri) && (params.is_empty() || params[0] == b';')).then_some((uri, params))
}

/// Whether this is a scheme, a colon and something that may stand within angle brackets.
#[inline]
fn is_uri(text: &[u8]) -> bool {
    let behind = if let Some(behind) = text.strip_prefix(b"sip:") {
        behind
    } else {
        let length = grammar::span(text, SCHEME);
        match (text.first(), text.split_at(length).1) {
            (Some(first), [b':', behind @ ..]) if first.is_ascii_alphabetic() => behind,
            _ => return false,
        }
    };
    grammar::is_all(behind, BRACKETED)
}

/// The value of `tag` among a field's parameters, empty when there is none; `None` when they are not to be read.
#[inline]
fn read_tag(params: &[u8]) -> Option<&[u8]> {
    if let Some(value) = params.strip_prefix(b";tag=")
        && grammar::is_all(value, TOKEN)
    {
        return Some(value);
    }
    let mut tag: &[u8] = b"";
    OF_A_FIELD.each(params, |name, value| {
        if name.eq_ignore_ascii_case(b"tag") {
            tag = value.unwrap_or_default();
        }
        (tag.first() != Some(&b'"')).then_some(())
    })?;
    Some(tag)
}

/// The tag of a From or To as it came, empty when it has none (`sip.address.tag_of`).
#[must_use]
pub fn tag_of(raw: &[u8]) -> Option<&[u8]> {
    split_address(trim(raw)).and_then(|(_, params)| read_tag(params))
}

/// The URI of one member of Route, Contact, From or To, as it came (`sip.address.parse_name_addr`).
#[must_use]
pub fn name_addr(member: &[u8]) -> Option<&[u8]> {
    let (uri, params) = split_address(trim(member))?;
    if !params.is_empty() {
        read_tag(params)?;
    }
    Some(uri)
}

/// Where the first Contact of a field's raw value is.
#[must_use]
pub fn contact(raw: &[u8]) -> Option<Contact> {
    if let Some((host, port)) = common_contact(raw) {
        return Some(Contact::At(host, port));
    }
    let text = trim(raw);
    let uri = match text {
        b"*" => return Some(Contact::Elsewhere),
        [b'<', inside @ .., b'>'] if memchr(b'>', inside).is_none() => inside,
        _ => name_addr(members(raw)?.next()?)?,
    };
    let uri = parse_uri_of_any_user(uri)?;
    Some(match uri.host {
        Host::Address(host) => Contact::At(host, uri.port_or_default()),
        Host::Name(_) => Contact::Elsewhere,
    })
}

/// The Contact of nearly every phone (`dispatcher.nat._CONTACT`): IPv4 within angle brackets, no parameters.
///
/// Python looks no further either, whatever stands behind.
#[inline]
fn common_contact(raw: &[u8]) -> Option<(IpAddr, u16)> {
    let text = trim(raw).strip_prefix(b"<sip:")?;
    let end = memchr3(b'>', b'<', b'"', text)?;
    let place = memchr(b'@', &text[..end]).map_or(0, |at| at + 1);
    let host_port = &text[place..end];
    let (host, length) = split_ipv4(host_port)?;
    let port = match &host_port[length..] {
        [] => 5060,
        [b':', digits @ ..] => grammar::port(digits)?,
        _ => return None,
    };
    (text[end] == b'>').then_some((IpAddr::V4(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(raw: &str) -> Option<&str> {
        tag_of(raw.as_bytes()).map(|tag| str::from_utf8(tag).unwrap())
    }

    #[test]
    fn the_tag_of_the_usual_shapes() {
        for (raw, expected) in [
            (" <sip:a@b>;tag=1928301774", "1928301774"),
            (" \"Alice\" <sip:a@b;transport=udp>;tag=x", "x"),
            (" \"A, \\\"B\\\" <;>\"\t<sip:a@b>;tag=x ", "x"),
            ("Alice <sip:a@b>;tag=x", "x"),
            ("J\u{fc}rgen M. [x] <sip:a@b>;tag=x", "x"),
            ("<sip:a@b;tag=no>", ""),
            ("sip:a@b;tag=x", "x"),
            ("sip:a@b", ""),
            ("<tel:+49;ext=1>;tag=x", "x"),
            ("<sips:a@b>;TAG=x;y", "x"),
            ("<sip:a@b>;x=1;tag=a.b~c", "a.b~c"),
            ("<sip:a@b>;tag=", ""),
            ("<sip:a@b>;tag", ""),
            ("<sip:a@b>;x=\"a;tag=b\";tag=c", "c"),
            ("<sip:a@b>;tag=a@b", "a@b"),
            ("<sip:%00(\u{e4}>", ""),
        ] {
            assert_eq!(tag(raw), Some(expected), "{raw}");
        }
    }

    #[test]
    fn odd_addresses_are_not_read() {
        for raw in [
            "",
            " ",
            "a",
            "<>",
            "<a>",
            "<:a>",
            "<sip:>",
            "<1:a>",
            "<sip:a b>",
            "<sip:a@b",
            "sip:a@b>",
            "<sip:a@b> ;tag=x",
            "<sip:a@b>; tag=x",
            "< sip:a@b>",
            "<sip:a@b>x",
            "<sip:a@b>;",
            "<sip:a@b>;tag=x;tag=y",
            "<sip:a@b>;tag=x;",
            "<sip:a@b>;tag=\"x\"",
            "<sip:a@b>,x",
            "\"A <sip:a@b>",
            "\"A\"",
            "\"A\" ",
            "\"A\" sip:a@b",
            "\"A\"x<sip:a@b>",
            "A, B <sip:a@b>",
            "A: <sip:a@b>",
            "A\\ <sip:a@b>",
            "A\"B\" <sip:a@b>",
            "sip:a@b?x",
            "sip:a,b",
            ":a",
            "sip:",
            "<<sip:a@b>>",
            "<sip:a\"b>",
            "<sip:a@b>;x=a,b",
            "<sip:a@b>;x=<",
            "<sip:a@b>;(x)",
            "<sip:a@b>;x=\"y",
            "<sip:a@b>;x=\"y\"z",
            "\"A\\",
            "A\x07 <sip:a@b>",
        ] {
            assert_eq!(tag(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_member_names_a_uri() {
        for (member, uri) in [
            (" <sip:192.0.2.1:5060;lr> ", "sip:192.0.2.1:5060;lr"),
            ("\"Proxy\" <sip:p;lr>;x=\"y\"", "sip:p;lr"),
            ("sip:p;lr", "sip:p"),
        ] {
            assert_eq!(name_addr(member.as_bytes()), Some(uri.as_bytes()));
        }
        assert_eq!(name_addr(b"<sip:p;lr>;x;x"), None);
        assert_eq!(name_addr(b"p"), None);
    }

    #[test]
    fn a_contact_says_where_its_sender_is() {
        let at = |text: &str, port| Some(Contact::At(text.parse().unwrap(), port));
        for (raw, expected) in [
            (" <sip:a@192.0.2.1:5070>", at("192.0.2.1", 5070)),
            ("<sip:192.0.2.1>;expires=60", at("192.0.2.1", 5060)),
            (
                "\"A\" <sip:a%40b@192.0.2.1:5070;transport=udp;ob>;+sip.instance=\"<urn:uuid:0>\"",
                at("192.0.2.1", 5070),
            ),
            ("<sip:a@192.0.2.1;transport=tls>", at("192.0.2.1", 5061)),
            (
                "<sip:a@[2001:DB8::1]:5070>;+x=\"a,b\"",
                at("2001:db8::1", 5070),
            ),
            ("sip:a@192.0.2.1;expires=60", at("192.0.2.1", 5060)),
            (
                "<sip:a@192.0.2.1>, <sip:a@192.0.2.2>",
                at("192.0.2.1", 5060),
            ),
            ("<sip:a@pbx.example>", Some(Contact::Elsewhere)),
            (" * ", Some(Contact::Elsewhere)),
            ("", None),
            ("<sips:a@192.0.2.1>", None),
            ("<sip:a@192.0.2.1:99999>", None),
            ("<tel:+49>", None),
            ("<sip:a@192.0.2.1>, \"", at("192.0.2.1", 5060)),
            ("<sip:a@192.0.2.1;x>, \"", None),
            ("<sip:a@192.0.2.1\"", None),
            ("<sip:a@192.0.2.1<", None),
            ("<sip:a@192.0.2.1;x>, <sip:b@c>", at("192.0.2.1", 5060)),
        ] {
            assert_eq!(contact(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn the_first_contact_counts_whatever_brackets_stand_elsewhere() {
        for raw in [
            "sip:a@192.0.2.1, <sip:a@192.0.2.2>",
            "\"<sip:192.0.2.2>\" <sip:192.0.2.1>",
            "sip:192.0.2.1;x=\"<sip:192.0.2.2>\"",
        ] {
            let expected = Contact::At("192.0.2.1".parse().unwrap(), 5060);
            assert_eq!(contact(raw.as_bytes()), Some(expected), "{raw}");
        }
    }
}
