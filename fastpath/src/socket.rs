//! What has arrived, what does the kernel take, and when?  Batches of datagrams, readiness, and a bell that others wait for.
//!
//! With `socket/errors.rs` the only `unsafe` of this crate: each is one system call, or a look at what one has written.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

#[cfg(test)]
pub(crate) use self::errors::MAX_AT_ONCE;
pub use self::errors::{NetworkError, drain_errors};

mod errors;

/// Datagrams that are read or sent at once.
pub const BATCH: usize = 64;
/// The longest datagram.
pub const MAX_DATAGRAM: usize = 65_535;
#[allow(clippy::cast_possible_truncation)] // it is small
const BATCH_LENGTH: libc::c_uint = BATCH as libc::c_uint;
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the kernel keeps families in 16 bits
const INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as above
const INET6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;
/// From one datagram's room to the next: were it whole pages, all first lines would lie in one set of the cache.
const STRIDE: usize = 66_816;

/// Room for a batch of datagrams, and what the kernel needs to fill it.
pub struct Inbox {
    room: Box<[u8]>,
    names: Box<[libc::sockaddr_storage]>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
}

// SAFETY: its pointers lead to its own boxes, which go with it to another thread.
unsafe impl Send for Inbox {}

impl Inbox {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        let mut room = vec![0; BATCH * STRIDE].into_boxed_slice();
        // SAFETY: all zero is a value of each of these C structures.
        let mut names: Box<[libc::sockaddr_storage]> =
            (0..BATCH).map(|_| unsafe { mem::zeroed() }).collect();
        let mut parts: Box<[libc::iovec]> = room
            .chunks_exact_mut(STRIDE)
            .map(|part| libc::iovec {
                iov_base: part.as_mut_ptr().cast(),
                iov_len: MAX_DATAGRAM,
            })
            .collect();
        let headers = names
            .iter_mut()
            .zip(&mut parts)
            .map(|(name, part)| {
                // SAFETY: all zero is a value of the structure.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = length_of::<libc::sockaddr_storage>();
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Inbox {
            room,
            names,
            parts,
            headers,
            filled: 0,
        }
    }

    /// Read what has arrived, up to a batch; how many datagrams that were.
    ///
    /// # Errors
    /// What recvmmsg says, as that nothing has arrived.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = length_of::<libc::sockaddr_storage>();
        }
        self.filled = 0;
        debug_assert_eq!(self.parts.len(), BATCH);
        // SAFETY: each header points to a name and a part of `self`, which live in boxes and are not moved; a part is
        // shorter than its share of the room.  Nothing else refers to them while `self` is borrowed for writing.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_LENGTH,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// One of those that were read, and where it came from; `None` for one of no internet address.
    #[must_use]
    pub fn datagram(&self, place: usize) -> Option<(&[u8], SocketAddr)> {
        let header = self.headers[..self.filled].get(place)?;
        let length = (header.msg_len as usize).min(MAX_DATAGRAM);
        let payload = &self.room[place * STRIDE..place * STRIDE + length];
        Some((
            payload,
            address_of(&self.names[place], header.msg_hdr.msg_namelen)?,
        ))
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

/// An address as the kernel wants it.
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(address) => {
                // SAFETY: all zero is a value of the structure.
                let mut v4: libc::sockaddr_in = unsafe { mem::zeroed() };
                v4.sin_family = INET;
                v4.sin_port = address.port().to_be();
                v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                (Name { v4 }, length_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(address) => {
                // SAFETY: all zero is a value of the structure.
                let mut v6: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                v6.sin6_family = INET6;
                v6.sin6_port = address.port().to_be();
                v6.sin6_addr.s6_addr = address.ip().octets();
                v6.sin6_scope_id = address.scope_id();
                (Name { v6 }, length_of::<libc::sockaddr_in6>())
            }
        }
    }
}

/// What the kernel needs to send a batch.
pub struct Outbox {
    names: Box<[Name]>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: its pointers lead to its own boxes, and to payloads only while `send` lasts.
unsafe impl Send for Outbox {}

impl Outbox {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        let (nobody, _) = Name::new(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
        Outbox {
            names: vec![nobody; BATCH].into_boxed_slice(),
            parts: vec![
                libc::iovec {
                    iov_base: ptr::null_mut(),
                    iov_len: 0
                };
                BATCH
            ]
            .into_boxed_slice(),
            // SAFETY: all zero is a value of the structure.
            headers: (0..BATCH).map(|_| unsafe { mem::zeroed() }).collect(),
        }
    }

    /// Send these, a batch at most, in their order; how many the kernel took before one that it did not take.
    ///
    /// # Errors
    /// What sendmmsg says of the first one.
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = (&'a [u8], SocketAddr)>,
    ) -> io::Result<usize> {
        let mut count: libc::c_uint = 0;
        let rooms = self
            .names
            .iter_mut()
            .zip(&mut self.parts)
            .zip(&mut self.headers);
        for ((payload, address), ((name, part), header)) in messages.zip(rooms) {
            let (filled, length) = Name::new(address);
            *name = filled;
            *part = libc::iovec {
                iov_base: payload.as_ptr().cast_mut().cast(),
                iov_len: payload.len(),
            };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = length;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the first `count` headers point to names and parts of `self`, and those to payloads that live as long
        // as 'a, which outlasts this call.  The kernel only reads them and writes `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

/// What others wait for: a file descriptor that is readable from `ring` to `silence`.  No child process inherits it.
#[derive(Debug)]
pub struct Bell {
    eventfd: OwnedFd,
}

impl Bell {
    /// A silent one.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let eventfd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Bell {
            eventfd: owned(eventfd)?,
        })
    }

    /// Make it readable.
    pub fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: reads eight bytes of `one`.  It fails only when it has been rung 2**64 - 2 times.
        unsafe { libc::write(self.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Make it unreadable.
    pub fn silence(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: writes eight bytes to `count`.  It fails only when it is silent already.
        unsafe {
            libc::read(
                self.eventfd.as_raw_fd(),
                count.as_mut_ptr().cast(),
                count.len(),
            )
        };
    }

    /// Whether it is readable now.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        let mut asked = libc::pollfd {
            fd: self.eventfd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: looks at one structure and writes into it.
        unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

/// What one has been waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The socket at this place has datagrams, or (`true`) errors of the network.
    Socket(usize, bool),
    /// The bell rings.
    Bell,
}

/// Waits for any of several sockets, and for a bell.
///
/// By `poll`, which leaves nothing behind at a socket while nobody waits: what `epoll` registers there is locked and
/// woken for every datagram that comes and for every one that has left.
pub struct Readiness {
    asked: Box<[libc::pollfd]>,
}

impl Readiness {
    /// Of these; both stay open for as long as it is used.
    #[must_use]
    pub fn new(sockets: &[OwnedFd], bell: &Bell) -> Self {
        let descriptors = sockets.iter().map(AsRawFd::as_raw_fd);
        let asked = descriptors
            .chain([bell.as_raw_fd()])
            .map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        Readiness { asked }
    }

    /// What is ready, once something is: the bell first, else the first socket that is, from `start` on.
    ///
    /// # Errors
    /// What `poll` says; a signal is no error.
    pub fn wait(&mut self, start: usize) -> io::Result<Ready> {
        let count = self.asked.len() as libc::nfds_t;
        loop {
            // SAFETY: looks at `count` structures, which is how many there are, and writes into them.
            if unsafe { libc::poll(self.asked.as_mut_ptr(), count, -1) } < 0 {
                match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error),
                }
            }
            let Some((bell, sockets)) = self.asked.split_last() else {
                continue;
            };
            if bell.revents != 0 {
                return Ok(Ready::Bell);
            }
            let places = (0..sockets.len()).map(|turn| (start + turn) % sockets.len());
            for place in places {
                let told = sockets[place].revents;
                if told != 0 {
                    return Ok(Ready::Socket(place, told & libc::POLLERR != 0));
                }
            }
        }
    }
}

/// The same socket under a number of its own, so that nobody closes it while it is used here.
///
/// # Errors
/// When there is no such descriptor, or none left.
pub fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only, and says so when there is no such descriptor.
    owned(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) })
}

/// Have a socket of IPv4 keep errors of the network, as the proxy's listeners do.
#[cfg(test)]
pub(crate) fn recording_errors(descriptor: RawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: reads one number.
    let done = unsafe {
        libc::setsockopt(
            descriptor,
            libc::SOL_IP,
            libc::IP_RECVERR,
            (&raw const on).cast(),
            length_of::<libc::c_int>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Do something that makes threads, none of which is to take a signal from the interpreter.
pub fn without_signals<T>(act: impl FnOnce() -> T) -> T {
    // SAFETY: all zero is a value of a signal set.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: both write to a signal set of ours; the mask is this thread's own.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    let result = act();
    // SAFETY: reads the signal set that was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

fn owned(descriptor: libc::c_int) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[allow(clippy::cast_possible_truncation)] // no structure of the kernel's has 4 GiB
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// What the kernel has written into a name.
fn address_of(name: &libc::sockaddr_storage, length: libc::socklen_t) -> Option<SocketAddr> {
    match name.ss_family {
        INET if length >= length_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says which structure the storage begins with, and it has room and alignment for each.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let host = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(
                host,
                u16::from_be(v4.sin_port),
            )))
        }
        INET6 if length >= length_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let host = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(
                host,
                u16::from_be(v6.sin6_port),
                0,
                0,
            ))) // as Python: no scope
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
