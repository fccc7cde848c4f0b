//! How long did a reply take?  The parameter `t` of our Via brings back when its request left (`dispatcher.elapsed`).

/// Timer C (RFC 3261 16.6 step 11): more than that is the clock of another node, or of the time before a restart.
const LONGEST_S: f64 = 180.0;
/// Milliseconds are counted modulo this and one.
const MASK: i64 = (1 << 20) - 1;
const BASE: i64 = 36;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What our Via says of a request that leaves at `now` (seconds): always four digits.
#[must_use]
pub fn moment(now: f64) -> [u8; 4] {
    let mut left = milliseconds(now) & MASK;
    let mut digits = [b'0'; 4];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(left % BASE)
            .ok()
            .and_then(|place| DIGITS.get(place))
            .copied()
            .unwrap_or(b'0');
        left /= BASE;
    }
    digits
}

/// Seconds from a moment that our Via has brought back until `now`; `None` when it is too long or not our writing.
#[must_use]
pub fn since(left: &[u8], now: f64) -> Option<f64> {
    if left.len() != 4 {
        return None;
    }
    let mut moment = 0;
    for byte in left {
        moment = moment * BASE + i64::from(char::from(*byte).to_digit(36)?);
    }
    #[allow(clippy::cast_precision_loss)] // it has 20 bits
    let elapsed = ((milliseconds(now) - moment) & MASK) as f64 / 1000.0;
    (elapsed < LONGEST_S).then_some(elapsed)
}

/// As Python's `int` has it: toward zero.
#[allow(clippy::cast_possible_truncation)] // a clock of 292 million years
fn milliseconds(now: f64) -> i64 {
    (now * 1000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::{moment, since};

    #[test]
    fn a_moment_has_four_digits_and_starts_again() {
        assert_eq!(&moment(0.0), b"0000");
        assert_eq!(&moment(0.035), b"000z");
        assert_eq!(&moment(1.2), b"00xc");
        assert_eq!(&moment(1048.575), b"mh33");
        assert_eq!(&moment(1048.576), b"0000");
    }

    #[test]
    fn the_time_since_a_moment_is_known_for_three_minutes() {
        assert_eq!(since(b"00xc", 1.5), Some(0.3));
        assert_eq!(since(b"00XC", 1.5), Some(0.3));
        assert_eq!(since(b"mh33", 1048.577), Some(0.002));
        assert_eq!(since(b"0000", 179.999), Some(179.999));
        assert_eq!(since(b"0000", 180.0), None);
        assert_eq!(since(b"", 1.0), None);
        assert_eq!(since(b"00x", 1.0), None);
        assert_eq!(since(b"00x_", 1.0), None);
    }
}
