//! Which host does a text name?  An address has one value however it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::grammar::{self, HOST};
use crate::written;

/// A host as `sip.uri` has it: numeric, or a name as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'m> {
    /// IPv4 in dots, or IPv6 (in brackets where it stood).
    Address(IpAddr),
    /// A name as written: compare it in lower case.
    Name(&'m [u8]),
}

/// The longest IPv6 reference with its brackets: six groups and IPv4.
const MAX_REFERENCE_BYTES: usize = 47;

/// The host at the beginning of a text, and how many bytes it takes.
///
/// Digits and dots that are no IPv4 address are a name to Python, which resolvers read in their own ways: they are not
/// read here.
#[must_use]
#[inline]
pub fn split_host(text: &[u8]) -> Option<(Host<'_>, usize)> {
    let first = *text.first()?;
    if first == b'[' {
        let end = text
            .iter()
            .take(MAX_REFERENCE_BYTES)
            .position(|&byte| byte == b']')?;
        return Some((Host::Address(IpAddr::V6(ipv6(&text[1..end])?)), end + 1));
    }
    if first.is_ascii_digit()
        && let Some((address, length)) = split_ipv4(text)
    {
        return Some((Host::Address(IpAddr::V4(address)), length));
    }
    let length = grammar::span(text, HOST);
    let name = &text[..length];
    if length == 0 || first == b'.' || first == b'-' || grammar::is_all(name, grammar::DOTTED) {
        return None;
    }
    Some((Host::Name(name), length))
}

/// A host, IPv6 in brackets (`sip.uri.parse_host` and `numeric`).
#[must_use]
pub fn parse_host(text: &[u8]) -> Option<Host<'_>> {
    split_host(text)
        .filter(|&(_, length)| length == text.len())
        .map(|(host, _)| host)
}

/// Four octets in dots without leading zeros.
#[must_use]
#[inline]
pub fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (address, length) = split_ipv4(text)?;
    (length == text.len()).then_some(address)
}

/// The same at the beginning of a text, if the host ends there, and how many bytes it takes.
#[inline]
pub(crate) fn split_ipv4(text: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        (*octet, rest) = split_octet(rest)?;
    }
    if rest.first().is_some_and(|&byte| grammar::is(byte, HOST)) {
        return None;
    }
    Some((octets.into(), text.len() - rest.len()))
}

#[inline]
fn split_octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |place: usize| text.get(place).map_or(10, |byte| byte.wrapping_sub(b'0'));
    let (one, two, three) = (digit(0), digit(1), digit(2));
    if one > 9 {
        return None;
    }
    if two > 9 {
        return Some((one, &text[1..]));
    }
    if one == 0 {
        return None;
    }
    if three > 9 {
        return Some((one * 10 + two, &text[2..]));
    }
    let octet = (one * 10 + two).checked_mul(10)?.checked_add(three)?;
    Some((octet, &text[3..]))
}

/// An IPv6 address without brackets and without a zone.
#[must_use]
pub fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Append a numeric address as Python's `sip.uri.canonical` writes it: no brackets, mapped addresses with dots.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    out.extend_from_slice(written::address(address).as_bytes());
}

/// Append a host as `sip.uri.SipUri.host` has it: a name in lower case, an address by `write_address`.
pub fn write_host(out: &mut Vec<u8>, host: Host<'_>) {
    match host {
        Host::Address(address) => write_address(out, address),
        Host::Name(name) => out.extend(name.iter().map(u8::to_ascii_lowercase)),
    }
}

/// Append a number in decimal digits.
pub fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(written::number(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(host: Host<'_>) -> String {
        let mut out = Vec::new();
        write_host(&mut out, host);
        String::from_utf8(out).unwrap()
    }

    fn canonical(text: &str) -> Option<String> {
        parse_host(text.as_bytes()).map(written)
    }

    /// What Python's `parse_host` gives for each text.
    #[test]
    fn addresses_have_one_text() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("[::]", "::"),
            ("[::1]", "::1"),
            ("[1::]", "1::"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:0db8:0:0:0:0:0:0001]", "2001:db8::1"),
            ("[2001:db8:0:1:1:1:1:1]", "2001:db8:0:1:1:1:1:1"),
            ("[2001:0:0:1:0:0:0:1]", "2001:0:0:1::1"),
            ("[2001:db8:0:0:1:0:0:1]", "2001:db8::1:0:0:1"),
            ("[0:0:1:0:0:0:0:0]", "0:0:1::"),
            ("[1:0:0:0:0:0:0:0]", "1::"),
            ("[1:2:3:4:5:6:7:0]", "1:2:3:4:5:6:7:0"),
            ("[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7:0"),
            ("[::ffff:192.0.2.1]", "::ffff:192.0.2.1"),
            ("[::FFFF:c000:201]", "::ffff:192.0.2.1"),
            ("[::ffff:0:0]", "::ffff:0.0.0.0"),
            ("[::192.0.2.1]", "::c000:201"),
            ("[64:ff9b::192.0.2.33]", "64:ff9b::c000:221"),
            ("[1:2:3:4:5:6:1.2.3.4]", "1:2:3:4:5:6:102:304"),
            ("[fe80::a0b:0c0d]", "fe80::a0b:c0d"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_name_is_in_lower_case() {
        for (text, expected) in [
            ("PBX.Example.COM", "pbx.example.com"),
            ("_sip.example", "_sip.example"),
            ("example.", "example."),
            ("3cx.example", "3cx.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("a-b", "a-b"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
            assert_eq!(
                parse_host(text.as_bytes()),
                Some(Host::Name(text.as_bytes()))
            );
        }
    }

    #[test]
    fn what_is_no_host_or_hardly_one_is_not_read() {
        for text in [
            "",
            "[]",
            "[",
            "]",
            "[1",
            "[1]",
            "[::1",
            "::1",
            "[:::]",
            "[1::2::3]",
            "[g::]",
            "[fe80::1%1]",
            "[12345::]",
            "[::1.2.3]",
            "[::1.2.3.04]",
            "[1.2.3.4::]",
            "[1:2:3:4:5:6:7:8:9]",
            "[1:2:3:4:5:6:7]",
            "[::1:2:3:4:5:6:7:8]",
            "[1:2:3:4:5:6:7:1.2.3.4]",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.2.3.4",
            "1.2.3.00",
            "1..2.3",
            "1.2.3.",
            ".1.2.3.4",
            "5060",
            "1.2.3.4.",
            "-a",
            ".a",
            "a b",
            "a:b",
            "a,b",
            "1.2.3.4a b",
            "1.2.3.1000",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_ends_where_its_bytes_end() {
        assert_eq!(split_host(b"pbx:5060").map(|(_, length)| length), Some(3));
        assert_eq!(split_host(b"[::1]:5060").map(|(_, length)| length), Some(5));
        assert_eq!(
            split_host(b"192.0.2.1;lr").map(|(_, length)| length),
            Some(9)
        );
    }

    #[test]
    fn every_octet_and_every_group_is_written_as_the_standard_library_does() {
        for value in 0..=255 {
            let address = Ipv4Addr::new(value, 0, 10, 255 - value);
            assert_eq!(written(Host::Address(address.into())), address.to_string());
            assert_eq!(ipv4(address.to_string().as_bytes()), Some(address));
        }
        for zeros in 0..=255_u16 {
            let groups: [u16; 8] = std::array::from_fn(|place| {
                if zeros >> place & 1 == 1 {
                    0
                } else {
                    0xa0 << place
                }
            });
            let address = Ipv6Addr::from(groups);
            assert_eq!(written(Host::Address(address.into())), address.to_string());
        }
        for group in 0..=u16::MAX {
            let address = Ipv6Addr::new(group, 1, 2, 3, 4, 5, 6, 7);
            assert_eq!(written(Host::Address(address.into())), address.to_string());
        }
    }
}
