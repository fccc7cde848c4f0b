//! One thread of the packet path: wait for datagrams, read a batch, decide, note, send what goes on.
//!
//! One thread at a time waits and reads.  While little comes it also decides and sends before the next one has its turn:
//! then the order of messages is kept, and no thread is woken for nothing.  When much comes the next one reads meanwhile.
//!
//! What a message tells is noted before it leaves, so whoever has received it finds it noted; that the kernel took it is
//! counted afterwards.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::counters::{Counters, INTERNAL, label};
use crate::decide::order;
use crate::handover::{Handover, News};
use crate::image::Image;
use crate::ledger::{Known, Note, Tables, lock, note_all};
use crate::limits::{is_exempt, refusal};
use crate::mistake;
use crate::outcome::Decision;
use crate::recent::RecentChoices;
use crate::sending::send_all;
use crate::socket::{BATCH, Bell, Inbox, NetworkError, Outbox, Readiness, Ready, drain_errors};

/// Batches dealt with after `stop`: as many short datagrams as a receive buffer of 8 MiB holds.
const MAX_LAST_BATCHES: usize = 256;

/// Datagrams at a time with which one thread is busy enough for another one to read meanwhile.
const MUCH: usize = BATCH / 2;

/// After the kernel would not let a thread wait.
const RETRY: Duration = Duration::from_secs(1);

/// Seconds of the clock that Python's loop goes by.
pub struct Clock {
    began: Instant,
    at: f64,
}

impl Clock {
    /// It is `now` there.
    #[must_use]
    pub fn new(now: f64) -> Self {
        Clock {
            began: Instant::now(),
            at: now,
        }
    }

    /// What it is there by now.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.at + self.began.elapsed().as_secs_f64()
    }
}

/// Who says what becomes of a datagram: `decide`, and in tests others.
pub trait Decide: Send + 'static {
    /// `out` is empty, and is what leaves when the datagram goes on.
    fn decide<'m>(
        &mut self,
        image: &Image,
        datagram: &'m [u8],
        source: SocketAddr,
        arrival: usize,
        now: f64,
        out: &mut Vec<u8>,
    ) -> Decision<'m>;
}

/// What the threads share with each other and with Python.
pub struct Shared {
    /// Swapped under the threads.
    pub known: ArcSwap<Known>,
    /// To Python.
    pub handover: Handover,
    /// What was chosen a moment ago.
    pub recent: Arc<RecentChoices>,
    /// The other tables.
    pub tables: Tables,
    /// Whose turn it is to read; at which listener to begin, so that a busy one does not silence the others.
    pub turn: Mutex<usize>,
    /// One for each thread.
    pub counters: Vec<Mutex<Counters>>,
    /// Rings when the threads are to end.
    pub ending: Bell,
    /// Whether it rings, for a thread that may not wait for it.
    pub is_ending: AtomicBool,
    /// Whether they are to leave in the kernel what it holds.
    pub at_once: AtomicBool,
}

/// A message of the batch that Python decides about.
struct Handed {
    order: u64,
    place: usize,
    /// It is a common one, and behind another of its call.
    follows: bool,
}

/// A message that leaves.
#[derive(Clone, Copy)]
struct Post {
    address: SocketAddr,
    listener: usize,
}

/// One thread.
pub struct Worker<D> {
    place: usize,
    shared: Arc<Shared>,
    sockets: Arc<[OwnedFd]>,
    clock: Arc<Clock>,
    decide: D,
    readiness: Readiness,
    batch: Batch,
}

/// What one batch needs, used again by the next.
struct Batch {
    inbox: Inbox,
    outbox: Outbox,
    outs: Vec<Vec<u8>>,
    posts: Vec<Post>,
    notes: Vec<Note>,
    handed: Vec<Handed>,
    drops: Vec<&'static str>,
    unsent: Vec<i32>,
    errors: Vec<NetworkError>,
}

impl<D: Decide> Worker<D> {
    /// The one whose counters are at `place`.
    #[must_use]
    pub fn new(
        place: usize,
        shared: Arc<Shared>,
        sockets: Arc<[OwnedFd]>,
        clock: Arc<Clock>,
        decide: D,
    ) -> Self {
        let readiness = Readiness::new(&sockets, &shared.ending);
        Worker {
            place,
            shared,
            sockets,
            clock,
            decide,
            readiness,
            batch: Batch::new(),
        }
    }

    /// Until the bell rings, and then until the kernel holds nothing more.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut turn = lock(&shared.turn);
            match self.readiness.wait(*turn) {
                Ok(Ready::Socket(arrival, with_errors)) => {
                    *turn = arrival + 1;
                    let count = self.read(arrival, with_errors);
                    let kept = (count < MUCH).then_some(turn);
                    self.deal(arrival, count);
                    drop(kept);
                }
                Ok(Ready::Bell) => break,
                Err(_) if shared.is_ending.load(Ordering::Relaxed) => break,
                Err(error) => {
                    // As where the limit of open files was lowered: the proxy would be deaf if its threads ended.
                    let why = News::Deaf(error.to_string());
                    shared.handover.push_news(why);
                    thread::sleep(RETRY);
                }
            }
        }
        self.finish();
    }

    /// Deal with what the kernel holds, but not with senders that never pause.
    fn finish(mut self) {
        for arrival in 0..self.sockets.len() {
            for _ in 0..MAX_LAST_BATCHES {
                if self.shared.at_once.load(Ordering::Relaxed) {
                    return;
                }
                let count = self.read(arrival, true);
                self.deal(arrival, count);
                if count == 0 {
                    break;
                }
            }
        }
    }

    /// Read a batch; how many datagrams it has.
    fn read(&mut self, arrival: usize, with_errors: bool) -> usize {
        let socket = self.sockets.get(arrival);
        socket.map_or(0, |socket| self.batch.receive(socket, with_errors))
    }

    /// Deal with what has been read.  A mistake outside of a decision costs all of it.
    fn deal(&mut self, arrival: usize, count: usize) {
        if count > 0 && catch_unwind(AssertUnwindSafe(|| self.pass_on(arrival, count))).is_err() {
            let mut counters = lock(&self.shared.counters[self.place]);
            counters.received += count as u64;
            counters.note_dropped(INTERNAL, count as u64);
            drop(counters);
            self.tell(nobody(), mistake::last());
        }
        self.shared.handover.push_errors(&mut self.batch.errors);
    }

    fn pass_on(&mut self, arrival: usize, count: usize) {
        let now = self.clock.now();
        let shared = &*self.shared;
        let known = shared.known.load();
        let (received, bytes) =
            self.batch
                .decide(&mut self.decide, shared, &known, arrival, count, now);
        let mut counters = lock(&shared.counters[self.place]);
        note_all(
            &self.batch.notes,
            &known,
            now,
            &shared.tables,
            &mut counters,
            |number, seconds| {
                shared.handover.push_news(News::Busy(number, seconds));
            },
        );
        counters.received += received;
        counters.received_bytes += bytes;
        for label in self.batch.drops.drain(..) {
            counters.note_dropped(label, 1);
        }
        drop(counters); // Python waits for nobody who sends
        let forwarded = self.batch.send(&self.sockets);
        self.batch
            .hand_over(&shared.handover, &known.image, arrival);
        if !self.batch.posts.is_empty() {
            let mut counters = lock(&shared.counters[self.place]);
            counters.forwarded += forwarded;
            for errno in self.batch.unsent.drain(..) {
                *counters.unsent.entry(errno).or_default() += 1;
            }
        }
    }

    fn tell(&self, source: SocketAddr, text: String) {
        self.shared.handover.push_news(News::Mistake(source, text));
    }
}

impl Batch {
    fn new() -> Self {
        Batch {
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            outs: (0..BATCH).map(|_| Vec::with_capacity(2048)).collect(),
            posts: Vec::with_capacity(BATCH),
            notes: Vec::with_capacity(BATCH),
            handed: Vec::with_capacity(BATCH),
            drops: Vec::with_capacity(BATCH),
            unsent: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Read what has arrived.  It leaves no error behind that would keep the socket ready.
    fn receive(&mut self, socket: &OwnedFd, with_errors: bool) -> usize {
        if with_errors {
            drain_errors(socket.as_fd(), &mut self.errors);
        }
        for _ in 0..BATCH {
            match self.inbox.receive(socket.as_fd()) {
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(_) => {} // of an earlier datagram; it keeps the socket ready, and told once it is not told again
            }
        }
        0
    }

    /// Decide about each; how many were dealt with here, and their bytes.
    fn decide(
        &mut self,
        decide: &mut impl Decide,
        shared: &Shared,
        known: &Known,
        arrival: usize,
        count: usize,
        now: f64,
    ) -> (u64, u64) {
        let image = &*known.image;
        self.posts.clear();
        self.notes.clear();
        self.handed.clear();
        self.drops.clear();
        let limits = &*shared.tables.limits;
        let limits = limits.is_active().then_some(limits);
        let (mut received, mut bytes) = (0, 0);
        for place in 0..count {
            let Some((datagram, source)) = self.inbox.datagram(place) else {
                continue;
            };
            if let Some(reason) = limits.and_then(|limits| refusal(limits, image, source.ip(), now))
            {
                self.drops.push(label(reason));
                received += 1;
                bytes += datagram.len() as u64;
                continue;
            }
            if !self.handed.is_empty() || shared.handover.is_open() {
                let order = order(image, datagram);
                let handed = order != 0 && self.handed.iter().any(|each| each.order == order);
                if (handed && !shared.handover.is_crowded()) || shared.handover.follows(order) {
                    self.handed.push(Handed {
                        order,
                        place,
                        follows: true,
                    });
                    continue;
                }
            }
            let Some(out) = self.outs.get_mut(self.posts.len()) else {
                continue;
            };
            out.clear();
            let decided = catch_unwind(AssertUnwindSafe(|| {
                decide.decide(image, datagram, source, arrival, now, out)
            }));
            match decided {
                Ok(Decision::HandOver(order)) => {
                    self.handed.push(Handed {
                        order,
                        place,
                        follows: false,
                    });
                    continue;
                }
                Ok(Decision::Drop(reason)) => self.drops.push(label(reason)),
                Ok(Decision::Forward(forward)) => {
                    let chosen = forward
                        .destination
                        .and_then(|place| image.fixed.destinations.get(place));
                    if let (Some(key), Some(chosen)) = (forward.remember, chosen) {
                        shared.recent.remember(key, chosen.number, now);
                    }
                    self.posts.push(Post {
                        address: forward.address,
                        listener: forward.listener,
                    });
                    self.notes.push(Note::of(&forward));
                }
                Err(_) => {
                    self.drops.push(INTERNAL);
                    shared
                        .handover
                        .push_news(News::Mistake(source, mistake::last()));
                }
            }
            received += 1;
            bytes += datagram.len() as u64;
        }
        (received, bytes)
    }

    /// Let wait for Python what is its own: now, for what came before it of the same call has left.
    fn hand_over(&mut self, handover: &Handover, image: &Image, arrival: usize) {
        for each in self.handed.drain(..) {
            let Some((datagram, source)) = self.inbox.datagram(each.place) else {
                continue;
            };
            if each.follows {
                handover.push_behind(each.order, datagram, source, arrival);
            } else {
                let spared = is_exempt(image, source.ip());
                handover.push(each.order, datagram, source, arrival, spared);
            }
        }
    }

    /// Send what goes on, by each listener in the order in which it was decided; how many the kernel took.
    fn send(&mut self, sockets: &[OwnedFd]) -> u64 {
        let Batch {
            outbox,
            outs,
            posts,
            errors,
            unsent,
            ..
        } = self;
        unsent.clear();
        let mut taken = 0;
        for (listener, socket) in sockets.iter().enumerate() {
            let mine = posts
                .iter()
                .zip(&*outs)
                .filter(move |(post, _)| post.listener == listener)
                .map(|(post, out)| (out.as_slice(), post.address));
            let count = send_all(outbox, socket.as_fd(), mine, errors, |errno| {
                unsent.push(errno);
            });
            taken += count as u64;
        }
        taken
    }
}

/// What a mistake has to do with when it is no datagram's.
fn nobody() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}
