//! What is noted of the messages that go on?  What `dispatcher.service` keeps of each, a batch at a time: the tables that
//! all threads and Python share are locked once a batch, not once a message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::calls::CallTable;
use crate::counters::Counters;
use crate::image::{Fixed, Image};
use crate::limits::Limits;
use crate::outcome::{CallFact, Forward};
use crate::sent::SentBranches;
use crate::unanswered::Unanswered;

/// What the packet path knows, and what is derived from it for the ledger.
pub struct Known {
    /// What decides.
    pub image: Arc<Image>,
    /// Of each destination by place, the numbers of all that are at its address: one for each set that lists it.
    numbers: Arc<[Box<[u32]>]>,
}

impl Known {
    /// What follows `before`; where the list is the same, what is derived from it is too.
    #[must_use]
    pub fn new(image: Arc<Image>, before: Option<&Known>) -> Self {
        let numbers = match before {
            Some(before) if Arc::ptr_eq(&before.image.fixed, &image.fixed) => {
                Arc::clone(&before.numbers)
            }
            _ => numbers_at(&image.fixed),
        };
        Known { image, numbers }
    }

    fn numbers_with(&self, place: usize) -> &[u32] {
        self.numbers.get(place).map_or(&[], |numbers| numbers)
    }
}

fn numbers_at(fixed: &Fixed) -> Arc<[Box<[u32]>]> {
    let mut at: FxHashMap<SocketAddr, Vec<u32>> = FxHashMap::default();
    for destination in &fixed.destinations {
        at.entry(destination.address)
            .or_default()
            .push(destination.number);
    }
    fixed
        .destinations
        .iter()
        .map(|each| at[&each.address].as_slice().into())
        .collect()
}

/// The tables that all threads and Python share.
#[derive(Clone)]
pub struct Tables {
    /// Which calls go on.
    pub calls: Arc<Mutex<CallTable>>,
    /// Which requests were sent where.
    pub sent: Arc<Mutex<SentBranches>>,
    /// Who owes an answer.
    pub unanswered: Arc<Mutex<Unanswered>>,
    /// What a source may send.
    pub limits: Arc<Limits>,
}

/// What is noted of one message.
#[derive(Clone, Debug)]
pub struct Note {
    address: SocketAddr,
    branch: u64,
    place: Option<usize>,
    status: u16,
    /// A request that a server which is well answers soon: no ACK.
    expects_answer: bool,
    latency: Option<f64>,
    retry_after: Option<u32>,
    call: Option<CallFact>,
}

impl Note {
    /// Of a message that goes on.
    #[must_use]
    pub fn of(forward: &Forward<'_>) -> Self {
        Note {
            address: forward.address,
            branch: forward.branch,
            place: forward.destination,
            status: forward.status,
            expects_answer: forward.status == 0 && forward.method != b"ACK",
            latency: forward.elapsed.filter(|_| {
                // Until the first words to an INVITE, the last to anything else: what comes later to an INVITE is how
                // long a person took to pick up.
                if forward.method == b"INVITE" {
                    forward.status == 100
                } else {
                    forward.status >= 200
                }
            }),
            retry_after: forward.retry_after,
            call: forward.call,
        }
    }
}

/// Note a batch, in its order; `busy` is told of each destination (by number) that asks to be left alone (for seconds).
pub fn note_all(
    notes: &[Note],
    known: &Known,
    now: f64,
    tables: &Tables,
    counters: &mut Counters,
    mut busy: impl FnMut(u32, u32),
) {
    if notes.is_empty() {
        return;
    }
    let destinations = &known.image.fixed.destinations;
    // Always in this order: each thread has all three, and would wait for another that has begun with the last one.
    let mut calls = lock(&tables.calls);
    let mut sent = lock(&tables.sent);
    let mut unanswered = lock(&tables.unanswered);
    calls.look_ahead(notes.iter().filter_map(|note| Some(note.call?.key)));
    for note in notes {
        let found = note
            .place
            .and_then(|place| destinations.get(place).map(|found| (place, found)));
        if let Some(fact) = note.call {
            calls.note(fact, found.map(|(_, found)| found.number), now);
        }
        let Some((place, destination)) = found else {
            continue;
        };
        let traffic = counters.destinations.entry(destination.number).or_default();
        traffic.last_seen = now;
        if note.status == 0 {
            traffic.requests += 1;
            sent.remember(note.address, note.branch);
            if note.expects_answer {
                unanswered.sent(destination.number, now);
            }
            continue;
        }
        if let Some(count) = traffic
            .replies
            .get_mut(usize::from(note.status / 100).wrapping_sub(1))
        {
            *count += 1;
        }
        if let Some(latency) = note.latency {
            traffic.observe(latency);
        }
        let retry_after = note.retry_after.filter(|_| {
            // Else it is forged by one who was sent a request of the server's, or too late to matter.
            sent.went(destination.address, note.branch)
        });
        for number in known.numbers_with(place) {
            unanswered.answered(*number); // whichever set asked: it is one server
            if let Some(seconds) = retry_after {
                busy(*number, seconds);
            }
        }
    }
}

/// The lock of a table; a thread that has failed while it held it has at worst left a count that is one too low.
pub fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::image::Fixed;
    use crate::limits::Policy;
    use crate::outcome::CallStep;

    fn server() -> SocketAddr {
        "192.0.2.1:5060".parse().expect("an address")
    }

    fn known() -> Arc<Known> {
        let mut fixed = Fixed::new(vec![[7; 16]]);
        fixed.add_pool(1, vec![]);
        fixed.add_destination(server(), 9, None);
        let image = Image {
            version: 1,
            fixed: Arc::new(fixed),
            liveness: [3].into(),
            ramp: [].into(),
        };
        Arc::new(Known::new(Arc::new(image), None))
    }

    fn note(status: u16, key: u64) -> Note {
        Note::of(&Forward {
            address: server(),
            listener: 0,
            destination: Some(0),
            remember: None,
            status,
            method: b"INVITE",
            call: (status == 0).then_some(CallFact {
                key,
                step: CallStep::Begin,
            }),
            elapsed: None,
            retry_after: None,
            branch: key,
        })
    }

    #[test]
    fn threads_that_note_batches_in_another_order_never_wait_for_each_other() {
        let known = known();
        let tables = Tables {
            calls: Arc::new(Mutex::new(CallTable::new(1024))),
            sent: Arc::new(Mutex::new(SentBranches::new(1024))),
            unanswered: Arc::default(),
            limits: Arc::new(Limits::new(Policy::default(), [0; 16], 16)),
        };
        let (done, finished) = mpsc::channel();
        for first in [0, 100] {
            let (known, tables, done) = (Arc::clone(&known), tables.clone(), done.clone());
            let batch: Vec<Note> = (0..64)
                .map(|n| note(if n % 2 == 0 { first } else { 100 - first }, n))
                .collect();
            thread::spawn(move || {
                let mut counters = Counters::default();
                for turn in 0..30_000 {
                    let now = f64::from(turn) / 1000.0;
                    note_all(&batch, &known, now, &tables, &mut counters, |_, _| {});
                }
                done.send(counters.destinations[&9].requests)
            });
        }
        for _ in 0..2 {
            let requests = finished.recv_timeout(Duration::from_secs(60));
            assert_eq!(requests, Ok(32 * 30_000));
        }
    }
}
