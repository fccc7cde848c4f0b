//! Does a request come from behind a NAT, so that its sender is reached by its flow only (`dispatcher.nat`)?

use std::net::{IpAddr, SocketAddr};

use crate::value::{Contact, Host, Rport, Via, contact};

/// Whether sent-by or, private, the Contact is an address other than the source, or a NAT has changed the port.
///
/// `None`: Python reads the Contact.
#[must_use]
pub fn is_behind_nat(
    via: &Via<'_>,
    raw_contact: Option<&[u8]>,
    source: SocketAddr,
) -> Option<bool> {
    let host = source.ip();
    if let Host::Address(sent_by) = via.host
        && sent_by != host
    {
        return Some(true);
    }
    let Some(raw) = raw_contact else {
        return Some(false);
    };
    let Contact::At(there, port) = contact(raw)? else {
        return Some(false);
    };
    if there == host {
        return Some(via.rport != Rport::Absent && port != source.port());
    }
    Some((is_local(there) && !is_local(host)) || (is_private(there) && !is_private(host)))
}

/// Whether an address is never seen on the public network (RFC 1918, 6598, 4193).
fn is_private(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            match first {
                10 => true,
                100 => second & 0b1100_0000 == 64,
                172 => second & 0b1111_0000 == 16,
                192 => second == 168,
                _ => false,
            }
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}

/// Whether an address is never seen beyond its node or its link.
fn is_local(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_local, is_private};

    #[test]
    fn private_and_local_addresses_are_those_of_the_networks() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.9.9",
            "100.64.0.1",
            "100.127.1.1",
            "fdff::1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "11.0.0.1",
            "172.32.0.1",
            "172.15.0.1",
            "192.169.0.1",
            "100.128.0.1",
            "100.63.0.1",
            "fe80::1",
            "2001:db8::1",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["127.9.9.9", "169.254.1.1", "::1", "fe80::1", "febf::1"] {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in ["128.0.0.1", "169.253.0.1", "::2", "fec0::1", "10.0.0.1"] {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }
}
