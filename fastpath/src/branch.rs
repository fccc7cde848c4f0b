//! Did this reply, this ACK, this Via pass through us?  The branch and the To tag are keyed hashes that answer it
//! (`dispatcher.branch`).

use std::net::SocketAddr;

use crate::keyed::{Key, SHORT, Use, digest, hash, with_host};
use crate::value::{Host, Via};
use crate::written::{self, Text};

/// RFC 3261 8.1.1.7.
pub const COOKIE: &[u8] = b"z9hG4bK";

/// Hexadecimal digits of a 64-bit hash.
pub const MAC_LENGTH: usize = 16;

/// What branch and To tag are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction<'m> {
    /// Of the Via below ours, as we leave it: its branch.
    pub branch: &'m [u8],
    /// Its sent-by's host.
    pub host: Host<'m>,
    /// Its sent-by's port, written or not.
    pub port: u16,
    /// Where a reply with it on top is sent.
    pub reply_to: SocketAddr,
    /// Trimmed.
    pub call_id: &'m [u8],
    /// Empty when there is none.
    pub from_tag: &'m [u8],
    /// The number.
    pub cseq: u32,
}

impl<'m> Transaction<'m> {
    /// The transaction that a Via under one of ours belongs to; `None` when it does not say where a reply would go.
    #[must_use]
    pub fn below(via: &Via<'m>, call_id: &'m [u8], from_tag: &'m [u8], cseq: u32) -> Option<Self> {
        Some(Transaction {
            branch: via.branch,
            host: via.host,
            port: via.sent_by_port(),
            reply_to: via.reply_address()?,
            call_id,
            from_tag,
            cseq,
        })
    }

    /// Its keyed hash: `Use::Branch` for branches, `Use::ToTag` for To tags.
    #[must_use]
    pub fn mac(&self, key: &Key, purpose: Use) -> u64 {
        let mut text = Text::<SHORT>::default();
        text.push_byte(purpose as u8);
        let Host::Address(host) = self.host else {
            return self.mac_by_parts(key, purpose);
        };
        text.push_address(host);
        self.push_ends(&mut text);
        text.push(self.branch);
        text.push_byte(b'\n');
        text.push(self.call_id);
        text.push_byte(b'\n');
        text.push(self.from_tag);
        if text.is_whole() {
            hash(key, &text)
        } else {
            self.mac_by_parts(key, purpose)
        }
    }

    /// The same for any length and for names, which few senders write.
    fn mac_by_parts(&self, key: &Key, purpose: Use) -> u64 {
        let mut ends = Text::<SHORT>::default();
        self.push_ends(&mut ends);
        with_host(self.host, |host| {
            let (ends, end) = (ends.as_bytes(), b"\n");
            let parts: [&[u8]; 7] = [
                host,
                ends,
                self.branch,
                end,
                self.call_id,
                end,
                self.from_tag,
            ];
            digest(key, purpose, &parts)
        })
    }

    /// What stands behind the host, 64 bytes at most.
    fn push_ends(&self, text: &mut Text<SHORT>) {
        text.push_byte(b' ');
        text.push_number(self.port.into());
        text.push_byte(b' ');
        text.push_address(self.reply_to.ip());
        text.push_byte(b' ');
        text.push_number(self.reply_to.port().into());
        text.push_byte(b' ');
        text.push_number(self.cseq);
        text.push_byte(b'\n');
    }

    /// The hash that `candidate` (a branch without the cookie, or a To tag) says, when one of our secrets gives it.
    #[must_use]
    pub fn verify(&self, candidate: &[u8], keys: &[Key], purpose: Use) -> Option<u64> {
        if candidate.len() != MAC_LENGTH {
            return None;
        }
        keys.iter()
            .map(|key| self.mac(key, purpose))
            .find(|mac| hex(*mac) == candidate)
    }
}

/// A hash as it is written: 16 hexadecimal digits.
#[must_use]
pub fn hex(hash: u64) -> [u8; MAC_LENGTH] {
    written::hex64(hash)
}
