//! What waits for Python?  Unusual messages in a bounded queue, errors of the network, and what the traffic says of servers.
//!
//! While a message waits, or Python deals with it, those of its call that come behind it follow it: each is known by its
//! order hash.  A small table that is read without a lock says of nearly all others that they need not.
//!
//! When the queue is full its oldest unusual message is dropped.  A common message that follows one is never dropped for
//! it: while the queue is more than half full none follows, so that a flood of odd messages costs no others their way.

use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

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

#[derive(Debug)]
struct Waiting {
    order: u64,
    /// Whether it waits only because it follows another.
    is_common: bool,
    message: Message,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Waiting>,
    bytes: usize,
    /// How many messages of each order wait or are being dealt with; those without a Call-ID have none.
    orders: FxHashMap<u64, u32>,
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

    /// Let an unusual message wait; the oldest ones make room for it.
    pub fn push(&self, order: u64, payload: &[u8], source: SocketAddr, arrival: usize) {
        self.wait(&mut self.lock(), order, false, payload, source, arrival);
    }

    /// Whether a common message of this order has to wait behind another.
    pub fn follows(&self, order: u64) -> bool {
        if order == 0 || self.hint(order).load(Ordering::Acquire) == 0 {
            return false;
        }
        let queue = self.lock();
        let crowded =
            2 * queue.messages.len() > self.most_messages || 2 * queue.bytes > self.most_bytes;
        !crowded && queue.orders.contains_key(&order)
    }

    /// Let a common message wait that follows another.
    pub fn push_behind(&self, order: u64, payload: &[u8], source: SocketAddr, arrival: usize) {
        self.wait(&mut self.lock(), order, true, payload, source, arrival);
    }

    fn wait(
        &self,
        queue: &mut Queue,
        order: u64,
        is_common: bool,
        payload: &[u8],
        source: SocketAddr,
        arrival: usize,
    ) {
        queue.bytes += payload.len();
        queue.messages.push_back(Waiting {
            order,
            is_common,
            message: Message {
                payload: payload.into(),
                source,
                arrival,
            },
        });
        self.open.fetch_add(1, Ordering::AcqRel);
        if order != 0 {
            *queue.orders.entry(order).or_default() += 1;
            self.hint(order).fetch_add(1, Ordering::AcqRel);
        }
        while queue.messages.len() > self.most_messages || queue.bytes > self.most_bytes {
            self.drop_oldest(queue);
        }
        self.ring(queue);
    }

    fn drop_oldest(&self, queue: &mut Queue) {
        let oldest = queue.messages.iter().position(|each| !each.is_common);
        let Some(dropped) = queue.messages.remove(oldest.unwrap_or(0)) else {
            return;
        };
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
            let Some(Waiting { order, message, .. }) = queue.messages.pop_front() else {
                break;
            };
            queue.bytes -= message.payload.len();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(messages: usize, bytes: usize) -> Handover {
        Handover::new(Bell::new().expect("a bell"), messages, bytes)
    }

    fn source() -> SocketAddr {
        "192.0.2.7:5060".parse().expect("an address")
    }

    fn texts(taken: &Taken) -> Vec<&[u8]> {
        taken
            .messages
            .iter()
            .map(|message| &*message.payload)
            .collect()
    }

    fn follows(queue: &Handover, order: u64) -> bool {
        let follows = queue.follows(order);
        if follows {
            queue.push_behind(order, b"common", source(), 0);
        }
        follows
    }

    #[test]
    fn messages_of_a_call_follow_until_the_last_one_is_dealt_with() {
        let queue = queue(10, 1000);
        assert!(!queue.is_open() && !follows(&queue, 7));
        queue.push(7, b"one", source(), 1);
        assert!(queue.is_open() && follows(&queue, 7));
        assert!(!follows(&queue, 8) && !follows(&queue, 7 + ORDERS as u64));
        let taken = queue.take(1);
        assert_eq!(
            (texts(&taken), taken.messages[0].arrival),
            (vec![&b"one"[..]], 1)
        );
        queue.done();
        assert_eq!(texts(&queue.take(5)), [b"common"]);
        assert!(follows(&queue, 7), "it is being dealt with");
        assert_eq!(texts(&queue.take(5)), [b"common"]);
        queue.done();
        assert!(!follows(&queue, 7) && !queue.is_open());
    }

    #[test]
    fn nothing_follows_what_has_no_call() {
        let queue = queue(10, 1000);
        queue.push(0, b"odd", source(), 0);
        assert!(queue.is_open() && !follows(&queue, 0));
        queue.take(1);
        queue.done();
        assert!(!queue.is_open());
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let queue = queue(2, 10);
        for text in [b"a", b"b", b"c"] {
            queue.push(u64::from(text[0]), text, source(), 0);
        }
        queue.push(1, b"123456789", source(), 0);
        let lost = Lost {
            messages: 2,
            bytes: 2,
            ..Lost::default()
        };
        assert_eq!(queue.lost(), lost);
        assert_eq!(texts(&queue.take(9)), [&b"c"[..], b"123456789"]);
    }

    #[test]
    fn a_flood_of_odd_messages_costs_no_common_one_its_way() {
        let queue = queue(8, 1000);
        queue.push(7, b"first", source(), 0);
        assert!(follows(&queue, 7));
        for order in 100..200 {
            queue.push(order, b"odd", source(), 0);
        }
        assert!(!follows(&queue, 199), "the queue is more than half full");
        let taken = queue.take(64);
        assert_eq!(texts(&taken)[0], b"common");
        assert_eq!((taken.messages.len(), queue.lost().messages), (8, 94));
        queue.done();
        assert!(!queue.is_open() && !follows(&queue, 7));
    }

    #[test]
    fn errors_are_taken_a_few_at_a_time_and_only_so_many_wait() {
        let queue = queue(10, 1000);
        let error = NetworkError {
            address: None,
            errno: 111,
            origin: 2,
            kind: 3,
            code: 3,
            info: 0,
            offender: None,
            quoted: Vec::new(),
        };
        queue.push_errors(&mut vec![error; MOST_ERRORS + 3]);
        assert_eq!(queue.lost().errors[&111], 3);
        assert_eq!(queue.take(64).errors.len(), 64);
        assert!(queue.bell().is_rung());
        assert_eq!(queue.take(MOST_ERRORS).errors.len(), MOST_ERRORS - 64);
        assert!(!queue.bell().is_rung());
    }

    #[test]
    fn the_bell_rings_while_something_waits() {
        let queue = queue(10, 1000);
        assert!(!queue.bell().is_rung());
        queue.push(1, b"one", source(), 0);
        queue.push(1, b"two", source(), 0);
        assert!(queue.bell().is_rung());
        queue.take(1);
        assert!(queue.bell().is_rung());
        queue.take(1);
        assert!(!queue.bell().is_rung());
        queue.push_news(News::Busy(1, 5));
        assert!(queue.bell().is_rung());
        assert!(matches!(queue.take(1).news[..], [News::Busy(1, 5)]));
        assert!(!queue.bell().is_rung());
    }
}
