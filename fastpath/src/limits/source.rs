//! Which source does an address belong to?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4: u64 = 0xFFFF << 48;
const ZERO: u64 = 0xFFFE << 48;

/// The first and the last source of a network.
pub type Span = (u64, u64);

/// The number of the source that an address belongs to, never 0.
#[must_use]
pub fn source_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => IPV4 | u64::from(address.to_bits()),
        IpAddr::V6(address) => match upper(address) {
            0 => ZERO,
            prefix => prefix,
        },
    }
}

#[allow(clippy::cast_possible_truncation)] // the upper half of 128 bits has 64
fn upper(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

/// The sources from the one that `first` belongs to to that of `last`, which are the ends of one network.
#[must_use]
pub fn span_of(first: IpAddr, last: IpAddr) -> Span {
    let (first, last) = (source_of(first), source_of(last));
    (
        if first == ZERO && last != ZERO {
            0
        } else {
            first
        },
        last,
    )
}

/// A source for people: `203.0.113.9`, `2001:db8::/64`.
#[must_use]
pub fn text_of(source: u64) -> String {
    span_text((source, source))
}

pub(super) fn span_text((first, last): Span) -> String {
    let free = 64 - (first ^ last).leading_zeros();
    if first >> 48 == IPV4 >> 48 {
        let address = Ipv4Addr::from_bits(u32::try_from(first & 0xFFFF_FFFF).unwrap_or(0));
        return if free == 0 {
            address.to_string()
        } else {
            format!("{address}/{}", 32 - free)
        };
    }
    let prefix = if first == ZERO {
        0
    } else {
        u128::from(first) << 64
    };
    format!("{}/{}", Ipv6Addr::from_bits(prefix), 64 - free)
}
