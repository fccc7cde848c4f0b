//! Does the table hold each source to its share, whoever asks?

use super::source::{span_of, span_text};
use super::*;
use std::thread;

fn policy(rate: u64, room: u64) -> Policy {
    Policy {
        rate: Some(rate),
        room,
        ban_for: 60.0,
        ..Policy::default()
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn admitted(limits: &Limits, host: &str, count: usize, now: f64) -> usize {
    (0..count)
        .filter(|_| limits.admit(address(host), now) == Verdict::Admitted)
        .count()
}

#[test]
fn a_source_may_send_a_burst_and_then_its_rate() {
    let limits = Limits::new(policy(10, 5), [7; 16], SOURCES);
    assert_eq!(admitted(&limits, "203.0.113.9", 100, 50.0), 5);
    assert_eq!(
        limits.admit(address("203.0.113.9"), 50.05),
        Verdict::Limited
    );
    assert_eq!(admitted(&limits, "203.0.113.9", 100, 50.1), 1);
    assert_eq!(admitted(&limits, "203.0.113.9", 100, 51.1), 5);
}

#[test]
fn workers_together_let_no_more_through_than_one_alone() {
    let limits = Limits::new(policy(10, 1000), [7; 16], SOURCES);
    assert_eq!(admitted(&limits, "203.0.113.9", 1, 1.0), 1); // the entry is there
    let through: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| admitted(&limits, "203.0.113.9", 5000, 1.0)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    assert_eq!(through, 999);
}

#[test]
fn workers_together_ban_once() {
    let limits = Limits::new(
        Policy {
            ban_after: Some(0.0),
            ..policy(1, 1)
        },
        [7; 16],
        SOURCES,
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| admitted(&limits, "203.0.113.9", 500, 1.0));
        }
    });
    assert_eq!(
        (
            limits.begun(),
            limits.take_begun().len(),
            limits.bans(1.0).len()
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_span_is_told_as_its_network() {
    for (first, last, text) in [
        ("203.0.113.0", "203.0.113.255", "203.0.113.0/24"),
        ("203.0.113.9", "203.0.113.9", "203.0.113.9"),
        (
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::/32",
        ),
        (
            "2001:db8::",
            "2001:db8::ffff:ffff:ffff:ffff",
            "2001:db8::/64",
        ),
        ("::", "::ffff:ffff:ffff:ffff", "::/64"),
        ("::", "0:0:7fff:ffff:ffff:ffff:ffff:ffff", "::/33"),
    ] {
        assert_eq!(span_text(span_of(address(first), address(last))), text);
    }
}
