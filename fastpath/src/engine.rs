//! The threads of the packet path, from `start` to `stop`, and what Python asks of them meanwhile.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;

use crate::counters::{Counters, OVERLOAD};
use crate::handover::{Handover, MOST_BYTES, MOST_MESSAGES};
use crate::image::Image;
use crate::ledger::{Known, Tables, lock};
use crate::mistake;
use crate::recent::RecentChoices;
use crate::socket::{Bell, duplicate, without_signals};
use crate::worker::{Clock, Decide, Shared, Worker};

/// The threads and what they share.
pub struct Engine {
    shared: Arc<Shared>,
    sockets: Mutex<Option<Arc<[OwnedFd]>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// For these listeners, in the order of the image; `workers` threads, one at least.
    ///
    /// # Errors
    /// When there is no such descriptor, or none left.
    pub fn new(
        listeners: &[RawFd],
        image: Arc<Image>,
        recent: Arc<RecentChoices>,
        tables: Tables,
        workers: usize,
    ) -> io::Result<Self> {
        mistake::keep();
        let sockets = listeners
            .iter()
            .map(|each| duplicate(*each))
            .collect::<io::Result<Arc<[OwnedFd]>>>()?;
        let shared = Shared {
            known: ArcSwap::from_pointee(Known::new(image, None)),
            handover: Handover::new(Bell::new()?, MOST_MESSAGES, MOST_BYTES),
            recent,
            tables,
            turn: Mutex::default(),
            counters: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            ending: Bell::new()?,
            is_ending: AtomicBool::new(false),
            at_once: AtomicBool::new(false),
        };
        Ok(Engine {
            shared: Arc::new(shared),
            sockets: Mutex::new(Some(sockets)),
            threads: Mutex::default(),
        })
    }

    /// Start the threads; it is `now` on the clock that Python's loop goes by.  Once.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start<D: Decide>(&self, now: f64, mut decider: impl FnMut() -> D) -> io::Result<()> {
        let clock = Arc::new(Clock::new(now));
        let Some(sockets) = lock(&self.sockets).clone() else {
            return Ok(());
        };
        let mut threads = lock(&self.threads);
        for place in 0..self.shared.counters.len() {
            let worker = Worker::new(
                place,
                Arc::clone(&self.shared),
                Arc::clone(&sockets),
                Arc::clone(&clock),
                decider(),
            );
            let named = thread::Builder::new().name(format!("{}{place}", mistake::THREAD));
            threads.push(without_signals(|| named.spawn(move || worker.run()))?);
        }
        Ok(())
    }

    /// End the threads, once what the kernel holds has been dealt with or, `at_once`, now; the sockets are let go of.
    pub fn stop(&self, at_once: bool) {
        self.shared.at_once.fetch_or(at_once, Ordering::Relaxed);
        self.shared.is_ending.store(true, Ordering::Relaxed);
        self.shared.ending.ring();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for each in threads {
            drop(each.join()); // what went wrong in it was told when it did
        }
        lock(&self.sockets).take();
    }

    /// Decide by this from the next batch on.
    pub fn swap(&self, image: Arc<Image>) {
        let before = self.shared.known.load();
        self.shared
            .known
            .store(Arc::new(Known::new(image, Some(&before))));
    }

    /// What waits for Python.
    #[must_use]
    pub fn handover(&self) -> &Handover {
        &self.shared.handover
    }

    /// What has been counted so far, by all threads.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for each in &self.shared.counters {
            sum.add(&lock(each));
        }
        let lost = self.shared.handover.lost();
        if lost.messages > 0 {
            sum.received += lost.messages;
            sum.received_bytes += lost.bytes;
            sum.note_dropped(OVERLOAD, lost.messages);
        }
        sum.network_errors = lost.errors;
        sum
    }

    /// Begin anew with what is counted of a destination.
    pub fn forget(&self, number: u32) {
        for each in &self.shared.counters {
            lock(each).destinations.remove(&number);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(true);
    }
}

#[cfg(test)]
mod tests;
