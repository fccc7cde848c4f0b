//! What waits for Python?  Unusual messages in a bounded queue, errors of the network, and what the traffic says of servers.
//!
//! While a message waits, or Python deals with it, those of its call that come behind it follow it: each is known by its
//! order hash.  A small table that is read without a lock says of nearly all others that they need not.
//!
//! When the queue is full its oldest unusual message is dropped, those of the core after all others; the newest is, when
//! its source has more messages there than that of the oldest: so that who floods it, floods his own part.  A common
//! message that follows one is never dropped for it: while the queue is more than half full none follows, so that a flood
//! of odd messages costs no others their way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::limits::source_of;
use crate::socket::{Bell, NetworkError};

/// Messages that may wait.
pub const MOST_MESSAGES: usize = 4096;
/// Their bytes.
pub const MOST_BYTES: usize = 16 << 20;
/// Errors of the network that may wait; more of them tell nothing new.
pub const MOST_ERRORS: usize = 4096;
/// Other news that may wait.
const MOST_NEWS: usize = 1024;
/// Order hashes are counted by their lowest bits: that two calls share a count costs a message a look at the queue.
const ORDERS: usize = 16_384;

/// A message that Python decides about.
#[derive(Debug)]
pub struct Message {
    /// All of it.
    pub payload: Box<[u8]>,
    /// Where it came from.
    pub source: SocketAddr,
    /// The listener that it arrived on.
    pub arrival: usize,
}

/// What is told besides.
#[derive(Debug)]
pub enum News {
    /// The destination with this number has answered 503 and wants to be left alone for so many seconds.
    Busy(u32, u32),
    /// A datagram from there was dropped by a mistake in this program, which said this.
    Mistake(SocketAddr, String),
    /// The kernel does not let a thread wait for datagrams, and says why.
    Deaf(String),
}

/// What Python takes at once.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order in which they were read.
    pub messages: Vec<Message>,
    /// In the order in which they were found.
    pub errors: Vec<NetworkError>,
    /// In the order in which it happened.
    pub news: Vec<News>,
}

/// What was dropped because Python did not come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Errors of the network, by errno.
    pub errors: FxHashMap<u32, u64>,
}

/// Whose turn it is to be dropped: the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// Of the edge.
    Strange,
    /// Of the core or of this node: whoever floods the queue does not have their addresses.
    Spared,
    /// It waits only because it follows another.
    Common,
}

#[derive(Debug)]
struct Waiting {
    order: u64,
    rank: Rank,
    message: Message,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Waiting>,
    bytes: usize,
    /// How many messages of each order wait or are being dealt with; those without a Call-ID have none.
    orders: FxHashMap<u64, u32>,
    /// How many messages of each source wait; who sends chooses the keys, so their hash is one with chance in it.
    sources: HashMap<u64, u32>,
    /// How many of the edge wait: without any, none is looked for when the core floods the queue.
    strange: usize,
    errors: VecDeque<NetworkError>,
    news: Vec<News>,
    /// The orders of what Python has taken and not yet dealt with.
    taken: Vec<u64>,
    lost: Lost,
    rung: bool,
}

/// The queue, shared by the threads and Python.
pub struct Handover {
    queue: Mutex<Queue>,
    /// Messages that wait or are being dealt with.
    open: AtomicUsize,
    /// Not 0 where a message with such an order may be open.
    hints: Box<[AtomicU32]>,
    bell: Bell,
    most_messages: usize,
    most_bytes: usize,
}

impl Handover {
    /// With room for so many messages and bytes; `bell` is readable while something waits.
    #[must_use]
    pub fn new(bell: Bell, most_messages: usize, most_bytes: usize) -> Self {
        Handover {
            queue: Mutex::default(),
            open: AtomicUsize::new(0),
            hints: (0..ORDERS).map(|_| AtomicU32::new(0)).collect(),
            bell,
            most_messages,
            most_bytes,
        }
    }

    /// What to wait for.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Whether anything waits at all, so that an order has to be asked for.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) != 0
    }

    /// Let an unusual message wait, with others making room for it; one that is `spared` is dropped after all others.
    pub fn push(
        &self,
        order: u64,
        payload: &[u8],
        source: SocketAddr,
        arrival: usize,
        spared: bool,
    ) {
        let rank = if spared { Rank::Spared } else { Rank::Strange };
        self.wait(&mut self.lock(), order, rank, payload, source, arrival);
    }

    /// Whether a common message of this order has to wait behind another.
    pub fn follows(&self, order: u64) -> bool {
        if order == 0 || self.hint(order).load(Ordering::Acquire) == 0 {
            return false;
        }
        let queue = self.lock();
        !self.is_full_by_half(&queue) && queue.orders.contains_key(&order)
    }

    /// Whether so much waits that nothing is to follow any more.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.is_full_by_half(&self.lock())
    }

    fn is_full_by_half(&self, queue: &Queue) -> bool {
        2 * queue.messages.len() > self.most_messages || 2 * queue.bytes > self.most_bytes
    }

    /// Let a common message wait that follows another.
    pub fn push_behind(&self, order: u64, payload: &[u8], source: SocketAddr, arrival: usize) {
        self.wait(
            &mut self.lock(),
            order,
            Rank::Common,
            payload,
            source,
            arrival,
        );
    }

    fn wait(
        &self,
        queue: &mut Queue,
        order: u64,
        rank: Rank,
        payload: &[u8],
        source: SocketAddr,
        arrival: usize,
    ) {
        queue.bytes += payload.len();
        queue.messages.push_back(Waiting {
            order,
            rank,
            message: Message {
                payload: payload.into(),
                source,
                arrival,
            },
        });
        *queue.sources.entry(source_of(source.ip())).or_default() += 1;
        queue.strange += usize::from(rank == Rank::Strange);
        self.open.fetch_add(1, Ordering::AcqRel);
        if order != 0 {
            *queue.orders.entry(order).or_default() += 1;
            self.hint(order).fetch_add(1, Ordering::AcqRel);
        }
        while queue.messages.len() > self.most_messages || queue.bytes > self.most_bytes {
            self.drop_one(queue);
        }
        self.ring(queue);
    }

    fn drop_one(&self, queue: &mut Queue) {
        let Some(dropped) = queue.messages.remove(queue.least()) else {
            return;
        };
        queue.gone(dropped.rank, dropped.message.source);
        let length = dropped.message.payload.len();
        queue.bytes -= length;
        queue.lost.messages += 1;
        queue.lost.bytes += length as u64;
        self.close(queue, dropped.order);
    }

    /// Let errors wait.
    pub fn push_errors(&self, errors: &mut Vec<NetworkError>) {
        if errors.is_empty() {
            return;
        }
        let mut queue = self.lock();
        let room = MOST_ERRORS
            .saturating_sub(queue.errors.len())
            .min(errors.len());
        queue.errors.extend(errors.drain(..room));
        for error in errors.drain(..) {
            *queue.lost.errors.entry(error.errno).or_default() += 1;
        }
        self.ring(&mut queue);
    }

    /// Let something else be told.
    pub fn push_news(&self, news: News) {
        let mut queue = self.lock();
        if queue.news.len() < MOST_NEWS {
            queue.news.push(news);
            self.ring(&mut queue);
        }
    }

    /// Take up to `limit` messages, as many errors and all other news; what was taken before is dealt with.
    pub fn take(&self, limit: usize) -> Taken {
        let mut queue = self.lock();
        for order in mem::take(&mut queue.taken) {
            self.close(&mut queue, order);
        }
        let mut messages = Vec::with_capacity(queue.messages.len().min(limit));
        while messages.len() < limit {
            let Some(Waiting {
                order,
                rank,
                message,
            }) = queue.messages.pop_front()
            else {
                break;
            };
            queue.bytes -= message.payload.len();
            queue.gone(rank, message.source);
            queue.taken.push(order);
            messages.push(message);
        }
        let count = queue.errors.len().min(limit);
        let errors = queue.errors.drain(..count).collect();
        if queue.messages.is_empty() && queue.errors.is_empty() && queue.rung {
            self.bell.silence();
            queue.rung = false;
        }
        Taken {
            messages,
            errors,
            news: mem::take(&mut queue.news),
        }
    }

    /// What was taken has been dealt with: messages of these calls need not follow any more.
    pub fn done(&self) {
        let mut queue = self.lock();
        for order in mem::take(&mut queue.taken) {
            self.close(&mut queue, order);
        }
    }

    /// What was dropped so far.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.lock().lost.clone()
    }

    /// How many messages wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().messages.len()
    }

    /// A message has been dealt with, or dropped.
    fn close(&self, queue: &mut Queue, order: u64) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        if order == 0 {
            return;
        }
        self.hint(order).fetch_sub(1, Ordering::AcqRel);
        if let Some(count) = queue.orders.get_mut(&order) {
            *count -= 1;
            if *count == 0 {
                queue.orders.remove(&order);
            }
        }
    }

    fn ring(&self, queue: &mut Queue) {
        if !queue.rung {
            queue.rung = true;
            self.bell.ring();
        }
    }

    #[allow(clippy::cast_possible_truncation)] // the lowest bits are what is wanted
    fn hint(&self, order: u64) -> &AtomicU32 {
        &self.hints[order as usize % ORDERS]
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The place of the message that is dropped first.
    fn least(&self) -> usize {
        let first = |rank| self.messages.iter().position(|each| each.rank == rank);
        let oldest = (self.strange > 0)
            .then(|| first(Rank::Strange))
            .flatten()
            .or_else(|| first(Rank::Spared))
            .unwrap_or(0);
        match (self.messages.get(oldest), self.messages.back()) {
            (Some(old), Some(new)) if new.rank == Rank::Strange && self.of(new) > self.of(old) => {
                self.messages.len() - 1
            }
            _ => oldest,
        }
    }

    /// How many messages its source has here.
    fn of(&self, waiting: &Waiting) -> u32 {
        let source = source_of(waiting.message.source.ip());
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// A message of this rank and source does not wait any more.
    fn gone(&mut self, rank: Rank, source: SocketAddr) {
        self.strange -= usize::from(rank == Rank::Strange);
        if let Entry::Occupied(mut count) = self.sources.entry(source_of(source.ip())) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;
