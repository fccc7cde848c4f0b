//! May this source send another message, or has it used up its share, or is it banned?  The twin of `dispatcher.limits`,
//! which says what a source, a bucket, a set and a moment are; its tests run on both.
//!
//! One table is shared by all workers and by Python, without a lock for a message.  Two workers that meet on one source
//! agree by compare-and-swap on who took the last message of its bucket.  Two that make an entry at once may make it
//! twice, or with the moment of the one that it displaces: a source is then held to its share a few messages late or
//! early, once.
//!
//! The policy and the bans are one immutable value that is swapped whole; who changes it has the mutex.

mod book;
mod source;
#[cfg(test)]
mod tests;

use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use siphasher::sip::SipHasher24;
use std::collections::VecDeque;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::Image;
use crate::outcome::DropReason;
pub use book::{Ban, Full, MOST_BANS, MOST_BY_HAND, MOST_NETWORKS, Policy};
use book::{Book, Held, told};
pub use source::{Span, source_of, span_of, text_of};

/// Sources that a table has room for when nobody says otherwise.
pub const SOURCES: usize = 16_384;

const WAYS: usize = 4;
const TICKS: f64 = 1e9;
const TICKS_A_SECOND: u64 = 1_000_000_000;

/// What becomes of a message, as far as its source goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is looked at.
    Admitted,
    /// It is dropped: the source has used up its share.
    Limited,
    /// It is dropped: the source is banned.
    Banned,
}

/// A source that is over its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// An address or a /64.
    pub source: String,
    /// Seconds of the loop's clock.
    pub since: f64,
    /// Messages since then.
    pub dropped: u64,
}

/// An entry of the table; its words are those of `dispatcher.limits`.
#[derive(Default)]
struct Entry {
    source: AtomicU64,
    full: AtomicU64,
    over: AtomicU64,
    dropped: AtomicU64,
}

/// What is known besides, by those who change something.
#[derive(Default)]
struct Notes {
    begun: u64,
    news: VecDeque<Ban>,
    /// Bans that had to make room for others, by digest.
    pushed_out: FxHashMap<u64, Arc<Held>>,
}

/// The limits and the bans.
pub struct Limits {
    seed: [u8; 16],
    sets: Box<[[Entry; WAYS]]>,
    book: ArcSwap<Book>,
    notes: Mutex<Notes>,
}

impl Limits {
    /// `seed` is chance for the hash; `sources` is rounded up to a power of two.
    #[must_use]
    pub fn new(policy: Policy, seed: [u8; 16], sources: usize) -> Self {
        let sets = sources.div_ceil(WAYS).max(1).next_power_of_two();
        Self {
            seed,
            sets: (0..sets).map(|_| Default::default()).collect(),
            book: ArcSwap::from_pointee(Book::default().under(policy)),
            notes: Mutex::default(),
        }
    }

    /// Whether anybody may be dropped at all; while not, nobody need be asked about.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.book.load().is_active()
    }

    /// What becomes of a message from this address, as far as its source goes; counts it.  Whoever
    /// [`is_exempt`] is not asked about.
    #[must_use]
    pub fn admit(&self, address: IpAddr, now: f64) -> Verdict {
        let book = self.book.load();
        let source = source_of(address);
        if book
            .policy
            .allow
            .iter()
            .any(|&(first, last)| (first..=last).contains(&source))
        {
            return Verdict::Admitted;
        }
        let digest = self.digest(source);
        if let Some(held) = book.holding(source, digest)
            && now < held.until
        {
            held.dropped.fetch_add(1, Relaxed);
            return Verdict::Banned;
        }
        if book.interval == 0 {
            return Verdict::Admitted;
        }
        let moment = ticks(now) + 1;
        let Some(entry) = self.entry(source, digest, moment) else {
            return Verdict::Admitted;
        };
        if entry.take(moment, book.interval, book.tolerance) {
            return Verdict::Admitted;
        }
        entry.dropped.fetch_add(1, Relaxed);
        let mut since = entry.over.load(Relaxed);
        if since == 0 {
            since = moment;
            entry.over.store(moment, Relaxed);
        }
        if book
            .ban_after
            .is_some_and(|after| moment.saturating_sub(since) >= after)
        {
            entry.over.store(0, Relaxed);
            entry.dropped.store(0, Relaxed);
            drop(book);
            self.ban_by_itself(source, now);
        }
        Verdict::Limited
    }

    /// The entry of a source; a new one has a full bucket.
    fn entry(&self, source: u64, digest: u64, moment: u64) -> Option<&Entry> {
        let set = self
            .sets
            .get(usize::try_from(digest & (self.sets.len() as u64 - 1)).ok()?)?;
        if let Some(known) = set
            .iter()
            .find(|entry| entry.source.load(Relaxed) == source)
        {
            return Some(known);
        }
        let given_up = set.iter().min_by_key(|entry| entry.full.load(Relaxed))?;
        given_up.source.store(source, Relaxed);
        given_up.full.store(moment, Relaxed);
        given_up.over.store(0, Relaxed);
        given_up.dropped.store(0, Relaxed);
        Some(given_up)
    }

    fn digest(&self, source: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write(&source.to_le_bytes());
        hasher.finish()
    }

    // Policy

    /// Go by this policy from now on: every bucket is full again, bans stay.
    pub fn change(&self, policy: Policy) {
        let _alone = self.notes();
        let book = self.book.load().under(policy);
        self.book.store(Arc::new(book));
        for entry in self.sets.iter().flatten() {
            entry.source.store(0, Relaxed);
            entry.full.store(0, Relaxed);
            entry.over.store(0, Relaxed);
            entry.dropped.store(0, Relaxed);
        }
    }

    // Bans

    fn ban_by_itself(&self, source: u64, now: f64) {
        let mut notes = self.notes();
        let mut book = Book::clone(&self.book.load());
        let digest = self.digest(source);
        if book
            .single
            .get(&digest)
            .is_some_and(|held| now < held.until)
        {
            return; // by another worker, a moment ago
        }
        let held = Held::by_itself(source, now, &book.policy);
        let told = held.told();
        if notes.take_in(&mut book, held, digest).is_err() {
            return; // only a ban by hand is one too many
        }
        if notes.news.len() >= MOST_BANS {
            notes.news.pop_front();
        }
        notes.news.push_back(told);
        self.book.store(Arc::new(book));
    }

    /// Hear nobody of a network for so long.
    ///
    /// # Errors
    ///
    /// When too many are banned by hand already.
    pub fn ban(&self, span: Span, seconds: f64, cause: String, now: f64) -> Result<Ban, Full> {
        let mut notes = self.notes();
        let mut book = Book::clone(&self.book.load());
        let held = Held::by_hand(span, now, now + seconds, cause);
        let told = held.told();
        notes.take_in(&mut book, held, self.digest(span.0))?;
        self.book.store(Arc::new(book));
        Ok(told)
    }

    /// End the ban of exactly this network; `None` when there is none.
    pub fn unban(&self, span: Span, now: f64) -> Option<Ban> {
        let _alone = self.notes();
        let mut book = Book::clone(&self.book.load());
        let held = book.all().find(|held| held.span == span).map(Arc::clone)?;
        book.single.retain(|_, other| other.span != span);
        book.wide.retain(|other| other.span != span);
        self.book.store(Arc::new(book));
        (now < held.until).then(|| held.told())
    }

    /// All bans in force, those that end first in front.
    #[must_use]
    pub fn bans(&self, now: f64) -> Vec<Ban> {
        told(
            self.book
                .load()
                .all()
                .filter(|held| now < held.until)
                .map(Arc::clone)
                .collect(),
        )
    }

    /// How many bans are in force.
    #[must_use]
    pub fn banned(&self, now: f64) -> usize {
        self.book
            .load()
            .all()
            .filter(|held| now < held.until)
            .count()
    }

    /// How many bans there have been.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.notes().begun
    }

    /// The bans of the limits' own that have begun since the last call.
    #[must_use]
    pub fn take_begun(&self) -> Vec<Ban> {
        self.notes().news.drain(..).collect()
    }

    /// Forget the bans whose time is over: those, and those that were pushed out since the last call.
    #[must_use]
    pub fn expire(&self, now: f64) -> Vec<Ban> {
        let mut notes = self.notes();
        let mut ended: Vec<_> = self
            .book
            .load()
            .all()
            .filter(|held| held.until <= now)
            .map(Arc::clone)
            .collect();
        if !ended.is_empty() {
            let mut book = Book::clone(&self.book.load());
            book.single.retain(|_, held| now < held.until);
            book.wide.retain(|held| now < held.until);
            self.book.store(Arc::new(book));
        }
        ended.extend(notes.pushed_out.drain().map(|(_, held)| held));
        told(ended)
    }

    // Who is over the limit

    /// How many sources are over their limit.
    #[must_use]
    pub fn over(&self, now: f64) -> usize {
        self.those_over(now).count()
    }

    /// Those of whom most was dropped since they are over their limit, the worst in front.
    #[must_use]
    pub fn top(&self, count: usize, now: f64) -> Vec<Over> {
        let mut found: Vec<_> = self
            .those_over(now)
            .map(|entry| {
                (
                    entry.dropped.load(Relaxed),
                    entry.source.load(Relaxed),
                    entry.over.load(Relaxed),
                )
            })
            .collect();
        found.sort_by_key(|&(dropped, source, _)| (std::cmp::Reverse(dropped), source));
        found.truncate(count);
        found
            .into_iter()
            .map(|(dropped, source, over)| Over {
                source: text_of(source),
                since: seconds(over),
                dropped,
            })
            .collect()
    }

    fn those_over(&self, now: f64) -> impl Iterator<Item = &Entry> {
        let moment = ticks(now) + 1;
        self.sets
            .iter()
            .flatten()
            .filter(move |entry| entry.over.load(Relaxed) != 0 && entry.full.load(Relaxed) > moment)
    }

    /// Nobody panics while having it; if so all the same, what it guards is counters and news.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Take a ban into a book, and keep in mind which one it pushes out.
    fn take_in(&mut self, book: &mut Book, held: Arc<Held>, digest: u64) -> Result<(), Full> {
        let is_single = held.span.0 == held.span.1;
        if let Some((other, out)) = book.hold(held, digest)?
            && self.pushed_out.len() < MOST_BANS
        {
            self.pushed_out.insert(other, out);
        }
        if is_single {
            self.pushed_out.remove(&digest);
        }
        self.begun += 1;
        Ok(())
    }
}

impl Entry {
    /// Take a message out of the bucket; false when there is none in it.
    fn take(&self, moment: u64, interval: u64, tolerance: u64) -> bool {
        let mut full = self.full.load(Relaxed);
        loop {
            if full > moment && full - moment > tolerance {
                return false;
            }
            let next = full.max(moment) + interval;
            match self
                .full
                .compare_exchange_weak(full, next, Relaxed, Relaxed)
            {
                Ok(_) => break,
                Err(other) => full = other,
            }
        }
        if full <= moment && self.over.load(Relaxed) != 0 {
            self.over.store(0, Relaxed);
            self.dropped.store(0, Relaxed);
        }
        true
    }
}

/// Why a message from this address is dropped before it is looked at, if it is; counts it.
#[must_use]
pub fn refusal(limits: &Limits, image: &Image, address: IpAddr, now: f64) -> Option<DropReason> {
    if is_exempt(image, address) {
        return None;
    }
    match limits.admit(address, now) {
        Verdict::Admitted => None,
        Verdict::Limited => Some(DropReason::Limited),
        Verdict::Banned => Some(DropReason::Banned),
    }
}

/// Whether an address is never limited or banned: the core, and this node itself (`Snapshot.is_exempt`).
#[must_use]
pub fn is_exempt(image: &Image, address: IpAddr) -> bool {
    image
        .fixed
        .listeners
        .iter()
        .any(|listener| listener.address.ip() == address)
        || image.is_core(address)
}

/// Whole ticks in so many seconds, as Python's `int` cuts them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a cast saturates: nothing is below 0 ticks
fn ticks(seconds: f64) -> u64 {
    (seconds * TICKS) as u64
}

/// When a moment is.
#[allow(clippy::cast_precision_loss)] // exact for the first hundred days, and for people
fn seconds(moment: u64) -> f64 {
    moment.saturating_sub(1) as f64 / TICKS
}
