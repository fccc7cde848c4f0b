//! How is an address or a number written?  Short texts on the stack, for hashes and for lines.

use std::net::{IpAddr, Ipv6Addr};

/// The longest address: IPv6 with eight groups of four digits (a mapped one, `::ffff:` and dots, is shorter).
const LONGEST_ADDRESS: usize = 39;
/// The longest number, 2**32 - 1.
const LONGEST_NUMBER: usize = 10;

/// A text of at most `N` bytes, N below 256.
#[derive(Clone, Copy, Debug)]
pub struct Written<const N: usize> {
    text: [u8; N],
    length: u8,
}

impl<const N: usize> Written<N> {
    const EMPTY: Self = Written {
        text: [0; N],
        length: 0,
    };

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    fn push(&mut self, byte: u8) {
        self.text[usize::from(self.length)] = byte;
        self.length += 1;
    }

    fn push_octet(&mut self, octet: u8) {
        if octet >= 100 {
            self.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.push(b'0' + octet / 10 % 10);
        }
        self.push(b'0' + octet % 10);
    }

    fn push_group(&mut self, group: u16) {
        let mut begun = false;
        for shift in [12, 8, 4, 0] {
            let digit = (group >> shift & 0xF) as u8;
            begun |= digit != 0 || shift == 0;
            if begun {
                self.push(HEX[usize::from(digit)]);
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A numeric address as Python's `sip.uri.canonical` writes it: no brackets, mapped addresses with dots.
#[must_use]
pub fn address(address: IpAddr) -> Written<LONGEST_ADDRESS> {
    let mut written = Written::EMPTY;
    match address {
        IpAddr::V4(address) => push_dotted(&mut written, address.octets()),
        IpAddr::V6(address) => push_colons(&mut written, address),
    }
    written
}

/// A number in decimal digits.
#[must_use]
pub fn number(mut number: u32) -> Written<LONGEST_NUMBER> {
    let mut backwards = [0; LONGEST_NUMBER];
    let mut length = 0;
    loop {
        backwards[length] = b'0' + (number % 10) as u8;
        length += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let mut written = Written::EMPTY;
    backwards[..length]
        .iter()
        .rev()
        .for_each(|digit| written.push(*digit));
    written
}

/// A 64-bit hash in 16 hexadecimal digits.
#[must_use]
pub fn hex64(hash: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (byte, pair) in hash.to_be_bytes().iter().zip(text.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
    }
    text
}

/// A 32-bit hash in eight hexadecimal digits.
#[must_use]
pub fn hex32(hash: u32) -> [u8; 8] {
    let mut text = [0; 8];
    for (byte, pair) in hash.to_be_bytes().iter().zip(text.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
    }
    text
}

fn push_dotted<const N: usize>(written: &mut Written<N>, octets: [u8; 4]) {
    for (place, octet) in octets.into_iter().enumerate() {
        if place > 0 {
            written.push(b'.');
        }
        written.push_octet(octet);
    }
}

/// RFC 5952 4 and 5: the first of the longest runs of two or more zero groups is `::`.
fn push_colons<const N: usize>(written: &mut Written<N>, address: Ipv6Addr) {
    if let Some(mapped) = address.to_ipv4_mapped() {
        b"::ffff:".iter().for_each(|byte| written.push(*byte));
        push_dotted(written, mapped.octets());
        return;
    }
    let groups = address.segments();
    let (from, length) = longest_zeros(groups);
    for (place, group) in groups.into_iter().enumerate() {
        if place == from && length > 1 {
            written.push(b':');
        }
        if length > 1 && (from..from + length).contains(&place) {
            if place == 7 {
                written.push(b':');
            }
            continue;
        }
        if place > 0 {
            written.push(b':');
        }
        written.push_group(group);
    }
}

/// Where the first of the longest runs of zero groups begins, and how long it is.
fn longest_zeros(groups: [u16; 8]) -> (usize, usize) {
    let (mut longest, mut run) = ((0, 0), 0);
    for (place, group) in groups.into_iter().enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > longest.1 {
            longest = (place + 1 - run, run);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &str) -> String {
        let address: IpAddr = address.parse().unwrap();
        String::from_utf8(super::address(address).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn addresses_have_one_spelling() {
        for canonical in [
            "192.0.2.1",
            "0.0.0.0",
            "255.255.255.255",
            "10.20.100.9",
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "2001:0:0:1::1",
            "2001:db8::1:0:0:1",
            "::ffff:192.0.2.1",
            "::102:304",
            "1:2:3:4:5:6:7:8",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "1:2:3:4:5:6::",
            "0:2:3:4:5:6:7:8",
        ] {
            assert_eq!(text(canonical), canonical);
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let mut state: u64 = 1;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // A nibble decides about each group: nothing, short or long.
            let groups =
                [0, 1, 2, 3, 4, 5, 6, 7].map(|place| match state >> (32 + 4 * place) & 3 {
                    0 | 1 => 0,
                    2 => 0xF,
                    _ => 0xFEDC,
                });
            let address = IpAddr::V6(Ipv6Addr::from(groups));
            assert_eq!(
                super::address(address).as_bytes(),
                address.to_string().as_bytes()
            );
        }
    }

    #[test]
    fn numbers_have_no_leading_zero() {
        for value in [0, 1, 9, 10, 99, 5060, 65_535, 2_147_483_647, u32::MAX] {
            assert_eq!(number(value).as_bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn hashes_have_all_their_digits() {
        assert_eq!(&hex64(0x0123_4567_89ab_cdef), b"0123456789abcdef");
        assert_eq!(&hex64(0), b"0000000000000000");
        assert_eq!(&hex32(0xdead_beef), b"deadbeef");
        assert_eq!(&hex32(1), b"00000001");
    }
}
