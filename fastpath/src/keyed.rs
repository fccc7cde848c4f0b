//! What is the keyed hash of a text?  SipHash-2-4 under a key derived from the pair's secret, one byte in front for the
//! use (`dispatcher.keyed`).

use std::borrow::Cow;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::value::Host;
use crate::written::{self, Text};

/// 16 bytes, derived from a secret.
pub type Key = [u8; 16];

/// What a hash is for: a value made for one use means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// The branch of our Via.
    Branch = b'b',
    /// The To tag of answers that Python makes.
    ToTag = b't',
    /// The token in Record-Route and Path.
    Token = b'r',
    /// The text that a choice is keyed on, such as a Call-ID.
    Choice = b'c',
}

/// Texts up to about this many bytes are put together before they are hashed, which is faster than hashing by parts.
pub const SHORT: usize = 256;

/// The keyed hash of these parts, one behind the other.
#[must_use]
pub fn digest(key: &Key, purpose: Use, parts: &[&[u8]]) -> u64 {
    let mut text = Text::<SHORT>::default();
    text.push_byte(purpose as u8);
    for part in parts {
        text.push(part);
    }
    if text.is_whole() {
        return hash(key, &text);
    }
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&[purpose as u8]);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}

/// The keyed hash of a text that begins with the byte for its use.
#[must_use]
pub fn hash<const N: usize>(key: &Key, text: &Text<N>) -> u64 {
    SipHasher24::new_with_key(key).hash(text.as_bytes())
}

/// What a Call-ID is known by: gives the slot, the place among the recent choices, and a call's facts.
#[must_use]
pub fn call_digest(key: &Key, call_id: &[u8]) -> u64 {
    digest(key, Use::Choice, &[call_id])
}

/// What keeps the messages of one call in order while one of them waits for Python, from `call_digest`; never 0.
#[must_use]
pub fn order_hash(call_digest: u64) -> u64 {
    call_digest.max(1)
}

/// Calls `then` with a host as values have it: an address in its one spelling, a name in lower case.
pub fn with_host<T>(host: Host<'_>, then: impl FnOnce(&[u8]) -> T) -> T {
    match host {
        Host::Address(address) => then(written::address(address).as_bytes()),
        Host::Name(name) => then(&in_lower_case(name)),
    }
}

/// A name in lower case; it is copied only where it is not.
#[must_use]
pub fn in_lower_case(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_hash_is_never_that_of_a_message_without_a_call() {
        assert_eq!(order_hash(0), 1);
        assert_eq!(order_hash(7), 7);
    }

    #[test]
    fn a_host_is_hashed_in_its_one_spelling() {
        let text = |host| with_host(host, <[u8]>::to_vec);
        assert_eq!(text(Host::Name(b"PBX.example.com")), b"pbx.example.com");
        assert_eq!(
            text(Host::Address("2001:DB8::1".parse().unwrap())),
            b"2001:db8::1"
        );
    }
}
