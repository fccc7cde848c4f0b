//! Which destination did this Call-ID go to a moment ago?  One table for all threads and for Python
//! (`dispatcher.recent`, whose words it has, but for the first of an entry).
//!
//! An entry is two words: the key XOR the second word, and the moment (upper 32 bits) with the number of the
//! destination (lower 32 bits).  Nothing locks: an entry that two threads have written at once, or that is read while
//! it is written, fits no key and counts as forgotten, which loses nothing but a better choice.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seconds from first sight.
const LIFETIME_S: i64 = 180;
/// As many as Python's table has by default: 4 MiB.
pub const DEFAULT_ENTRIES: usize = 262_144;

const WAYS: usize = 4;
const TICKS_PER_S: f64 = 16.0;
const LIFETIME_TICKS: i64 = LIFETIME_S * 16;
const MOMENT_SHIFT: u32 = 32;

/// The four entries of a key's bucket, in one cache line.
#[repr(align(64))]
#[derive(Default)]
struct Bucket([[AtomicU64; 2]; WAYS]);

/// The table.
pub struct RecentChoices {
    buckets: Box<[Bucket]>,
    entries: usize,
}

impl RecentChoices {
    /// Room for this many choices, rounded up to a power of two; 0 remembers nothing.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let buckets = entries.div_ceil(WAYS).next_power_of_two();
        RecentChoices {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            entries: if entries > 0 { buckets * WAYS } else { 0 },
        }
    }

    /// How many choices there is room for.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The number of the destination that this key was given less than three minutes ago; `now` in seconds.
    #[must_use]
    pub fn lookup(&self, key: u64, now: f64) -> Option<u32> {
        let entry = self.bucket(key).0.iter().find_map(|way| held(way, key))?;
        if moment(now) - begun(entry) >= LIFETIME_TICKS {
            return None;
        }
        Some(number_of(entry)).filter(|number| *number != 0)
    }

    /// Keep the choice of destination `number` (not 0) for this key.
    ///
    /// The choice that is remembered already grows no younger by being made again; another one takes its place.
    pub fn remember(&self, key: u64, number: u32, now: f64) {
        if self.entries == 0 {
            return;
        }
        let ways = &self.bucket(key).0;
        let moment = moment(now);
        let known = ways
            .iter()
            .find_map(|way| held(way, key).map(|entry| (way, entry)));
        let way = match known {
            Some((_, entry))
                if number_of(entry) == number && moment - begun(entry) < LIFETIME_TICKS =>
            {
                return;
            }
            Some((way, _)) => way,
            None => ways
                .iter()
                .min_by_key(|way| way[1].load(Relaxed))
                .unwrap_or(&ways[0]),
        };
        let entry = moment.cast_unsigned() << MOMENT_SHIFT | u64::from(number);
        way[0].store(key ^ entry, Relaxed);
        way[1].store(entry, Relaxed);
    }

    /// The table as Python's has it: key and second word of each entry.
    pub fn words(&self) -> impl Iterator<Item = u64> {
        self.buckets
            .iter()
            .flat_map(|bucket| &bucket.0)
            .flat_map(|way| {
                let entry = way[1].load(Relaxed);
                [way[0].load(Relaxed) ^ entry, entry]
            })
    }

    fn bucket(&self, key: u64) -> &Bucket {
        // The number of buckets is a power of two, at least one.
        &self.buckets[(key >> 32) as usize & (self.buckets.len() - 1)]
    }
}

/// The second word of an entry, if it is this key's.
fn held(way: &[AtomicU64; 2], key: u64) -> Option<u64> {
    let entry = way[1].load(Relaxed);
    (way[0].load(Relaxed) ^ entry == key).then_some(entry)
}

fn begun(entry: u64) -> i64 {
    i64::from((entry >> MOMENT_SHIFT) as u32)
}

fn number_of(entry: u64) -> u32 {
    (entry & 0xFFFF_FFFF) as u32
}

/// Sixteenths of a second, counted from 1 at clock 0.
#[allow(clippy::cast_possible_truncation)] // the part behind the point; a clock has room for ages
fn moment(now: f64) -> i64 {
    (now * TICKS_PER_S) as i64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_entry_fits_no_key() {
        let choices = RecentChoices::new(4);
        choices.remember(1, 7, 0.0);
        let way = &choices.buckets[0].0[0];
        let half = way[0].load(Relaxed);
        choices.remember(2, 8, 1.0);
        let other = &choices.buckets[0].0[1];
        other[0].store(half, Relaxed); // the first word of one, the second of the other
        assert_eq!(choices.lookup(1, 1.0), Some(7));
        assert_eq!(choices.lookup(2, 1.0), None);
        choices.remember(2, 8, 1.0);
        assert_eq!(choices.lookup(2, 1.0), Some(8));
    }

    #[test]
    fn threads_that_write_at_once_never_make_a_choice_up() {
        let choices = RecentChoices::new(8);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let choices = &choices;
                scope.spawn(move || {
                    for turn in 0..20_000_u64 {
                        let key = ((turn * 7 + thread) % 12) << 32 | 5;
                        // Of each key only one number is ever remembered.
                        let number = u32::try_from(key >> 32).unwrap() + 1;
                        choices.remember(key, number, 1.0);
                        let found = choices.lookup(key, 1.0);
                        assert!(
                            found.is_none() || found == Some(number),
                            "{key:x} {found:?}"
                        );
                    }
                });
            }
        });
    }

    #[test]
    fn a_choice_lives_three_minutes_from_first_sight() {
        let choices = RecentChoices::new(4);
        choices.remember(1, 7, 100.0);
        choices.remember(1, 7, 279.9375);
        assert_eq!(choices.lookup(1, 279.9375), Some(7));
        assert_eq!(choices.lookup(1, 280.0), None);
        choices.remember(1, 7, 280.0);
        assert_eq!(choices.lookup(1, 280.0), Some(7));
    }

    #[test]
    fn a_thread_whose_clock_is_behind_finds_what_another_has_just_made() {
        let choices = RecentChoices::new(4);
        choices.remember(1, 7, 10.0);
        assert_eq!(choices.lookup(1, 9.0), Some(7));
    }

    #[test]
    fn the_words_are_those_of_python() {
        let choices = RecentChoices::new(4);
        choices.remember(0x1234_ABCD_0000_0001, 0xDEAD_BEEF, 10.5);
        let words: Vec<u64> = choices.words().collect();
        assert_eq!(
            words[..2],
            [0x1234_ABCD_0000_0001, (10 * 16 + 8 + 1) << 32 | 0xDEAD_BEEF]
        );
        assert_eq!(words[2..], [0; 6]);
    }
}
