//! Which destination of a set takes a new request (`dispatcher.selection`), and on what does the choice hang
//! (`dispatcher.choice`)?

use crate::image::{Image, Way};
use crate::keyed::Key;
use crate::value::Uri;

/// The place of the destination that has new work with this key: `digest` is `call_digest` for `Kind::CallId`,
/// `aor_digest` for the other kinds and for every REGISTER.
///
/// `None`: Python chooses, because the slot's known places do not tell, nobody is usable, there is no such set, or the
/// kind is `Kind::Other`.  `register` is for a REGISTER, which is always keyed.
#[must_use]
pub fn choose(image: &Image, way: &Way, digest: u64, register: bool) -> Option<usize> {
    todo!("{} {way:?} {digest} {register}", image.version)
}

/// The digest of the address of record in a URI: what `aor`, `from`, `to`, `request-uri` and a REGISTER are keyed on.
///
/// `with_domain` is `Fixed::aor_domain` for `Kind::Aor` and for a REGISTER (both read To or the Request-URI), true for
/// the others.
#[must_use]
pub fn aor_digest(key: &Key, uri: &Uri<'_>, with_domain: bool) -> u64 {
    todo!("{key:?} {uri:?} {with_domain}")
}
