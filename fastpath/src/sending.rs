//! What became of the datagrams that were handed to the kernel?  The twin of `health.sending`, for batches.
//!
//! With `IP_RECVERR` an ICMP error surfaces on the *next* send of the same socket, whomever that is for: it belongs to an
//! earlier datagram.  So it is taken off the error queue and the send is tried again.

use std::io;
use std::iter;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::socket::{NetworkError, Outbox, drain_errors};

/// One for this datagram, the others for errors of earlier ones that arrive between draining and sending.
const SEND_ATTEMPTS: usize = 4;

/// Never an ICMP error (`icmp_err_convert` of the kernel): no use in sending again at once.
const OURS_FOR_SURE: [i32; 4] = [libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN, libc::EPERM];

/// Send these, a batch at most, in their order; `unsent` is told of each that the kernel did not take, by errno.
///
/// `errors` gets those of earlier datagrams that were found on the way.  How many the kernel took.
pub fn send_all<'a>(
    outbox: &mut Outbox,
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], SocketAddr)> + Clone,
    errors: &mut Vec<NetworkError>,
    mut unsent: impl FnMut(i32),
) -> usize {
    let mut rest = messages;
    let mut taken = 0;
    while rest.clone().next().is_some() {
        match outbox.send(socket, rest.clone()) {
            Ok(0) => break, // it never says so of a batch that has any
            Ok(count) => {
                taken += count;
                rest.by_ref().take(count).for_each(drop);
            }
            Err(error) => {
                let Some(first) = rest.next() else { break };
                match send_again(outbox, socket, first, &error, errors) {
                    None => taken += 1,
                    Some(errno) => unsent(errno),
                }
            }
        }
    }
    taken
}

/// Find out whose error it was, and send again if it may have been another datagram's; the errno if it was not sent.
fn send_again(
    outbox: &mut Outbox,
    socket: BorrowedFd<'_>,
    message: (&[u8], SocketAddr),
    error: &io::Error,
    errors: &mut Vec<NetworkError>,
) -> Option<i32> {
    let mut errno = errno_of(error);
    let mut attempts = 1;
    loop {
        let known = errors.len();
        drain_errors(socket, errors);
        // A local error (EMSGSIZE) is queued by the very call that failed: it is this datagram's own.
        let mut place = 0;
        errors.retain(|each| {
            place += 1;
            place <= known || !each.is_local()
        });
        // The first failure may be an older one's even with an empty queue: there was no memory for the entry.
        let foreign = errors.len() > known;
        if OURS_FOR_SURE.contains(&errno) || attempts == SEND_ATTEMPTS || (attempts > 1 && !foreign)
        {
            return Some(errno);
        }
        attempts += 1;
        // What the first says may be of an error that draining has left there, or that has come since.
        let one = || iter::once(message);
        match outbox
            .send(socket, one())
            .or_else(|_| outbox.send(socket, one()))
        {
            Ok(_) => return None,
            Err(again) => errno = errno_of(&again),
        }
    }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;
    use crate::socket::{Inbox, MAX_AT_ONCE, recording_errors};

    fn bound() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_nonblocking(true).expect("a socket");
        recording_errors(socket.as_raw_fd()).expect("IP_RECVERR");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    #[test]
    fn a_dead_server_costs_the_live_one_nothing_and_is_named() {
        let ((proxy, _), (live, live_at), (dead, dead_at)) = (bound(), bound(), bound());
        drop(dead);
        let mut outbox = Outbox::new();
        let mut errors = Vec::new();
        let mut unsent = Vec::new();
        let mut taken = 0;
        for _ in 0..10 {
            let both = [
                (&b"dead"[..], dead_at),
                (b"live", live_at),
                (b"dead", dead_at),
                (b"live", live_at),
            ];
            taken += send_all(
                &mut outbox,
                proxy.as_fd(),
                both.into_iter(),
                &mut errors,
                |errno| unsent.push(errno),
            );
        }
        drain_errors(proxy.as_fd(), &mut errors);
        assert_eq!((taken, unsent), (40, vec![]));
        assert_eq!(Inbox::new().receive(live.as_fd()).expect("read"), 20);
        assert!(!errors.is_empty());
        assert!(errors.iter().all(|each| each.address == Some(dead_at)
            && each.quoted == b"dead"
            && !each.is_local()));
    }

    #[test]
    fn what_is_sent_waits_for_few_of_many_errors_and_is_not_taken_for_one() {
        let ((proxy, _), (live, live_at), (dead, dead_at)) = (bound(), bound(), bound());
        drop(dead);
        let many = 8 * MAX_AT_ONCE;
        let told = (0..many).filter(|_| proxy.send_to(b"dead", dead_at).is_err());
        assert!(told.count() > 0);
        let (mut outbox, mut errors) = (Outbox::new(), Vec::new());
        let one = iter::once((&b"live"[..], live_at));
        let mut unsent = Vec::new();
        let taken = send_all(&mut outbox, proxy.as_fd(), one, &mut errors, |errno| {
            unsent.push(errno);
        });
        assert_eq!((taken, unsent), (1, vec![]));
        assert_eq!(Inbox::new().receive(live.as_fd()).expect("read"), 1);
        assert!(errors.len() <= MAX_AT_ONCE);
        let mut rest = Vec::new();
        drain_errors(proxy.as_fd(), &mut rest);
        assert!((1..=MAX_AT_ONCE).contains(&rest.len()), "{}", rest.len());
    }

    #[test]
    fn what_is_too_long_is_told_and_the_others_leave() {
        let ((proxy, _), (live, live_at)) = (bound(), bound());
        let long = vec![b'x'; 65_535];
        let three = [(&b"one"[..], live_at), (&long, live_at), (b"two", live_at)];
        let mut unsent = Vec::new();
        let mut errors = Vec::new();
        let mut outbox = Outbox::new();
        let taken = send_all(
            &mut outbox,
            proxy.as_fd(),
            three.into_iter(),
            &mut errors,
            |errno| unsent.push(errno),
        );
        assert_eq!((taken, unsent, errors), (2, vec![libc::EMSGSIZE], vec![]));
        assert_eq!(Inbox::new().receive(live.as_fd()).expect("read"), 2);
    }
}
