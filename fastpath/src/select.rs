//! Which destination of a set takes a new request (`dispatcher.selection`), and on what does the choice hang
//! (`dispatcher.choice`)?
//!
//! Only the known places of a slot are looked at, and no float is computed: whoever comes after them is Python's choice.

use crate::image::{Image, Kind, NEW_WORK, Pool, Way};
use crate::keyed::{Key, Use, digest, with_host};
use crate::rules::without_params;
use crate::value::Uri;

/// Known places of each slot.
pub const PLACES: usize = 4;
/// Bytes in a slot table.
pub const TABLE_SIZE: usize = 65_536 * PLACES * 2;
/// The ramp of a destination that takes every key of its own.
const FULL_SHARE: u8 = 255;
/// Where a key stands in everybody's ramp: eight bits that its slot has nothing to do with.
const RAMP_SHIFT: u32 = 48;
/// A set that is larger is not searched for somebody who takes a key by the ramps: Python does.
const FEW: usize = 64;

/// The place of the destination that has new work with this key: `digest` is `call_digest` for `Kind::CallId`,
/// `aor_digest` for the other kinds and for every REGISTER.
///
/// `None`: Python chooses, because the slot's known places do not tell, nobody is usable, there is no such set, or the
/// kind is `Kind::Other`.  `register` is for a REGISTER, which is always keyed.
#[must_use]
pub fn choose(image: &Image, way: &Way, digest: u64, register: bool) -> Option<usize> {
    if way.algorithm.kind == Kind::Other && !register {
        return None;
    }
    let pool = image.fixed.pools.get(way.pool?)?;
    let known = known_places(pool, way.algorithm.table, digest)?;
    let members = pool.start..pool.start + pool.count;
    let liveness = image.liveness.get(members.clone())?;
    let takes = |index: usize| liveness.get(index).is_some_and(|code| code & NEW_WORK != 0);
    if image.ramp.is_empty() {
        return first(known, takes).map(|index| pool.start + index);
    }
    let ramp = image.ramp.get(members)?;
    let here = (digest >> RAMP_SHIFT & 0xFF) as u8;
    let is_spared = |index: usize| {
        ramp.get(index)
            .is_some_and(|share| *share <= here && *share != FULL_SHARE)
    };
    let taking = |index: usize| takes(index) && !is_spared(index);
    let chosen = first(known, taking).or_else(|| {
        // Where nobody takes this key by the ramps, the ramps do not count.
        let nobody = pool.count <= FEW && !(0..pool.count).any(taking);
        if nobody { first(known, takes) } else { None }
    });
    chosen.map(|index| pool.start + index)
}

fn first(known: [usize; PLACES], takes: impl Fn(usize) -> bool) -> Option<usize> {
    known.into_iter().find(|index| takes(*index))
}

/// The indexes that come first in the slot of a key; an empty place is one that no set is large enough for.
fn known_places(pool: &Pool, table: usize, digest: u64) -> Option<[usize; PLACES]> {
    let table = pool.tables.get(table)?.as_ref()?;
    let slot = (digest & 0xFFFF) as usize;
    let row = (**table)
        .as_ref()
        .get(slot * PLACES * 2..(slot + 1) * PLACES * 2)?;
    let mut known = [0; PLACES];
    for (place, index) in known.iter_mut().zip(row.chunks_exact(2)) {
        *place = usize::from(u16::from_le_bytes([index[0], index[1]]));
    }
    Some(known)
}

/// The digest of the address of record in a URI: what `aor`, `from`, `to`, `request-uri` and a REGISTER are keyed on.
///
/// `with_domain` is `Fixed::aor_domain` for `Kind::Aor` and for a REGISTER (both read To or the Request-URI), true for
/// the others.
#[must_use]
pub fn aor_digest(key: &Key, uri: &Uri<'_>, with_domain: bool) -> u64 {
    let user = uri.user.map_or(&b""[..], without_params);
    if !with_domain {
        return digest(key, Use::Choice, &[user]);
    }
    with_host(uri.host, |host| {
        digest(key, Use::Choice, &[user, b"@", host])
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::image::{Algorithm, Fixed};

    const UP: u8 = 3;
    const DOWN: u8 = 8;
    const DRAINING: u8 = 16 | 2;
    const BY_CALL_ID: Algorithm = Algorithm {
        kind: Kind::CallId,
        table: 0,
    };

    /// One set behind another destination, in each slot of which the same indexes come first.
    fn image(count: usize, row: [u16; PLACES], liveness: &[u8], ramp: &[u8]) -> (Image, Way) {
        let table: Vec<u8> = (0..1 << 16)
            .flat_map(|_| row)
            .flat_map(u16::to_le_bytes)
            .collect();
        let server: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let mut fixed = Fixed::new(vec![[7; 16]]);
        fixed.add_pool(1, vec![]);
        fixed.add_destination(server, 99, None);
        fixed.add_pool(2, vec![Some(Arc::new(table)), None]);
        for number in 0..count {
            fixed.add_destination(server, u32::try_from(number).unwrap() + 1, None);
        }
        let way = Way {
            pool: Some(1),
            algorithm: BY_CALL_ID,
            salt: 0,
        };
        let behind_another = |own: &[u8]| {
            if own.is_empty() {
                vec![]
            } else {
                [&[UP], own].concat()
            }
        };
        let image = Image {
            version: 1,
            fixed: Arc::new(fixed),
            liveness: behind_another(liveness).into(),
            ramp: behind_another(ramp).into(),
        };
        (image, way)
    }

    const EMPTY: u16 = 0xFFFF;

    #[test]
    fn the_first_usable_of_the_known_places_has_it() {
        let (mut image, way) = image(5, [2, 0, 4, 1], &[UP; 5], &[]);
        assert_eq!(
            choose(&image, &way, 12, false),
            Some(3),
            "a place among all destinations"
        );
        image.liveness = [UP, UP, UP, DOWN, UP, UP].into();
        assert_eq!(choose(&image, &way, 12, false), Some(1));
        image.liveness = [UP, DRAINING, DOWN, DOWN, UP, DRAINING].into();
        assert_eq!(
            choose(&image, &way, 12, false),
            None,
            "who comes fifth is a matter of scores"
        );
    }

    #[test]
    fn nobody_is_python_s_matter() {
        let (image, way) = image(2, [1, 0, EMPTY, EMPTY], &[DOWN; 2], &[]);
        assert_eq!(choose(&image, &way, 1, false), None);
    }

    #[test]
    fn other_kinds_are_python_s_but_for_a_registration() {
        let (image, mut way) = image(2, [1, 0, EMPTY, EMPTY], &[UP; 2], &[]);
        way.algorithm.kind = Kind::Other;
        assert_eq!(choose(&image, &way, 1, false), None);
        assert_eq!(choose(&image, &way, 1, true), Some(2));
    }

    #[test]
    fn without_a_set_or_a_table_nothing_is_known() {
        let (image, way) = image(1, [0, EMPTY, EMPTY, EMPTY], &[UP], &[]);
        assert_eq!(choose(&image, &way, 1, false), Some(1));
        assert_eq!(choose(&image, &Way { pool: None, ..way }, 1, false), None);
        assert_eq!(
            choose(
                &image,
                &Way {
                    pool: Some(2),
                    ..way
                },
                1,
                false
            ),
            None
        );
        for table in [1, 2] {
            let algorithm = Algorithm {
                table,
                ..BY_CALL_ID
            };
            assert_eq!(choose(&image, &Way { algorithm, ..way }, 1, false), None);
        }
    }

    #[test]
    fn who_has_come_back_takes_as_many_keys_as_its_ramp_says() {
        let (image, way) = image(2, [0, 1, EMPTY, EMPTY], &[UP; 2], &[100, FULL_SHARE]);
        let chosen = |place: u64| choose(&image, &way, place << RAMP_SHIFT, false);
        assert_eq!(chosen(99), Some(1));
        assert_eq!(chosen(100), Some(2));
        assert_eq!(chosen(255), Some(2));
    }

    #[test]
    fn where_nobody_takes_a_key_the_ramps_do_not_count() {
        let (image, way) = image(2, [1, 0, EMPTY, EMPTY], &[UP; 2], &[100, 200]);
        let chosen = |place: u64| choose(&image, &way, place << RAMP_SHIFT, false);
        assert_eq!(chosen(99), Some(2));
        assert_eq!(chosen(150), Some(2));
        assert_eq!(chosen(200), Some(2));
    }

    #[test]
    fn somebody_beyond_the_known_places_may_take_what_the_ramps_refuse() {
        let ramp = [8, 8, 8, 8, FULL_SHARE];
        let (image, way) = image(5, [0, 1, 2, 3], &[UP; 5], &ramp);
        assert_eq!(choose(&image, &way, 7 << RAMP_SHIFT, false), Some(1));
        assert_eq!(choose(&image, &way, 8 << RAMP_SHIFT, false), None);
    }

    #[test]
    fn a_large_set_is_not_searched_for_somebody_who_takes_a_key_by_the_ramps() {
        for (count, found) in [(FEW, Some(1)), (FEW + 1, None)] {
            let (image, way) = image(count, [0, 1, 2, 3], &vec![UP; count], &vec![8; count]);
            assert_eq!(choose(&image, &way, 8 << RAMP_SHIFT, false), found);
        }
    }
}
