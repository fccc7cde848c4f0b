//! The common case of the packet path: well-formed UDP requests and replies, decided and passed on.
//!
//! Python is complete and authoritative.  What this crate decides it decides exactly as `dispatcher.route` does, byte for
//! byte; whatever it is not sure of it hands over.  Everything but `socket` and `python` is pure: bytes and `now` in,
//! values out.

pub mod address; // whom does From, To, Contact or Route name?
pub mod branch; // is this reply, this ACK, this Via ours?
pub mod choice; // which destination takes a request that is dispatched?
pub mod decide; // what becomes of a datagram?
pub mod edit; // which bytes leave?
pub mod elapsed; // how long did a reply take?
pub mod grammar; // which bytes may stand where?
pub mod host; // which host does a text name?
pub mod image; // what does the packet path know?
pub mod keyed; // the keyed hash
pub mod lists; // how does a value fall into members and parameters?
pub mod nat; // is the sender reached by its flow only?
pub mod nexthop; // where does a request go next?
pub mod outcome; // what can become of a datagram
pub mod passing; // what leaves when a request is passed on?
pub mod places; // what stands for this host and port?
pub mod recent; // which destination did this call go to a moment ago?
pub mod reply; // which replies go on, and where to?
pub mod request; // what must be known of a request?
pub mod routeset; // what is left of the Route?
pub mod rules; // which set and which algorithm, by the rules?
pub mod scan; // which lines does a datagram have?
pub mod select; // which destination takes a new request?
pub mod token; // whom does a dialog connect?
pub mod value; // Via, URI, CSeq: what does one value say?
pub mod written; // how is an address or a number written?

#[cfg(feature = "python")]
mod python; // the one door to the interpreter
