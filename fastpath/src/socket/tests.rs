//! Over real sockets on loopback: what is sent arrives, in order, and what cannot be sent is said.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use super::*;

fn bound(host: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).expect("loopback");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

#[test]
fn a_batch_is_read_with_its_sources() {
    for host in ["127.0.0.1", "::1"] {
        let (here, there) = (bound(host), bound(host));
        let address = here.local_addr().expect("bound");
        let texts: Vec<Vec<u8>> = (0..BATCH + 2)
            .map(|number| format!("text {number}").into_bytes())
            .collect();
        let mut outbox = Outbox::new();
        let messages = |range: std::ops::Range<usize>| {
            texts[range].iter().map(|text| (text.as_slice(), address))
        };
        assert_eq!(
            outbox
                .send(there.as_fd(), messages(0..BATCH))
                .expect("sent"),
            BATCH
        );
        assert_eq!(
            outbox
                .send(there.as_fd(), messages(BATCH..BATCH + 2))
                .expect("sent"),
            2
        );
        let mut inbox = Inbox::new();
        let source = there.local_addr().expect("bound");
        for (start, count) in [(0, BATCH), (BATCH, 2)] {
            assert_eq!(inbox.receive(here.as_fd()).expect("read"), count);
            for place in 0..count {
                assert_eq!(
                    inbox.datagram(place),
                    Some((texts[start + place].as_slice(), source))
                );
            }
            assert_eq!(inbox.datagram(count), None);
        }
        let nothing = inbox.receive(here.as_fd()).expect_err("nothing is left");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn the_longest_datagram_fits() {
    let (here, there) = (bound("127.0.0.1"), bound("127.0.0.1"));
    let text = vec![b'x'; 65_507];
    there
        .send_to(&text, here.local_addr().expect("bound"))
        .expect("sent");
    let mut inbox = Inbox::new();
    assert_eq!(inbox.receive(here.as_fd()).expect("read"), 1);
    assert_eq!(
        inbox.datagram(0).map(|(payload, _)| payload.len()),
        Some(65_507)
    );
}

#[test]
fn a_batch_ends_before_what_the_kernel_does_not_take() {
    let (here, there) = (bound("127.0.0.1"), bound("127.0.0.1"));
    let address = here.local_addr().expect("bound");
    let long = vec![b'x'; 65_535];
    let messages = [b"one".as_slice(), &long, b"two"];
    let mut outbox = Outbox::new();
    let some = outbox
        .send(there.as_fd(), messages.iter().map(|text| (*text, address)))
        .expect("the first");
    assert_eq!(some, 1);
    let error = outbox
        .send(
            there.as_fd(),
            messages[1..].iter().map(|text| (*text, address)),
        )
        .expect_err("too long");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn who_waits_is_told_of_the_socket_and_of_the_bell() {
    let (here, there) = (bound("127.0.0.1"), bound("127.0.0.1"));
    let bell = Bell::new().expect("a bell");
    let sockets = [
        duplicate(there.as_raw_fd()).expect("twice"),
        duplicate(here.as_raw_fd()).expect("twice"),
    ];
    let mut readiness = Readiness::new(&sockets, &bell);
    for start in 0..3 {
        there
            .send_to(b"text", here.local_addr().expect("bound"))
            .expect("sent");
        assert_eq!(
            readiness.wait(start).expect("ready"),
            Ready::Socket(1, false)
        );
    }
    here.send_to(b"text", there.local_addr().expect("bound"))
        .expect("sent");
    let first = |place| Ready::Socket(place, false);
    assert_eq!(readiness.wait(0).expect("ready"), first(0));
    assert_eq!(readiness.wait(1).expect("ready"), first(1));
    assert_eq!(readiness.wait(2).expect("ready"), first(0));
    bell.ring();
    assert_eq!(readiness.wait(0).expect("ready"), Ready::Bell);
    assert!(duplicate(-1).is_err());
}
