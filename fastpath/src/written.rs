//! How is an address or a number written?  Short texts that are put together on the stack, for hashes and for lines.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv6 address has 39 bytes at most, and a text wants a little more room than it fills.
const ROOM_OF_ADDRESS: usize = 48;
const ROOM_OF_NUMBER: usize = 16;

/// A text of fewer than `N` bytes.  Nothing is written beyond its room: a text that has grown too long says so.
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize, // more than N: it is too long
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Text<N> {
    /// The text; empty when it has grown too long.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether all of it is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.length <= N
    }

    /// Append bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
        } else {
            self.length = N + 1;
        }
    }

    /// Append a byte.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) {
        self.push(&[byte]);
    }

    /// Append an address as Python's `sip.uri.canonical` writes it: no brackets, mapped addresses with dots.
    #[inline]
    pub fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.push_dotted(address.octets()),
            IpAddr::V6(address) => self.push_colons(address),
        }
    }

    /// Append a number in decimal digits.
    #[inline]
    pub fn push_number(&mut self, number: u32) {
        if number < 1000 {
            self.push_short(DECIMALS[number as usize]);
        } else {
            self.push_number(number / 1000);
            let [high, middle, low, _] = DECIMALS[(number % 1000 + 1000) as usize];
            self.push(&[high, middle, low]);
        }
    }

    /// Append the first bytes, as many as the last one says: one store, where a copy of that length would be a call.
    #[inline]
    fn push_short(&mut self, [first, second, third, length]: [u8; 4]) {
        self.push_some([first, second, third, 0], usize::from(length));
    }

    #[inline]
    fn push_some(&mut self, bytes: [u8; 4], length: usize) {
        match self
            .bytes
            .get_mut(self.length..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            Some(room) => {
                *room = bytes;
                self.length += length;
            }
            None => self.length = N + 1,
        }
    }

    #[inline]
    fn push_dotted(&mut self, octets: [u8; 4]) {
        let [first, second, third, fourth] = octets.map(usize::from);
        self.push_short(DECIMALS[first]);
        self.push_byte(b'.');
        self.push_short(DECIMALS[second]);
        self.push_byte(b'.');
        self.push_short(DECIMALS[third]);
        self.push_byte(b'.');
        self.push_short(DECIMALS[fourth]);
    }

    /// RFC 5952 4 and 5: the first of the longest runs of two or more zero groups is `::`.
    fn push_colons(&mut self, address: Ipv6Addr) {
        if let Some(mapped) = address.to_ipv4_mapped() {
            self.push(b"::ffff:");
            self.push_dotted(mapped.octets());
            return;
        }
        let groups = address.segments();
        let zeros = longest_zeros(groups);
        for (place, group) in groups.into_iter().enumerate() {
            if zeros.contains(&place) {
                if place == zeros.start {
                    self.push_byte(b':');
                }
                continue;
            }
            if place > 0 {
                self.push_byte(b':');
            }
            let leading = (group | 1).leading_zeros() / 4;
            self.push_some(
                (digits(group) >> (8 * leading)).to_le_bytes(),
                4 - leading as usize,
            );
        }
        if zeros.end == groups.len() && !zeros.is_empty() {
            self.push_byte(b':');
        }
    }
}

/// Numbers below 1,000 and how many digits they have; then the same ones with all three digits.
const DECIMALS: [[u8; 4]; 2000] = decimals();

#[allow(clippy::cast_possible_truncation)] // digits
const fn decimals() -> [[u8; 4]; 2000] {
    let mut texts = [[0; 4]; 2000];
    let mut number = 0;
    while number < 1000 {
        let digits = [
            b'0' + (number / 100) as u8,
            b'0' + (number / 10 % 10) as u8,
            b'0' + (number % 10) as u8,
        ];
        texts[number] = match number {
            0..10 => [digits[2], 0, 0, 1],
            10..100 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        };
        texts[1000 + number] = [digits[0], digits[1], digits[2], 3];
        number += 1;
    }
    texts
}

/// The hexadecimal digits of 16 bits, the first one in the lowest byte.
#[inline]
fn digits(bits: u16) -> u32 {
    let bits = u32::from(bits);
    let nibbles = bits >> 12 | (bits >> 8 & 15) << 8 | (bits >> 4 & 15) << 16 | (bits & 15) << 24;
    let letters = (nibbles + 0x0606_0606) >> 4 & 0x0101_0101;
    nibbles + 0x3030_3030 + letters * u32::from(b'a' - b'9' - 1)
}

/// The first of the longest runs of two or more zero groups; empty when there is none.
fn longest_zeros(groups: [u16; 8]) -> std::ops::Range<usize> {
    let (mut longest, mut run) = (0..0, 0);
    for (place, group) in groups.into_iter().enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > longest.len() {
            longest = place + 1 - run..place + 1;
        }
    }
    if longest.len() > 1 { longest } else { 0..0 }
}

/// A numeric address as Python's `sip.uri.canonical` writes it.
#[must_use]
pub fn address(address: IpAddr) -> Text<ROOM_OF_ADDRESS> {
    let mut text = Text::default();
    text.push_address(address);
    text
}

/// A number in decimal digits.
#[must_use]
pub fn number(number: u32) -> Text<ROOM_OF_NUMBER> {
    let mut text = Text::default();
    text.push_number(number);
    text
}

/// A 64-bit hash in 16 hexadecimal digits.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // a quarter at a time
pub fn hex64(hash: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let (high, low) = text.split_at_mut(8);
    high.copy_from_slice(&hex32((hash >> 32) as u32));
    low.copy_from_slice(&hex32(hash as u32));
    text
}

/// A 32-bit hash in eight hexadecimal digits.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // a half at a time
pub fn hex32(hash: u32) -> [u8; 8] {
    let (high, low) = (digits((hash >> 16) as u16), digits(hash as u16));
    (u64::from(low) << 32 | u64::from(high)).to_le_bytes()
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
        for value in (0..70_000).chain([999_999, 1_000_000, 1_002_003, 2_147_483_647, u32::MAX]) {
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

    #[test]
    fn a_text_that_grows_too_long_says_so_for_ever() {
        let mut text = Text::<8>::default();
        text.push(b"12345678");
        assert!(text.is_whole());
        assert_eq!(text.as_bytes(), b"12345678");
        let grow: [fn(&mut Text<8>); 3] = [
            |text| text.push_byte(b'9'),
            |text| text.push_number(5),
            |text| text.push(b""),
        ];
        for more in grow {
            more(&mut text);
            assert!(!text.is_whole());
            assert_eq!(text.as_bytes(), b"");
        }
    }
}
