//! How many datagrams came, left and were dropped, and why?  The part of `dispatcher.counters` that the threads count;
//! Python adds it to its own.

use rustc_hash::FxHashMap;

use crate::outcome::DropReason;

/// `health.latency.BUCKETS_S`: upper bounds, included, in seconds.
pub const BUCKETS_S: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// What went to a destination and came from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Requests that were sent there.
    pub requests: u64,
    /// Replies by the first digit of their status, less one.
    pub replies: [u64; 6],
    /// When something last went there or came from there.
    pub last_seen: f64,
    /// How long it took to answer: samples by bucket, the last for what is above all of them.
    pub answers: [u64; BUCKETS_S.len() + 1],
    /// The sum of the samples in seconds.
    pub answer_total: f64,
}

impl Traffic {
    /// An answer took so long.
    pub fn observe(&mut self, seconds: f64) {
        self.answers[BUCKETS_S.partition_point(|bound| *bound < seconds)] += 1;
        self.answer_total += seconds;
    }
}

/// What one thread counts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Datagrams that were dealt with here; what is handed over Python counts.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Those that the kernel took.
    pub forwarded: u64,
    /// Those that ended here, by label.
    pub dropped: FxHashMap<&'static str, u64>,
    /// Those that the kernel did not take, by errno.
    pub unsent: FxHashMap<i32, u64>,
    /// Errors of the network that were not handed over, by errno.
    pub network_errors: FxHashMap<u32, u64>,
    /// By number.
    pub destinations: FxHashMap<u32, Traffic>,
}

impl Counters {
    /// So many datagrams ended here.
    pub fn note_dropped(&mut self, label: &'static str, count: u64) {
        *self.dropped.entry(label).or_default() += count;
    }

    /// Add what another has counted.
    pub fn add(&mut self, other: &Counters) {
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.forwarded += other.forwarded;
        for (label, count) in &other.dropped {
            self.note_dropped(label, *count);
        }
        for (errno, count) in &other.unsent {
            *self.unsent.entry(*errno).or_default() += count;
        }
        for (number, theirs) in &other.destinations {
            let ours = self.destinations.entry(*number).or_default();
            ours.requests += theirs.requests;
            add_each(&mut ours.replies, &theirs.replies);
            ours.last_seen = ours.last_seen.max(theirs.last_seen);
            add_each(&mut ours.answers, &theirs.answers);
            ours.answer_total += theirs.answer_total;
        }
    }
}

fn add_each(ours: &mut [u64], theirs: &[u64]) {
    for (own, their) in ours.iter_mut().zip(theirs) {
        *own += their;
    }
}

/// `internal`: a mistake in this program.
pub const INTERNAL: &str = "internal";
/// `overload`: too many unusual messages waited for Python.
pub const OVERLOAD: &str = "overload";

/// The label that Python's reason has.
#[must_use]
pub fn label(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Keepalive => "keepalive",
        DropReason::Stun => "stun",
        DropReason::Malformed => "malformed",
        DropReason::MalformedReply => "malformed_reply",
        DropReason::ReplyForged => "reply_forged",
        DropReason::ReplyToUs => "reply_to_us",
        DropReason::AckToOurAnswer => "ack_to_our_answer",
        DropReason::NoReplyAddress => "no_reply_address",
        DropReason::Limited => "limited",
        DropReason::Banned => "banned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut traffic = Traffic::default();
        for seconds in [0.0, 0.001, 0.0011, 5.0, 6.0] {
            traffic.observe(seconds);
        }
        assert_eq!(traffic.answers, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn threads_are_added_up() {
        let mut one = Counters {
            received: 1,
            ..Counters::default()
        };
        one.note_dropped(INTERNAL, 1);
        one.destinations.entry(7).or_default().last_seen = 3.0;
        let mut two = one.clone();
        two.destinations.entry(7).or_default().requests = 2;
        two.destinations.entry(7).or_default().last_seen = 2.0;
        one.add(&two);
        assert_eq!((one.received, one.dropped[INTERNAL]), (2, 2));
        assert_eq!(
            (
                one.destinations[&7].requests,
                one.destinations[&7].last_seen
            ),
            (2, 3.0)
        );
    }
}
