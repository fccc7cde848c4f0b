//! What can become of a datagram: the twin of `dispatcher.outcome`.

use std::net::SocketAddr;

/// Why a datagram ends here.  Only the reasons that this crate is ever sure of; the labels are Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DropReason {
    Keepalive,
    Stun,
    Malformed,
    MalformedReply,
    ReplyForged,
    ReplyToUs,
    AckToOurAnswer,
    NoReplyAddress,
    /// The source has used up its share (`[proxy.limits]`).
    Limited,
    /// The source is banned.
    Banned,
}

/// How far a call has come (`dispatcher.callfact.CallStep`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CallStep {
    Begin,
    Answered,
    Going,
    Challenged,
    Failed,
    End,
}

/// What a message tells about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFact {
    /// 64-bit keyed hash of the Call-ID.
    pub key: u64,
    /// The step.
    pub step: CallStep,
}

/// A message that goes on.  Its bytes are in the output buffer that was handed to `decide`.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<'m> {
    /// Where it goes.
    pub address: SocketAddr,
    /// By which listener: its place in the image.
    pub listener: usize,
    /// The place of the destination that it goes to or, a reply, comes from.
    pub destination: Option<usize>,
    /// The key under which the choice is remembered.
    pub remember: Option<u64>,
    /// Of a reply, 0 for a request.
    pub status: u16,
    /// Of a request; of a reply that of its `CSeq`.
    pub method: &'m [u8],
    /// What it tells about its call.
    pub call: Option<CallFact>,
    /// Seconds between the request's leaving and this reply.
    pub elapsed: Option<f64>,
    /// Seconds for which a 503 asks to be left alone.
    pub retry_after: Option<u32>,
    /// The hash in the branch of our Via: of a request the one written, of a reply the one verified.
    pub branch: u64,
}

/// What becomes of a datagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<'m> {
    /// Python decides; with the Call-ID's hash (`keyed::order_hash`), 0 when it has none that was read.
    HandOver(u64),
    /// Nothing is sent.
    Drop(DropReason),
    /// The output buffer leaves.
    Forward(Forward<'m>),
}
