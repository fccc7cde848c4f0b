//! Which servers take requests and answer nothing at all?  The twin of `health.unanswered`, shared by all threads.

use rustc_hash::FxHashMap;

/// Twice RFC 3261's T1: by then a client has retransmitted once.
pub const SILENCE_S: f64 = 1.0;

/// Remembers since when each target (by number) owes an answer.
#[derive(Debug, Default)]
pub struct Unanswered {
    /// The moment, and the place in the order of those who came to owe: two moments may be equal.
    since: FxHashMap<u32, (f64, u64)>,
    turn: u64,
}

impl Unanswered {
    /// A target was sent a request (an ACK gets no answer and is none).
    pub fn sent(&mut self, number: u32, now: f64) {
        let turn = self.turn;
        self.since.entry(number).or_insert((now, turn));
        self.turn += 1;
    }

    /// It has answered something, be it provisional.
    pub fn answered(&mut self, number: u32) {
        self.since.remove(&number);
    }

    /// Those that have been sent a request `SILENCE_S` ago or longer and have answered nothing since, the longest first.
    ///
    /// Each is named once; its time begins anew with the next request that it is sent.
    pub fn overdue(&mut self, now: f64) -> Vec<u32> {
        let mut found: Vec<(u64, u32)> = self
            .since
            .iter()
            .filter(|(_, (since, _))| now - since >= SILENCE_S)
            .map(|(number, (_, turn))| (*turn, *number))
            .collect();
        found.sort_unstable();
        for (_, number) in &found {
            self.since.remove(number);
        }
        found.into_iter().map(|(_, number)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_counts_and_any_answer_is_enough() {
        let mut watch = Unanswered::default();
        watch.sent(7, 10.0);
        watch.sent(7, 10.9);
        watch.sent(9, 10.0);
        watch.sent(8, 10.0);
        watch.answered(8);
        assert!(watch.overdue(10.99).is_empty());
        assert_eq!(watch.overdue(11.0), [7, 9]);
        assert!(watch.overdue(12.0).is_empty());
    }
}
