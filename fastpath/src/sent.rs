//! Was a destination really sent the request that an ICMP error quotes, or that a reply answers?  The twin of
//! `dispatcher.sent`, shared by all threads; it knows a branch by its number, which is what our branches are.

use std::mem;
use std::net::SocketAddr;

use memchr::{memchr, memmem};
use rustc_hash::FxHashMap;

use crate::branch::MAC_LENGTH;

/// Branches that are kept at least, and twice as many at most.
pub const KEPT: usize = 16_384;

const BRANCH: &[u8] = b";branch=z9hG4bK";

/// The branches of the latest requests and where each was sent; one that is sent anew counts where it went last.
#[derive(Debug)]
pub struct SentBranches {
    kept: usize,
    // Two generations: forgetting costs nothing for each request.
    latest: FxHashMap<u64, SocketAddr>,
    before: FxHashMap<u64, SocketAddr>,
}

impl SentBranches {
    /// Keeps at least so many.
    #[must_use]
    pub fn new(kept: usize) -> Self {
        SentBranches {
            kept,
            latest: FxHashMap::default(),
            before: FxHashMap::default(),
        }
    }

    /// A request with this hash in its branch has been sent there.
    pub fn remember(&mut self, address: SocketAddr, branch: u64) {
        if self.latest.len() >= self.kept {
            mem::swap(&mut self.latest, &mut self.before);
            self.latest.clear(); // its room is used again
        }
        self.latest.insert(branch, address);
    }

    /// Whether a quoted beginning of a datagram has the branch of a request that was sent there.
    #[must_use]
    pub fn was_sent(&self, address: SocketAddr, quoted: &[u8]) -> bool {
        branch_of(quoted).is_some_and(|branch| self.went(address, branch))
    }

    /// Whether a request with this branch was sent there.
    #[must_use]
    pub fn went(&self, address: SocketAddr, branch: u64) -> bool {
        self.latest.get(&branch) == Some(&address) || self.before.get(&branch) == Some(&address)
    }
}

/// The hash in the top Via's branch; never what a sender may have put into the start line to look like it.
#[must_use]
pub fn branch_of(text: &[u8]) -> Option<u64> {
    let fields = &text[memchr(b'\n', text)?..];
    let at = memmem::find(fields, BRANCH)? + BRANCH.len();
    number_of(fields.get(at..at + MAC_LENGTH)?)
}

/// The number that 16 lower-case hexadecimal digits stand for: our branches are written so and in no other way.
#[must_use]
pub fn number_of(digits: &[u8]) -> Option<u64> {
    if digits.len() != MAC_LENGTH {
        return None;
    }
    digits.iter().try_fold(0, |number: u64, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> SocketAddr {
        "10.0.0.11:5060".parse().expect("an address")
    }

    #[test]
    fn a_quote_as_far_as_the_branch_is_enough() {
        let mut branches = SentBranches::new(2);
        branches.remember(server(), 0x1f);
        let quoted = b"INVITE sip:a;branch=z9hG4bKffffffffffffffff SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK000000000000001f";
        assert!(branches.was_sent(server(), quoted));
        assert!(!branches.was_sent(server(), &quoted[..quoted.len() - 1]));
        assert!(!branches.was_sent("10.0.0.12:5060".parse().expect("an address"), quoted));
    }

    #[test]
    fn the_latest_are_kept_and_no_more_than_twice_as_many() {
        let mut branches = SentBranches::new(2);
        for branch in 0..5 {
            branches.remember(server(), branch);
        }
        let known: Vec<bool> = (0..5)
            .map(|branch| branches.went(server(), branch))
            .collect();
        assert_eq!(known, [false, false, true, true, true]);
    }

    #[test]
    fn only_our_own_spelling_is_a_branch() {
        assert_eq!(number_of(b"0000000000000aF0"), None);
        assert_eq!(number_of(b"000000000000af0"), None);
        assert_eq!(number_of(b"ffffffffffffffff"), Some(u64::MAX));
    }
}
