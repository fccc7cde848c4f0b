//! What does an operator allow, and who is banned?

use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::source::{Span, span_text};
use super::{TICKS_A_SECOND, ticks};

/// Bans of single sources; one more pushes out one of the limits' own, that which ends soonest.
pub const MOST_BANS: usize = 4_096;
/// Of these by hand; no more are taken.
pub const MOST_BY_HAND: usize = 2_048;
/// Banned networks: each costs every message a comparison.
pub const MOST_NETWORKS: usize = 64;

/// What the operator allows a source (`dispatcher.limits.LimitPolicy`); times are seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Messages a second.
    pub rate: Option<u64>,
    /// Messages at once: `LimitPolicy.room`.
    pub room: u64,
    /// How long a source may be over its limit without a break.
    pub ban_after: Option<f64>,
    /// How long a ban lasts.
    pub ban_for: f64,
    /// What a ban by itself says of its cause.
    pub cause: String,
    /// Who may send what he likes.
    pub allow: Vec<Span>,
}

/// A ban as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// An address or a network.
    pub source: String,
    /// Seconds of the loop's clock.
    pub since: f64,
    /// Seconds of the loop's clock.
    pub until: f64,
    /// Why.
    pub cause: String,
    /// Messages, so far.
    pub dropped: u64,
}

/// Why a ban by hand is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are [`MOST_BY_HAND`].
    Sources,
    /// There are [`MOST_NETWORKS`].
    Networks,
}

impl fmt::Display for Full {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sources => write!(out, "{MOST_BY_HAND} sources are banned by hand already"),
            Self::Networks => write!(out, "{MOST_NETWORKS} networks are banned already"),
        }
    }
}

/// A ban.
pub(super) struct Held {
    pub(super) span: Span,
    since: f64,
    pub(super) until: f64,
    cause: String,
    by_hand: bool,
    pub(super) dropped: AtomicU64,
}

impl Held {
    pub(super) fn by_hand(span: Span, since: f64, until: f64, cause: String) -> Arc<Self> {
        Self::new(span, since, until, cause, true)
    }

    pub(super) fn by_itself(source: u64, since: f64, policy: &Policy) -> Arc<Self> {
        let until = since + policy.ban_for;
        Self::new((source, source), since, until, policy.cause.clone(), false)
    }

    fn new(span: Span, since: f64, until: f64, cause: String, by_hand: bool) -> Arc<Self> {
        Arc::new(Self {
            span,
            since,
            until,
            cause,
            by_hand,
            dropped: AtomicU64::new(0),
        })
    }

    pub(super) fn told(&self) -> Ban {
        Ban {
            source: span_text(self.span),
            since: self.since,
            until: self.until,
            cause: self.cause.clone(),
            dropped: self.dropped.load(Relaxed),
        }
    }
}

/// What every message reads: never changed, only replaced.
#[derive(Clone, Default)]
pub(super) struct Book {
    pub(super) policy: Policy,
    /// Ticks between two messages at the rate, 0 without a limit.
    pub(super) interval: u64,
    /// How far ahead of now the moment of a full bucket may lie.
    pub(super) tolerance: u64,
    /// In ticks.
    pub(super) ban_after: Option<u64>,
    /// By the keyed hash of the source: whom strangers get banned cannot be aimed at a place of the map either.
    pub(super) single: FxHashMap<u64, Arc<Held>>,
    pub(super) wide: Vec<Arc<Held>>,
}

impl Book {
    pub(super) fn under(&self, policy: Policy) -> Self {
        let interval = policy
            .rate
            .map_or(0, |rate| (TICKS_A_SECOND / rate.max(1)).max(1));
        Self {
            interval,
            tolerance: interval.saturating_mul(policy.room.saturating_sub(1)),
            ban_after: policy.ban_after.map(ticks),
            policy,
            single: self.single.clone(),
            wide: self.wide.clone(),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.interval > 0 || !self.single.is_empty() || !self.wide.is_empty()
    }

    pub(super) fn holding(&self, source: u64, digest: u64) -> Option<&Held> {
        let held = self
            .single
            .get(&digest)
            .filter(|held| held.span.0 == source)
            .or_else(|| {
                self.wide
                    .iter()
                    .find(|held| (held.span.0..=held.span.1).contains(&source))
            });
        held.map(AsRef::as_ref)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.single.values().chain(&self.wide)
    }

    /// Take a ban in, of a single source with its digest: the one that it pushes out, with its digest.
    pub(super) fn hold(
        &mut self,
        held: Arc<Held>,
        digest: u64,
    ) -> Result<Option<(u64, Arc<Held>)>, Full> {
        if held.span.0 == held.span.1 {
            let pushed_out = self.make_room(&held, digest)?;
            self.single.insert(digest, held);
            return Ok(pushed_out);
        }
        self.wide.retain(|other| other.span != held.span);
        if self.wide.len() >= MOST_NETWORKS {
            return Err(Full::Networks);
        }
        self.wide.push(held);
        Ok(None)
    }

    fn make_room(&mut self, held: &Held, digest: u64) -> Result<Option<(u64, Arc<Held>)>, Full> {
        let by_hand = |(other, each): &(&u64, &Arc<Held>)| each.by_hand && **other != digest;
        if held.by_hand && self.single.iter().filter(by_hand).count() >= MOST_BY_HAND {
            return Err(Full::Sources);
        }
        if self.single.len() < MOST_BANS || self.single.contains_key(&digest) {
            return Ok(None);
        }
        let soonest = self
            .single
            .iter()
            .filter(|(_, each)| !each.by_hand)
            .min_by(|one, two| order(one.1, two.1))
            .map(|(digest, _)| *digest);
        Ok(soonest.and_then(|digest| self.single.remove_entry(&digest)))
    }
}

/// Those that end first in front.
pub(super) fn order(one: &Held, two: &Held) -> std::cmp::Ordering {
    one.until
        .total_cmp(&two.until)
        .then(one.span.cmp(&two.span))
}

pub(super) fn told(mut held: Vec<Arc<Held>>) -> Vec<Ban> {
    held.sort_by(|one, two| order(one, two));
    held.iter().map(|held| held.told()).collect()
}
