//! The common case of the packet path: well-formed UDP requests and replies, decided and passed on.
//!
//! Python is complete and authoritative.  What this crate decides it decides exactly as `dispatcher.route` does, byte for
//! byte; whatever it is not sure of it hands over.  What decides is pure: bytes and `now` in, values out.  Around it are the
//! threads (`engine`, `worker`), what they share with Python (`handover`, `ledger` and its tables), the system calls
//! (`socket`, `sending`) and the door to the interpreter (`python`).

#![deny(unsafe_code)] // but around system calls

pub mod address; // whom does From, To, Contact or Route name?
pub mod branch; // is this reply, this ACK, this Via ours?
pub mod calls; // how many calls does each destination have?
pub mod choice; // which destination takes a request that is dispatched?
pub mod counters; // how many datagrams came and went?
pub mod decide; // what becomes of a datagram?
pub mod edit; // which bytes leave?
pub mod eight; // which of eight bytes are what?
pub mod elapsed; // how long did a reply take?
pub mod engine; // the threads
pub mod grammar; // which bytes may stand where?
pub mod handover; // what waits for Python?
pub mod host; // which host does a text name?
pub mod image; // what does the packet path know?
pub mod keyed; // the keyed hash
pub mod ledger; // what is noted of the messages that go on?
pub mod limits; // may this source send another message?
pub mod lists; // how does a value fall into members and parameters?
pub mod mistake; // what did the mistake in this program say?
pub mod nat; // is the sender reached by its flow only?
pub mod nexthop; // where does a request go next?
pub mod outcome; // what can become of a datagram
pub mod passing; // what leaves when a request is passed on?
pub mod pipeline; // how do the threads decide?
pub mod places; // what stands for this host and port?
pub mod recent; // which destination did this call go to a moment ago?
pub mod reply; // which replies go on, and where to?
pub mod request; // what must be known of a request?
pub mod routeset; // what is left of the Route?
pub mod rules; // which set and which algorithm, by the rules?
pub mod scan; // which lines does a datagram have?
pub mod select; // which destination takes a new request?
pub mod sending; // what became of what was handed to the kernel?
pub mod sent; // was a destination really sent this request?
#[allow(unsafe_code)]
pub mod socket; // what has arrived, and what does the kernel take?
pub mod token; // whom does a dialog connect?
pub mod unanswered; // who takes requests and answers nothing?
pub mod value; // Via, URI, CSeq: what does one value say?
pub mod worker; // one thread
pub mod written; // how is an address or a number written?

#[cfg(feature = "python")]
#[allow(unsafe_code)] // of PyO3's macros
mod python; // the one door to the interpreter
