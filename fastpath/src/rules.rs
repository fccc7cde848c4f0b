//! Which rule decides the set and the algorithm of a request that is dispatched (`dispatcher.rules`)?

use std::net::IpAddr;

use crate::image::Way;
use crate::places::Hosts;
use crate::value::Uri;

/// One `[[proxy.route]]`: every condition that is given must hold.
pub struct Rule {
    /// Empty: any.  Never ACK or CANCEL.
    pub methods: Vec<Box<[u8]>>,
    /// Of the user part, unescaped and without its parameters; empty: any.
    pub user_prefixes: Vec<Box<[u8]>>,
    /// Whether there is a regular expression: whoever gets as far as this is handed over.
    pub has_regex: bool,
    /// Hosts of the Request-URI; empty: any.
    pub hosts: Hosts,
    /// First and last address of each network; empty: any.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// Places of listeners; `None`: any.
    pub listeners: Option<Vec<usize>>,
    /// Where it leads.
    pub way: Way,
}

impl Rule {
    /// Without conditions.
    #[must_use]
    pub fn new(way: Way) -> Self {
        Rule {
            methods: Vec::new(),
            user_prefixes: Vec::new(),
            has_regex: false,
            hosts: Hosts::default(),
            sources: Vec::new(),
            listeners: None,
            way,
        }
    }

    /// Whether all conditions hold; `None` when that hangs on the regular expression.  The URI has no escapes.
    #[must_use]
    pub fn matches(
        &self,
        method: &[u8],
        uri: &Uri<'_>,
        source: IpAddr,
        arrival: usize,
    ) -> Option<bool> {
        let method = if matches!(method, b"ACK" | b"CANCEL") {
            b"INVITE"
        } else {
            method
        };
        let user = uri.user.map(without_params);
        let holds = (self.methods.is_empty() || self.methods.iter().any(|own| **own == *method))
            && (self.hosts.is_empty() || self.hosts.contains(uri.host))
            && self.listeners.as_ref().is_none_or(|own| own.contains(&arrival))
            && (self.user_prefixes.is_empty()
                || user.is_some_and(|user| self.user_prefixes.iter().any(|prefix| user.starts_with(prefix))))
            // Addresses of different families are in no range of each other: all of one are below all of the other.
            && (self.sources.is_empty() || self.sources.iter().any(|(first, last)| (*first..=*last).contains(&source)))
            && (!self.has_regex || user.is_some());
        if holds && self.has_regex {
            None
        } else {
            Some(holds)
        }
    }
}

/// A user part without its parameters (RFC 3261 19.1.1).
#[must_use]
pub fn without_params(user: &[u8]) -> &[u8] {
    user.split(|byte| *byte == b';').next().unwrap_or(user)
}
