//! Whom does a dialog connect, and how is its edge end reached?  The token in Record-Route and Path remembers it
//! (`dispatcher.token`).

use std::net::SocketAddr;

use crate::keyed::Key;

/// The longest token, with two IPv6 ends.
pub const MAX_LENGTH: usize = 64;

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
        todo!("{key:?} {edge_listener:?}")
    }

    /// The claims of a token and the place of its edge end's listener; `None` when it is not ours.
    pub fn read<'l>(
        text: &[u8],
        keys: &[Key],
        listeners: impl Iterator<Item = &'l [u8]> + Clone,
    ) -> Option<(Claims, usize)> {
        todo!("{text:?} {keys:?} {}", listeners.count())
    }
}
