//! Which destination did this Call-ID go to a moment ago?  One table for all threads (`dispatcher.recent`).

/// The table.
pub struct RecentChoices {
    entries: usize,
}

impl RecentChoices {
    /// Room for this many choices, rounded up to a power of two; 0 remembers nothing.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        RecentChoices { entries }
    }

    /// The number of the destination that this key was given less than three minutes ago; `now` in seconds.
    #[must_use]
    pub fn lookup(&self, key: u64, now: f64) -> Option<u32> {
        todo!("{key} {now} {}", self.entries)
    }

    /// Keep the choice of destination `number` (not 0) for this key.
    pub fn remember(&self, key: u64, number: u32, now: f64) {
        todo!("{key} {number} {now}")
    }
}
