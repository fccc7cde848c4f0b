//! What stands for this host and port?  Keys are written by the operator, questions come from the network.

use rustc_hash::{FxHashMap, FxHashSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::keyed::in_lower_case;
use crate::value::Host;

/// Something for each of some hosts and ports.  Families apart: a number is hashed in a quarter of the time that an
/// address takes.
#[derive(Clone, Debug)]
pub struct Places<T> {
    v4: FxHashMap<u64, T>,
    v6: FxHashMap<(u128, u16), T>,
    names: FxHashMap<Box<[u8]>, Vec<(u16, T)>>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places {
            v4: FxHashMap::default(),
            v6: FxHashMap::default(),
            names: FxHashMap::default(),
        }
    }
}

impl<T: Copy> Places<T> {
    /// What stands for this host, in lower case, and port; an address counts as one only in its one spelling.
    pub fn add(&mut self, host: &str, port: u16, what: T) {
        match canonical(host) {
            Some(IpAddr::V4(host)) => drop(self.v4.insert(with_port(host, port), what)),
            Some(IpAddr::V6(host)) => drop(self.v6.insert((host.to_bits(), port), what)),
            None => self
                .names
                .entry(host.as_bytes().into())
                .or_default()
                .push((port, what)),
        }
    }

    /// What stands for this host and port.
    #[must_use]
    pub fn get(&self, host: Host<'_>, port: u16) -> Option<T> {
        match host {
            Host::Address(IpAddr::V4(host)) => self.v4.get(&with_port(host, port)).copied(),
            Host::Address(IpAddr::V6(host)) => self.v6.get(&(host.to_bits(), port)).copied(),
            Host::Name(_) if self.names.is_empty() => None,
            Host::Name(name) => {
                let ports = self.names.get(&*in_lower_case(name))?;
                ports
                    .iter()
                    .find(|(own, _)| *own == port)
                    .map(|(_, what)| *what)
            }
        }
    }
}

fn with_port(host: Ipv4Addr, port: u16) -> u64 {
    u64::from(host.to_bits()) << 16 | u64::from(port)
}

/// Some addresses.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    v4: FxHashSet<u32>,
    v6: FxHashSet<u128>,
}

impl Addresses {
    /// One more.
    pub fn add(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.v4.insert(address.to_bits()),
            IpAddr::V6(address) => self.v6.insert(address.to_bits()),
        };
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(&address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(&address.to_bits()),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Some hosts.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    addresses: Addresses,
    names: FxHashSet<Box<[u8]>>,
}

impl Hosts {
    /// One more, in lower case; an address counts as one only in its one spelling.
    pub fn add(&mut self, host: &str) {
        if let Some(address) = canonical(host) {
            self.addresses.add(address);
        } else {
            self.names.insert(host.as_bytes().into());
        }
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, host: Host<'_>) -> bool {
        match host {
            Host::Address(address) => self.addresses.contains(address),
            Host::Name(name) => {
                !self.names.is_empty() && self.names.contains(&*in_lower_case(name))
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.names.is_empty()
    }
}

/// The address that this text is the one spelling of: Python compares texts, so that another spelling means nothing.
fn canonical(host: &str) -> Option<IpAddr> {
    let address: IpAddr = host.parse().ok()?;
    (address.to_string() == host).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Host<'static> {
        Host::Address(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_names_are_found_with_their_port_only() {
        let mut places = Places::default();
        places.add("192.0.2.1", 5060, 1);
        places.add("2001:db8::1", 5060, 2);
        places.add("pbx.example.com", 5060, 3);
        places.add("pbx.example.com", 5070, 4);
        assert_eq!(places.get(at("192.0.2.1"), 5060), Some(1));
        assert_eq!(places.get(at("192.0.2.1"), 5061), None);
        assert_eq!(places.get(at("2001:db8::1"), 5060), Some(2));
        assert_eq!(places.get(Host::Name(b"PBX.example.COM"), 5070), Some(4));
        assert_eq!(places.get(Host::Name(b"pbx.example.com"), 5080), None);
        assert_eq!(places.get(Host::Name(b"example.com"), 5060), None);
    }

    #[test]
    fn another_spelling_of_an_address_is_none() {
        let mut places = Places::default();
        places.add("2001:DB8::1", 5060, 1);
        places.add("fe80::1%eth0", 5060, 2);
        assert_eq!(places.get(at("2001:db8::1"), 5060), None);
        assert_eq!(places.get(at("fe80::1"), 5060), None);
    }

    #[test]
    fn a_mapped_address_is_another_one() {
        let mut hosts = Hosts::default();
        hosts.add("192.0.2.1");
        assert!(hosts.contains(at("192.0.2.1")));
        assert!(!hosts.contains(at("::ffff:192.0.2.1")));
    }

    #[test]
    fn hosts_are_compared_in_lower_case() {
        let mut hosts = Hosts::default();
        assert!(hosts.is_empty());
        hosts.add("example.com");
        assert!(!hosts.is_empty());
        assert!(hosts.contains(Host::Name(b"Example.Com")));
        assert!(!hosts.contains(Host::Name(b"example.org")));
    }
}
