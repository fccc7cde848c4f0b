//! Which lines does a datagram have?  The split of `sip.message`, for datagrams in the usual form only: CRLF line ends, no
//! folds, no NUL, no lone CR or LF in the head, at most `MAX_LINES` fields, names that are tokens directly before a colon.

/// The fields that the packet path looks at; every other one is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Name {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    ContentLength,
    Route,
    Contact,
    Supported,
    ProxyRequire,
    RetryAfter,
    Other,
}

/// How many names there are beside `Other`.
pub const NAMES: usize = Name::Other as usize;

/// More than this many fields are unusual.
pub const MAX_LINES: usize = 64;

/// One header field: offsets into the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: Name,
    /// Where it begins.
    pub from: u32,
    /// Where its colon stands.
    pub colon: u32,
    /// Where its CR stands.
    pub to: u32,
}

/// The start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'m> {
    /// `METHOD uri SIP/2.0`.
    Request {
        /// A token.
        method: &'m [u8],
        /// The Request-URI as written.
        uri: &'m [u8],
    },
    /// `SIP/2.0 status phrase`.
    Reply {
        /// 100 to 699.
        status: u16,
    },
}

/// A datagram that has been split, not read.
#[derive(Debug)]
pub struct Message<'m, 's> {
    /// All of it.
    pub data: &'m [u8],
    /// The start line; it ends where the first field begins, less CRLF.
    pub start: Start<'m>,
    /// The fields in their order.
    pub lines: &'s [Line],
    /// Where the body begins, behind the empty line.
    pub body: usize,
    /// The place in `lines` of the first field of each name.
    pub first: [Option<u8>; NAMES],
    /// Bit `name as u8` is set when the name stands more than once.
    pub repeated: u16,
}

/// Split a datagram; `None` when it is not in the usual form.  `lines` is scratch space that is used again.
pub fn scan<'m, 's>(data: &'m [u8], lines: &'s mut Vec<Line>) -> Option<Message<'m, 's>> {
    todo!("{} {}", data.len(), lines.len())
}
