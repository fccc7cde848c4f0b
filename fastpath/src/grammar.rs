//! Which bytes may stand where?  The byte classes of `sip/*.py` as one table, and the numbers.

/// A set of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Class(u16);

/// `sip.lists.TOKEN`: methods, names of fields and parameters, tags, branches.
pub const TOKEN: Class = Class(1);
/// The user part of a URI (`sip.uri._USER`) without `%`: escapes are read by Python.
pub const USER: Class = Class(1 << 1);
/// What a host name goes on with; it does not begin with a dot or a hyphen.
pub const HOST: Class = Class(1 << 2);
/// A parameter of a URI and its value, without escapes and without what is not ASCII.
pub const URI_PARAM: Class = Class(1 << 3);
/// The same without the equals sign: a parameter's name.
pub const URI_PARAM_NAME: Class = Class(1 << 7);
/// The value of a parameter of a field, without quotes (`sip.lists.PARAMS`).
pub const VALUE: Class = Class(1 << 4);
/// `sip.request._CALL_ID`.
pub const CALL_ID: Class = Class(1 << 5);
/// A display name without quotes (`sip.address._DISPLAY`).
pub const DISPLAY: Class = Class(1 << 6);
/// A URI within angle brackets, behind its scheme.
pub const BRACKETED: Class = Class(1 << 8);
/// A URI without angle brackets: what follows is the field's.
pub const BARE: Class = Class(1 << 9);
/// What a scheme goes on with.
pub const SCHEME: Class = Class(1 << 10);
/// Digits and dots.
pub const DOTTED: Class = Class(1 << 11);

static CLASSES: [u16; 256] = classes();

const fn is_one_of(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

#[allow(clippy::cast_possible_truncation)] // the counter ends at 255
const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let byte = code as u8;
        let word = byte.is_ascii_alphanumeric();
        let control = byte < 32 || byte == 127;
        let visible = !control && byte != b' ';
        let members = [
            (TOKEN, word || is_one_of(byte, b"-.!%*_+`'~")),
            (USER, word || is_one_of(byte, b"-_.!~*'()&=+$,;?/#")),
            (HOST, word || is_one_of(byte, b"_.-")),
            (
                URI_PARAM,
                visible && byte < 128 && !is_one_of(byte, b";?@\"<>%"),
            ),
            (
                URI_PARAM_NAME,
                visible && byte < 128 && !is_one_of(byte, b";?@\"<>%="),
            ),
            (VALUE, visible && !is_one_of(byte, b";,\"<>")),
            (CALL_ID, visible),
            (
                DISPLAY,
                (!control || byte == b'\t') && !is_one_of(byte, b"\",;:<>\\"),
            ),
            (BRACKETED, visible && !is_one_of(byte, b"<>\"")),
            (BARE, visible && !is_one_of(byte, b"<>\",;?")),
            (SCHEME, word || is_one_of(byte, b"+.-")),
            (DOTTED, byte.is_ascii_digit() || byte == b'.'),
        ];
        let mut at = 0;
        while at < members.len() {
            if members[at].1 {
                table[code] |= members[at].0.0;
            }
            at += 1;
        }
        code += 1;
    }
    table
}

/// Whether a byte belongs to a class.
#[must_use]
#[inline]
pub fn is(byte: u8, class: Class) -> bool {
    CLASSES[byte as usize] & class.0 != 0
}

/// How many bytes at the beginning of a text belong to a class: for what is short, such as names.
#[must_use]
#[inline]
pub fn span(text: &[u8], class: Class) -> usize {
    text.iter()
        .position(|&byte| !is(byte, class))
        .unwrap_or(text.len())
}

/// The same for what may be long, such as values: eight bytes at a time.
#[must_use]
#[inline]
pub fn long_span(text: &[u8], class: Class) -> usize {
    let (chunks, _) = text.as_chunks::<8>();
    let whole = chunks
        .iter()
        .position(|chunk| !has_only(chunk, class))
        .unwrap_or(chunks.len());
    whole * 8 + span(&text[whole * 8..], class)
}

/// Whether a text is not empty and all its bytes belong to a class.
#[must_use]
#[inline]
pub fn is_all(text: &[u8], class: Class) -> bool {
    !text.is_empty() && has_only(text, class)
}

/// Without a branch for each byte: nearly every text that is asked about is as it should be.
#[inline]
fn has_only(text: &[u8], class: Class) -> bool {
    text.iter()
        .fold(class.0, |left, &byte| left & CLASSES[byte as usize])
        != 0
}

/// A decimal number of one to `most` digits, at most eighteen.
#[must_use]
#[inline]
pub fn number(text: &[u8], most: usize) -> Option<u64> {
    if text.is_empty() || text.len() > most.min(18) {
        return None;
    }
    let mut value = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    Some(value)
}

/// A port as it is written in URIs and Via: one to five digits, 1 to 65535.
#[must_use]
#[inline]
pub fn port(text: &[u8]) -> Option<u16> {
    number(text, 5)
        .and_then(|value| u16::try_from(value).ok())
        .filter(|&value| value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: Class) -> Vec<u8> {
        (0..=255).filter(|&byte| is(byte, class)).collect()
    }

    #[test]
    fn a_token_has_the_marks_of_the_rfc() {
        assert_eq!(
            of(TOKEN),
            b"!%'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_`abcdefghijklmnopqrstuvwxyz~"
        );
    }

    #[test]
    fn a_user_has_neither_colon_nor_escape() {
        let user = of(USER);
        assert!(b"#;?/$&,()".iter().all(|byte| user.contains(byte)));
        assert!(!b":%@ <>\"\\^`{|}[]".iter().any(|byte| user.contains(byte)));
    }

    #[test]
    fn bytes_beyond_ascii_stand_in_names_and_values_not_in_uri_parameters() {
        for class in [VALUE, CALL_ID, DISPLAY, BRACKETED, BARE] {
            assert!((128..=255).all(|byte| is(byte, class)));
        }
        for class in [TOKEN, USER, HOST, URI_PARAM, SCHEME, DOTTED] {
            assert!(!(128..=255).any(|byte| is(byte, class)));
        }
    }

    #[test]
    fn no_class_has_a_control_character_but_the_tab_of_a_display_name() {
        for code in (0..32).chain([127]) {
            for class in [
                TOKEN, USER, HOST, URI_PARAM, VALUE, CALL_ID, BRACKETED, BARE, SCHEME, DOTTED,
            ] {
                assert!(!is(code, class));
            }
            assert_eq!(is(code, DISPLAY), code == b'\t');
        }
    }

    #[test]
    fn blanks_stand_in_display_names_only() {
        assert!(is(b' ', DISPLAY));
        for class in [
            TOKEN, USER, HOST, URI_PARAM, VALUE, CALL_ID, BRACKETED, BARE, SCHEME, DOTTED,
        ] {
            assert!(!is(b' ', class));
        }
    }

    #[test]
    fn the_span_ends_before_the_first_byte_of_another_class() {
        assert_eq!(span(b"abc;d", TOKEN), 3);
        assert_eq!(span(b"abc", TOKEN), 3);
        assert_eq!(span(b"", TOKEN), 0);
        for length in 0..20 {
            let text = [vec![b'a'; length], b" aaaaaaaaa".to_vec()].concat();
            assert_eq!(span(&text, TOKEN), length);
            assert_eq!(long_span(&text, TOKEN), length);
            assert_eq!(long_span(&text[..length], TOKEN), length);
        }
    }

    #[test]
    fn all_is_never_nothing() {
        assert!(is_all(b"abc", TOKEN));
        assert!(!is_all(b"ab c", TOKEN));
        assert!(!is_all(b"", TOKEN));
    }

    #[test]
    fn numbers_have_digits_only() {
        assert_eq!(number(b"0070", 4), Some(70));
        for text in [b"".as_slice(), b"-1", b"+1", b"1 ", b"1_0", b"12345"] {
            assert_eq!(number(text, 4), None);
        }
        assert_eq!(
            number(b"999999999999999999", 30),
            Some(999_999_999_999_999_999)
        );
        assert_eq!(number(b"1000000000000000000", 30), None);
    }

    #[test]
    fn a_port_is_neither_nought_nor_beyond_sixteen_bits() {
        assert_eq!(port(b"05060"), Some(5060));
        assert_eq!(port(b"65535"), Some(65535));
        for text in [b"0".as_slice(), b"65536", b"005060", b""] {
            assert_eq!(port(text), None);
        }
    }
}
