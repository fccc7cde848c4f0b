//! What does the network say about datagrams that were sent earlier?  The queue that `health.errorqueue` describes.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::slice;

use super::{address_of, length_of};

/// Anybody can send ICMP errors, a hundred thousand a second: half a millisecond of them, then datagrams have their turn.
pub(crate) const MAX_AT_ONCE: usize = 256;
const MAX_QUOTED: usize = 2048;
const CONTROL_WORDS: usize = 64;

/// `SO_EE_ORIGIN_LOCAL`: the very call that failed has put it there.
const ORIGIN_LOCAL: u8 = 1;
/// errno, origin, type, code, pad, info, data.
const EXTENDED: usize = 16;

/// One entry of the error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// Where the failed datagram was sent; `None` when the kernel does not say.
    pub address: Option<SocketAddr>,
    /// The error.
    pub errno: u32,
    /// Who noticed it: `SO_EE_ORIGIN_*` of linux/errqueue.h.
    pub origin: u8,
    /// Of ICMP.
    pub kind: u8,
    /// Of ICMP.
    pub code: u8,
    /// The MTU for `EMSGSIZE`.
    pub info: u32,
    /// The node that sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// As much of the datagram as the ICMP message carried.
    pub quoted: Vec<u8>,
}

impl NetworkError {
    /// Whether it is about the datagram that was being sent, not about an earlier one.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.origin == ORIGIN_LOCAL
    }
}

/// Take the entries off the socket's error queue, `MAX_AT_ONCE` of them: while there are more the socket stays ready.
pub fn drain_errors(socket: BorrowedFd<'_>, found: &mut Vec<NetworkError>) {
    for _ in 0..MAX_AT_ONCE {
        match one(socket) {
            None => break,
            Some(None) => {}
            Some(Some(error)) => found.push(error),
        }
    }
}

/// The first entry; `Some(None)` for one that is of another kind, `None` when the queue is empty.
#[allow(clippy::option_option)] // the two ways of having none mean different things
fn one(socket: BorrowedFd<'_>) -> Option<Option<NetworkError>> {
    let mut quoted = [0_u8; MAX_QUOTED];
    let mut control = [0_u64; CONTROL_WORDS]; // words: the kernel's structures in it want alignment
    // SAFETY: all zero is a value of both structures.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut part = libc::iovec {
        iov_base: quoted.as_mut_ptr().cast(),
        iov_len: quoted.len(),
    };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = length_of::<libc::sockaddr_storage>();
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to structures and bytes of this function, with their true lengths.
    let length = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    let length = usize::try_from(length).ok()?;
    let mut extended = None;
    // SAFETY: walks the control messages that the kernel has written into `control`, by its own macros; `data` is as
    // long as the message's header says, which the macros hold against the length of the whole.
    unsafe {
        let mut each = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(message) = each.as_ref() {
            let length = message.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = slice::from_raw_parts(libc::CMSG_DATA(ptr::from_ref(message)), length);
            if matches!(
                (message.cmsg_level, message.cmsg_type),
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
            ) && extended.is_none()
            {
                extended = Some(data);
            }
            each = libc::CMSG_NXTHDR(&raw const header, ptr::from_ref(message));
        }
    }
    // A local error before routing knows the host but has port 0 or nothing: that is no destination.
    let address = address_of(&name, header.msg_namelen).filter(|address| address.port() != 0);
    Some(extended.and_then(|extended| read(extended, address, &quoted[..length.min(MAX_QUOTED)])))
}

/// What an extended error says (`struct sock_extended_err`, and the offender's address behind it).
fn read(extended: &[u8], address: Option<SocketAddr>, quoted: &[u8]) -> Option<NetworkError> {
    let (errno, rest) = extended.split_first_chunk::<4>()?;
    let (&[origin, kind, code, _], rest) = rest.split_first_chunk::<4>()?;
    let (info, rest) = rest.split_first_chunk::<4>()?;
    let _data = rest.first_chunk::<4>()?;
    Some(NetworkError {
        address,
        errno: u32::from_ne_bytes(*errno),
        origin,
        kind,
        code,
        info: u32::from_ne_bytes(*info),
        offender: offender(&extended[EXTENDED..]),
        quoted: quoted.to_vec(),
    })
}

fn offender(name: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    match libc::c_int::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(*name.get(4..)?.first_chunk::<4>()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*name.get(8..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_error_is_read_as_far_as_it_goes() {
        let mut extended = Vec::new();
        extended.extend(111_u32.to_ne_bytes());
        extended.extend([2, 3, 3, 0]);
        extended.extend(0_u32.to_ne_bytes());
        extended.extend(0_u32.to_ne_bytes());
        let error = read(&extended, None, b"INVITE").expect("whole");
        assert_eq!(
            (
                error.errno,
                error.origin,
                error.kind,
                error.code,
                error.offender
            ),
            (111, 2, 3, 3, None)
        );
        assert!(!error.is_local());
        extended.extend(2_u16.to_ne_bytes());
        extended.extend([0, 0, 192, 0, 2, 9]);
        let error = read(&extended, None, b"").expect("whole");
        assert_eq!(error.offender, Some(IpAddr::from([192, 0, 2, 9])));
        assert_eq!(read(&extended[..15], None, b""), None);
    }
}
