//! How many calls does each destination have, as far as the traffic shows?  The twin of `dispatcher.callload`, shared by
//! all threads.
//!
//! Calls wait for their end in three queues, one for each lifetime, so that the first of a queue is always the next to
//! go.  The queues are lists through one slab of calls: a call is in one of them at a time, and moves without allocation.
//! They are found by chains through the same slab: their heads are all that is read of a call that is not known, and fit
//! into a core's own cache.

use std::hint::black_box;

use rustc_hash::FxHashMap;

use crate::outcome::{CallFact, CallStep};

/// From the first INVITE.
pub const RINGING_S: f64 = 180.0;
/// From the answer or the last sign of life.
pub const ANSWERED_S: f64 = 7200.0;
/// From a challenge until the INVITE with credentials.
pub const CHALLENGED_S: f64 = 5.0;
/// Of each queue in one step.
pub const MOST_EXPIRED: usize = 4;

/// In a second.
const TICKS: f64 = 16.0;
/// No call.
const NONE: u32 = u32::MAX;

/// In the order in which Python looks at its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ringing,
    Challenged,
    Answered,
}

const STAGES: [Stage; 3] = [Stage::Ringing, Stage::Challenged, Stage::Answered];

#[derive(Clone, Copy, Debug)]
struct Call {
    key: u64,
    /// The moment of the end in ticks.
    until: u32,
    /// The destination.
    number: u32,
    stage: Stage,
    before: u32,
    behind: u32,
    /// The next of those whose keys have the same head.
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

/// What is known of a destination.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    active: u64,
    begun: u64,
    idle_since: Option<f64>,
}

/// The calls that are going on, `entries` at most; when there are more, those go first whose time is over first.
#[derive(Debug)]
pub struct CallTable {
    entries: usize,
    calls: Vec<Call>,
    free: Vec<u32>,
    /// The first call of each chain; a power of two of them.
    heads: Vec<u32>,
    count: usize,
    queues: [Queue; 3],
    loads: FxHashMap<u32, Load>,
}

impl CallTable {
    /// Room for so many; it is taken when it is needed.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        CallTable {
            entries,
            calls: Vec::new(),
            free: Vec::new(),
            heads: vec![NONE; entries.max(1).next_power_of_two()],
            count: 0,
            queues: [Queue {
                first: NONE,
                last: NONE,
            }; 3],
            loads: FxHashMap::default(),
        }
    }

    /// The most that are known at a time.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The calls that a destination has now, as of the last step.
    #[must_use]
    pub fn active(&self, number: u32) -> u64 {
        self.loads.get(&number).map_or(0, |load| load.active)
    }

    /// The calls that a destination has been given so far.
    #[must_use]
    pub fn begun(&self, number: u32) -> u64 {
        self.loads.get(&number).map_or(0, |load| load.begun)
    }

    /// The same of all that have been given any.
    #[must_use]
    pub fn begun_by_number(&self) -> Vec<(u32, u64)> {
        let all = self.loads.iter().filter(|(_, load)| load.begun > 0);
        all.map(|(number, load)| (*number, load.begun)).collect()
    }

    /// When the last call of a destination that has none now has ended; `None` when it never had any.
    #[must_use]
    pub fn idle_since(&self, number: u32) -> Option<f64> {
        self.loads.get(&number).and_then(|load| load.idle_since)
    }

    /// Begin anew with what a destination has been given; the calls that it still has stay counted.
    pub fn forget(&mut self, number: u32) {
        if let Some(load) = self.loads.get_mut(&number) {
            load.begun = 0;
            load.idle_since = None;
            if load.active == 0 {
                self.loads.remove(&number);
            }
        }
    }

    /// Take in what a message tells; `number` is the destination of a `Begin` and not looked at otherwise.
    pub fn note(&mut self, fact: CallFact, number: Option<u32>, now: f64) {
        self.expire(now);
        let known = self.find(fact.key);
        match (fact.step, known) {
            (CallStep::Begin, _) => {
                if let Some(number) = number {
                    self.begin(fact.key, known, number, now);
                }
            }
            (_, None) => {}
            (CallStep::Answered, Some(at)) => self.move_to(at, Stage::Answered, now + ANSWERED_S),
            (CallStep::Going, Some(at)) => {
                if self.stage(at) == Stage::Answered {
                    self.move_to(at, Stage::Answered, now + ANSWERED_S);
                }
            }
            (CallStep::Challenged, Some(at)) => {
                if self.stage(at) == Stage::Ringing {
                    self.move_to(at, Stage::Challenged, now + CHALLENGED_S);
                }
            }
            (CallStep::Failed, Some(at)) => {
                if self.stage(at) != Stage::Answered {
                    self.leave(at, now); // what fails within an answered call does not end it
                }
            }
            (CallStep::End, Some(at)) => self.leave(at, now),
        }
    }

    /// Take away some of those whose time is over, `MOST_EXPIRED` of each queue; whether there may be more.
    pub fn expire(&mut self, now: f64) -> bool {
        let mut more = false;
        for stage in STAGES {
            let mut taken = 0;
            while taken < MOST_EXPIRED {
                let first = self.queues[stage as usize].first;
                if first == NONE || f64::from(self.calls[first as usize].until) > now * TICKS {
                    break;
                }
                self.leave(first, now);
                taken += 1;
            }
            more |= taken == MOST_EXPIRED;
        }
        more
    }

    /// A retransmission changes nothing, unless it went to another destination because the first has died.
    fn begin(&mut self, key: u64, known: Option<u32>, number: u32, now: f64) {
        if let Some(at) = known {
            match self.stage(at) {
                Stage::Answered => return,
                Stage::Challenged => self.move_to(at, Stage::Ringing, now + RINGING_S),
                Stage::Ringing => {}
            }
            if self.calls[at as usize].number == number {
                return;
            }
            self.leave(at, now);
        } else if self.len() >= self.entries {
            self.make_room(now);
        }
        let load = self.loads.entry(number).or_default();
        load.begun += 1;
        if self.entries > 0 {
            load.active += 1;
            self.insert(key, number, now + RINGING_S);
        }
    }

    fn make_room(&mut self, now: f64) {
        let firsts = self
            .queues
            .iter()
            .map(|queue| queue.first)
            .filter(|first| *first != NONE);
        let nearest = firsts.min_by_key(|first| {
            let call = &self.calls[*first as usize];
            (call.until, call.number)
        });
        if let Some(first) = nearest {
            self.leave(first, now);
        }
    }

    /// Read what `note` will read first of each of these keys, which changes nothing.
    ///
    /// A table for many calls is larger than the caches.  `note` would wait for memory twice for each key, one key after the
    /// other; no read here hangs on what another key has shown, so the processor waits for all of them at once.
    pub fn look_ahead(&self, keys: impl Iterator<Item = u64> + Clone) {
        let firsts = keys.map(|key| self.heads[self.head(key)]);
        black_box(firsts.clone().fold(0, |seen, first| seen ^ first));
        let calls = firsts.filter_map(|first| self.calls.get(first as usize));
        black_box(calls.fold(0, |seen, call| seen ^ call.key));
    }

    fn stage(&self, at: u32) -> Stage {
        self.calls[at as usize].stage
    }

    #[allow(clippy::cast_possible_truncation)] // the lowest bits of a keyed hash are as good as any
    fn head(&self, key: u64) -> usize {
        key as usize & (self.heads.len() - 1)
    }

    fn find(&self, key: u64) -> Option<u32> {
        let mut at = self.heads[self.head(key)];
        while at != NONE {
            let call = &self.calls[at as usize];
            if call.key == key {
                return Some(at);
            }
            at = call.next;
        }
        None
    }

    fn insert(&mut self, key: u64, number: u32, until: f64) {
        let head = self.head(key);
        let call = Call {
            key,
            until: ticks(until),
            number,
            stage: Stage::Ringing,
            before: NONE,
            behind: NONE,
            next: self.heads[head],
        };
        let at = if let Some(at) = self.free.pop() {
            self.calls[at as usize] = call;
            at
        } else {
            self.calls.push(call);
            u32::try_from(self.calls.len() - 1).unwrap_or(NONE)
        };
        self.heads[head] = at;
        self.count += 1;
        self.append(at, Stage::Ringing);
    }

    /// Take a call out of its chain.
    fn forget_key(&mut self, at: u32) {
        let Call { key, next, .. } = self.calls[at as usize];
        let head = self.head(key);
        if self.heads[head] == at {
            self.heads[head] = next;
            return;
        }
        let mut before = self.heads[head];
        while before != NONE {
            let call = &mut self.calls[before as usize];
            if call.next == at {
                call.next = next;
                return;
            }
            before = call.next;
        }
    }

    fn move_to(&mut self, at: u32, stage: Stage, until: f64) {
        self.unlink(at);
        self.calls[at as usize].until = ticks(until);
        self.append(at, stage);
    }

    fn leave(&mut self, at: u32, now: f64) {
        self.unlink(at);
        self.forget_key(at);
        self.count -= 1;
        self.free.push(at);
        let number = self.calls[at as usize].number;
        if let Some(load) = self.loads.get_mut(&number) {
            load.active = load.active.saturating_sub(1);
            if load.active == 0 {
                load.idle_since = Some(now);
            }
        }
    }

    fn append(&mut self, at: u32, stage: Stage) {
        let last = self.queues[stage as usize].last;
        let call = &mut self.calls[at as usize];
        (call.stage, call.before, call.behind) = (stage, last, NONE);
        let queue = &mut self.queues[stage as usize];
        queue.last = at;
        if last == NONE {
            queue.first = at;
        } else {
            self.calls[last as usize].behind = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Call {
            stage,
            before,
            behind,
            ..
        } = self.calls[at as usize];
        if before == NONE {
            self.queues[stage as usize].first = behind;
        } else {
            self.calls[before as usize].behind = behind;
        }
        if behind == NONE {
            self.queues[stage as usize].last = before;
        } else {
            self.calls[behind as usize].before = before;
        }
    }
}

/// A moment in ticks, cut as Python cuts it: enough for eight years of uptime.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float that does not fit is cut to the nearest
fn ticks(moment: f64) -> u32 {
    (moment * TICKS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(
        table: &mut CallTable,
        step: CallStep,
        key: u64,
        number: Option<u32>,
        now: f64,
    ) -> (u64, u64) {
        table.note(CallFact { key, step }, number, now);
        (table.active(1), table.active(2))
    }

    #[test]
    fn a_call_counts_from_its_invite_to_its_bye() {
        let mut table = CallTable::new(8);
        assert_eq!(tell(&mut table, CallStep::Begin, 5, Some(1), 0.0), (1, 0));
        assert_eq!(tell(&mut table, CallStep::Begin, 5, Some(2), 0.5), (0, 1));
        assert_eq!(table.idle_since(1), Some(0.5));
        assert_eq!(tell(&mut table, CallStep::Answered, 5, None, 1.0), (0, 1));
        assert_eq!(tell(&mut table, CallStep::Failed, 5, None, 1.0), (0, 1));
        assert_eq!(tell(&mut table, CallStep::End, 5, None, 2.0), (0, 0));
        assert!(table.is_empty());
        assert_eq!((table.begun(1), table.begun(2)), (1, 1));
    }

    #[test]
    fn those_go_first_whose_time_is_over_first() {
        let mut table = CallTable::new(2);
        tell(&mut table, CallStep::Begin, 1, Some(1), 0.0);
        tell(&mut table, CallStep::Answered, 1, None, 0.0);
        tell(&mut table, CallStep::Begin, 2, Some(2), 1.0);
        assert_eq!(tell(&mut table, CallStep::Begin, 3, Some(2), 2.0), (1, 1));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_look_ahead_changes_nothing_and_takes_any_key() {
        for entries in [0, 1, 8] {
            let mut table = CallTable::new(entries);
            for key in 0..3 {
                table.look_ahead([key, 0, u64::MAX].into_iter());
                tell(&mut table, CallStep::Begin, key, Some(1), 0.0);
            }
            let before = format!("{table:?}");
            table.look_ahead((0..64).map(|key| key << 32 | key));
            assert_eq!(format!("{table:?}"), before);
        }
    }

    #[test]
    fn time_ends_calls_a_few_at_a_time() {
        let mut table = CallTable::new(100);
        for key in 0..10 {
            tell(&mut table, CallStep::Begin, key, Some(1), 0.0);
        }
        assert!(table.expire(RINGING_S));
        assert_eq!(table.active(1), 6);
        assert!(table.expire(RINGING_S));
        assert!(!table.expire(RINGING_S));
        assert_eq!(
            (table.active(1), table.len(), table.idle_since(1)),
            (0, 0, Some(RINGING_S))
        );
    }
}
