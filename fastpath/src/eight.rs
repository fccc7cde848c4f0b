//! Which of eight bytes are what?  Comparisons of whole words, since most bytes of a message are only to be passed over.
//!
//! A word holds eight bytes, the first one lowest.  A mask has the highest bit of each byte that is meant.

/// The highest bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The lowest bit of each byte.
const LOW: u64 = 0x0101_0101_0101_0101;

/// The bytes that are below `bound`, which is at most 128.
#[must_use]
#[inline]
pub const fn below(word: u64, bound: u8) -> u64 {
    // No byte borrows from the next one: each has its highest bit set before something not above it is taken away.
    let left = (word | HIGH) - LOW * bound as u64;
    !(left | word) & HIGH
}

/// The bytes that are this one.
#[must_use]
#[inline]
pub const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (LOW * byte as u64), 1)
}

/// Where a byte stands first in sixteen; sixteen when it does not.
#[must_use]
#[inline]
pub const fn position(words: [u64; 2], byte: u8) -> usize {
    let (one, two) = (first(words[0], byte), first(words[1], byte));
    if one < 8 { one } else { 8 + two }
}

/// Where a byte stands first in eight; eight when it does not.
#[inline]
const fn first(word: u64, byte: u8) -> usize {
    let differs = word ^ (LOW * byte as u64);
    // Only behind the first one may there be others that seem to be it.
    let found = differs.wrapping_sub(LOW) & !differs & HIGH;
    found.trailing_zeros() as usize / 8
}

/// The words of sixteen bytes from a place on, with NULs behind the end of the text.
#[must_use]
#[inline]
pub fn words_at(text: &[u8], at: usize) -> [u64; 2] {
    words(&bytes_at::<16>(text, at))
}

/// Whether the first `length` of sixteen bytes are ASCII letters, digits and hyphens.
#[must_use]
#[inline]
pub const fn are_words(words: [u64; 2], length: usize) -> bool {
    let own = !(u128::MAX << (length * 8));
    let both = words_in(words[0]) as u128 | (words_in(words[1]) as u128) << 64;
    both & own == own & (HIGH as u128 | (HIGH as u128) << 64)
}

/// The bytes that are letters, digits or hyphens.
#[inline]
const fn words_in(word: u64) -> u64 {
    let small = word | (LOW * 0x20);
    let letters = below(small, b'z' + 1) & !below(small, b'a');
    let digits = below(word, b'9' + 1) & !below(word, b'0');
    letters | digits | equal(word, b'-')
}

/// One bit a byte for 64 bytes from a place on: which are below `bound`, NULs behind the end of the text included.
#[must_use]
#[inline]
pub fn bits_below(text: &[u8], at: usize, bound: u8) -> u64 {
    let words: [u64; 8] = words(&bytes_at::<64>(text, at));
    let mut others = 0;
    for (place, word) in words.into_iter().enumerate() {
        let left = (word | HIGH) - LOW * u64::from(bound);
        others |= ((left | word) & HIGH) >> (7 - place);
    }
    transposed(!others)
}

/// Bit n of byte m becomes bit m of byte n: a square of eight by eight is turned, then one of four, then one of two.
#[inline]
const fn transposed(bits: u64) -> u64 {
    let turned = (bits ^ bits >> 7) & 0x00aa_00aa_00aa_00aa;
    let bits = bits ^ turned ^ turned << 7;
    let turned = (bits ^ bits >> 14) & 0x0000_cccc_0000_cccc;
    let bits = bits ^ turned ^ turned << 14;
    let turned = (bits ^ bits >> 28) & 0x0000_0000_f0f0_f0f0;
    bits ^ turned ^ turned << 28
}

#[inline]
fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u64; WORDS] {
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|place| {
        chunks
            .get(place)
            .map_or(0, |chunk| u64::from_le_bytes(*chunk))
    })
}

#[inline]
fn bytes_at<const BYTES: usize>(text: &[u8], at: usize) -> [u8; BYTES] {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => *bytes,
        None => padded(rest),
    }
}

#[cold]
fn padded<const BYTES: usize>(rest: &[u8]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words in which every byte stands next to every other one.
    fn words() -> impl Iterator<Item = [u8; 8]> {
        (0..=u16::MAX).map(|pair| {
            let [one, other] = pair.to_le_bytes();
            [one, other, one, one, other, other, 0xff, one]
        })
    }

    fn expected(bytes: [u8; 8], is_meant: impl Fn(u8) -> bool) -> u64 {
        u64::from_le_bytes(bytes.map(|byte| if is_meant(byte) { 0x80 } else { 0 }))
    }

    #[test]
    fn every_byte_is_judged_alone() {
        for bytes in words() {
            let word = u64::from_le_bytes(bytes);
            for bound in [0, 1, 14, 33, 128] {
                assert_eq!(below(word, bound), expected(bytes, |byte| byte < bound));
            }
            for byte in [0, 1, b':', 0x7f, 0x80, 0xff] {
                assert_eq!(equal(word, byte), expected(bytes, |own| own == byte));
            }
        }
    }

    #[test]
    fn each_byte_has_its_bit() {
        for place in 0..64 {
            let mut text = [b'x'; 64];
            text[place] = 13;
            assert_eq!(bits_below(&text, 0, 14), 1 << place);
            text[place / 2] = 0;
            assert_eq!(bits_below(&text, 0, 14), 1 << place | 1 << (place / 2));
        }
        for bytes in words() {
            let text: Vec<u8> = bytes.iter().copied().cycle().take(64).collect();
            let expected = text.iter().enumerate().fold(0, |bits, (place, &byte)| {
                bits | u64::from(byte < 33) << place
            });
            assert_eq!(bits_below(&text, 0, 33), expected);
        }
    }

    #[test]
    fn a_byte_is_found_where_it_stands_first() {
        let words = words_at(b"0123456789abcdeee", 0);
        for (place, byte) in b"0123456789abcde".iter().enumerate() {
            assert_eq!(position(words, *byte), place);
        }
        assert_eq!(position(words, b'f'), 16);
    }

    #[test]
    fn words_have_letters_digits_and_hyphens() {
        for bytes in words() {
            let mask = words_in(u64::from_le_bytes(bytes));
            let is_meant = |byte: u8| byte == b'-' || byte.is_ascii_alphanumeric();
            assert_eq!(mask, expected(bytes, is_meant));
        }
        let words = words_at(b"Session-Expires: 90", 0);
        assert!(are_words(words, 0) && are_words(words, 15));
        let words = words_at(b"P_x: 90", 0);
        assert!(are_words(words, 1) && !are_words(words, 2) && !are_words(words, 3));
    }

    #[test]
    fn behind_the_end_are_nuls() {
        assert_eq!(
            words_at(b"abc", 1),
            [u64::from(b'b') | u64::from(b'c') << 8, 0]
        );
        assert_eq!(words_at(b"abc", 4), [0, 0]);
        let text = b"0123456789".repeat(8);
        assert_eq!(words_at(&text, 3)[1], u64::from_le_bytes(*b"12345678"));
        assert_eq!(
            bits_below(&text, 0, b'1'),
            (0..7).fold(0, |mask, ten| mask | 1 << (ten * 10))
        );
        assert_eq!(bits_below(&text, 16, b'0'), 0);
        assert_eq!(bits_below(&text, 17, b'0'), 1 << 63);
        assert_eq!(bits_below(&text, 99, b'0'), u64::MAX);
    }
}
