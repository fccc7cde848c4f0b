//! How do the threads decide?  By `decide`, each with memory of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::decide::{Scratch, decide};
use crate::image::Image;
use crate::outcome::Decision;
use crate::recent::RecentChoices;
use crate::worker::Decide;

/// One thread's.
pub struct Pipeline {
    recent: Arc<RecentChoices>,
    scratch: Scratch,
}

impl Pipeline {
    /// With the table of recent choices that all share.
    #[must_use]
    pub fn new(recent: Arc<RecentChoices>) -> Self {
        Pipeline {
            recent,
            scratch: Scratch::new(),
        }
    }
}

impl Decide for Pipeline {
    fn decide<'m>(
        &mut self,
        image: &Image,
        datagram: &'m [u8],
        source: SocketAddr,
        arrival: usize,
        now: f64,
        out: &mut Vec<u8>,
    ) -> Decision<'m> {
        decide(
            image,
            &self.recent,
            &mut self.scratch,
            datagram,
            source,
            arrival,
            now,
            out,
        )
    }
}
