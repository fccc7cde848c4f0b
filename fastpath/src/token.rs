//! Whom does a dialog connect, and how is its edge end reached?  The token in Record-Route and Path remembers it
//! (`dispatcher.token`).
//!
//! ```text
//! flags(1) edge(4|16) port(2) core(4|16) port(2) creator's tag(3) hash(8)      base64url, 32 to 64 characters
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::keyed::{Key, Use, digest};

/// The longest token, with two IPv6 ends.
pub const MAX_LENGTH: usize = 64;

const EDGE_IPV6: u8 = 1;
const CORE_IPV6: u8 = 2;
const BEHIND_NAT: u8 = 4;
const CREATOR_CORE: u8 = 8;
const PATH: u8 = 16;
const TRANSPORT_SHIFT: u8 = 5;
/// The longest token, decoded.
const MAX_BYTES: usize = MAX_LENGTH / 4 * 3;
const HASH_BYTES: usize = 8;

/// What the edge end is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The end that phones and trunks are on.
    pub edge: SocketAddr,
    /// The server's end.
    pub core: SocketAddr,
    /// The edge end is reached by its flow, never by its Contact.
    pub behind_nat: bool,
    /// Which end has sent the request that created the dialog.
    pub creator_is_core: bool,
    /// 24 bits of a hash of that request's From tag.
    pub creator_tag: u32,
    /// From a registration: always points to the edge end.
    pub is_path: bool,
    /// Of the edge end.
    pub transport: Transport,
}

/// A token as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    text: [u8; MAX_LENGTH],
    length: usize,
}

impl Token {
    /// 32, 48 or 64 characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// 24 bits that stand for a From tag.
#[must_use]
pub fn tag_hash(from_tag: &[u8]) -> u32 {
    crc32fast::hash(from_tag) & 0x00FF_FFFF
}

impl Claims {
    /// The token for these claims; `edge_listener` is the `sent_by` of the listener that reaches the edge end.
    #[must_use]
    pub fn write(&self, key: &Key, edge_listener: &[u8]) -> Token {
        let mut body = Body::default();
        body.push(&[self.flags()]);
        body.push_end(self.edge);
        body.push_end(self.core);
        body.push(&self.creator_tag.to_be_bytes()[1..]);
        let hash = digest(key, Use::Token, &[body.as_bytes(), edge_listener]);
        body.push(&hash.to_be_bytes());
        encode(body.as_bytes())
    }

    /// The claims of a token and the place of its edge end's listener; `None` when it is not ours.
    pub fn read<'l>(
        text: &[u8],
        keys: &[Key],
        mut listeners: impl Iterator<Item = &'l [u8]>,
    ) -> Option<(Claims, usize)> {
        let mut raw = [0; MAX_BYTES];
        let raw = decode(text, &mut raw)?;
        let (body, hash) = raw.split_last_chunk::<HASH_BYTES>()?;
        let claims = Claims::parse(body)?;
        let hash = u64::from_be_bytes(*hash);
        let is_its = |listener| {
            keys.iter()
                .any(|key| digest(key, Use::Token, &[body, listener]) == hash)
        };
        let place = listeners.position(is_its)?;
        Some((claims, place))
    }

    fn flags(&self) -> u8 {
        (self.transport as u8) << TRANSPORT_SHIFT
            | if self.edge.is_ipv6() { EDGE_IPV6 } else { 0 }
            | if self.core.is_ipv6() { CORE_IPV6 } else { 0 }
            | if self.behind_nat { BEHIND_NAT } else { 0 }
            | if self.creator_is_core {
                CREATOR_CORE
            } else {
                0
            }
            | if self.is_path { PATH } else { 0 }
    }

    fn parse(body: &[u8]) -> Option<Claims> {
        let (flags, rest) = body.split_first()?;
        let transport = match flags >> TRANSPORT_SHIFT {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            2 => Transport::Tls,
            3 => Transport::Ws,
            4 => Transport::Wss,
            _ => return None,
        };
        let (edge, rest) = read_end(rest, flags & EDGE_IPV6 != 0)?;
        let (core, rest) = read_end(rest, flags & CORE_IPV6 != 0)?;
        let [high, middle, low]: [u8; 3] = rest.try_into().ok()?;
        Some(Claims {
            edge,
            core,
            behind_nat: flags & BEHIND_NAT != 0,
            creator_is_core: flags & CREATOR_CORE != 0,
            creator_tag: u32::from_be_bytes([0, high, middle, low]),
            is_path: flags & PATH != 0,
            transport,
        })
    }
}

fn read_end(bytes: &[u8], is_ipv6: bool) -> Option<(SocketAddr, &[u8])> {
    let (host, rest): (IpAddr, _) = if is_ipv6 {
        let (host, rest) = bytes.split_first_chunk::<16>()?;
        ((*host).into(), rest)
    } else {
        let (host, rest) = bytes.split_first_chunk::<4>()?;
        ((*host).into(), rest)
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(host, u16::from_be_bytes(*port)), rest))
}

/// A token before it is encoded: what is pushed is of our own making and never longer than `MAX_BYTES`.
struct Body {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl Default for Body {
    fn default() -> Self {
        Body {
            bytes: [0; MAX_BYTES],
            length: 0,
        }
    }
}

impl Body {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn push_end(&mut self, end: SocketAddr) {
        match end.ip() {
            IpAddr::V4(host) => self.push(&host.octets()),
            IpAddr::V6(host) => self.push(&host.octets()),
        }
        self.push(&end.port().to_be_bytes());
    }
}

// ------------------------------------------------------------------------------------------------------------------
// Base64 with the alphabet of RFC 4648 5, always without padding: all lengths are multiples of three bytes

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NO_DIGIT: u8 = 64;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    // Python reads the alphabet of RFC 4648 4 too.
    values[b'+' as usize] = 62;
    values[b'/' as usize] = 63;
    values
}

fn encode(raw: &[u8]) -> Token {
    let mut text = [0; MAX_LENGTH];
    for (digits, bytes) in text.chunks_exact_mut(4).zip(raw.chunks_exact(3)) {
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for (digit, shift) in digits.iter_mut().zip([18, 12, 6, 0]) {
            *digit = ALPHABET[(bits >> shift & 63) as usize];
        }
    }
    Token {
        text,
        length: raw.len() / 3 * 4,
    }
}

fn decode<'r>(text: &[u8], raw: &'r mut [u8; MAX_BYTES]) -> Option<&'r [u8]> {
    if !matches!(text.len(), 32 | 48 | 64) {
        return None;
    }
    for (bytes, digits) in raw.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
        let mut bits = 0;
        for digit in digits {
            let value = VALUES[usize::from(*digit)];
            if value == NO_DIGIT {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(&raw[..text.len() / 4 * 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_that_makes_no_sense_says_nothing() {
        let (key, listener) = ([7; 16], &b"192.0.2.1:5060"[..]);
        let read = |flags: u8| {
            let mut body = Body::default();
            body.push(&[flags]);
            body.push(&[0; 15]);
            let hash = digest(&key, Use::Token, &[body.as_bytes(), listener]);
            body.push(&hash.to_be_bytes());
            let token = encode(body.as_bytes());
            Claims::read(token.as_bytes(), &[key], [listener].into_iter()).is_some()
        };
        assert!(read(0));
        assert!(read(4 << TRANSPORT_SHIFT));
        for transport in 5..8 {
            assert!(
                !read(transport << TRANSPORT_SHIFT),
                "no transport has this number"
            );
        }
        assert!(!read(EDGE_IPV6), "it is too short for its ends");
        assert!(!read(CORE_IPV6));
    }
}
