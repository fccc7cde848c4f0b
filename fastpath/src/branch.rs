//! Did this reply, this ACK, this Via pass through us?  The branch and the To tag are keyed hashes that answer it
//! (`dispatcher.branch`).

use std::net::SocketAddr;

use crate::keyed::{Key, Use, digest, with_host};
use crate::value::{Host, Via};
use crate::written;

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
        let port = written::number(self.port.into());
        let reply_host = written::address(self.reply_to.ip());
        let reply_port = written::number(self.reply_to.port().into());
        let cseq = written::number(self.cseq);
        with_host(self.host, |host| {
            let ends = [
                host,
                port.as_bytes(),
                reply_host.as_bytes(),
                reply_port.as_bytes(),
                cseq.as_bytes(),
            ];
            let [host, port, reply_host, reply_port, cseq] = ends;
            digest(
                key,
                purpose,
                &[
                    host,
                    b" ",
                    port,
                    b" ",
                    reply_host,
                    b" ",
                    reply_port,
                    b" ",
                    cseq,
                    b"\n",
                    self.branch,
                    b"\n",
                    self.call_id,
                    b"\n",
                    self.from_tag,
                ],
            )
        })
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
