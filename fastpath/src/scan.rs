//! Which lines does a datagram have?  The split of `sip.message`, for datagrams in the usual form only: CRLF line ends, no
//! folds, no NUL, no lone CR or LF in the head, at most `MAX_LINES` fields, names that are tokens directly before a colon.

use crate::value::trim;

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
        /// The Request-URI as written and not read: only `value::parse_uri` tells whether it is one.
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
    /// What the start line says.
    pub start: Start<'m>,
    /// Where the CR of the start line stands.
    pub start_end: usize,
    /// The fields in their order.
    pub lines: &'s [Line],
    /// Where the body begins, behind the empty line.
    pub body: usize,
    /// The place in `lines` of the first field of each name.
    pub first: [Option<u8>; NAMES],
    /// Bit `name as u8` is set when the name stands more than once.
    pub repeated: u16,
}

impl<'m> Message<'m, '_> {
    /// The start line.
    #[must_use]
    pub fn start_line(&self) -> &'m [u8] {
        &self.data[..self.start_end]
    }

    /// One header field as it came, without its line end.
    #[must_use]
    pub fn line(&self, place: usize) -> &'m [u8] {
        let line = self.lines[place];
        &self.data[line.from as usize..line.to as usize]
    }

    /// What stands behind the colon of a field.
    #[must_use]
    pub fn raw_at(&self, place: usize) -> &'m [u8] {
        let line = self.lines[place];
        &self.data[line.colon as usize + 1..line.to as usize]
    }

    /// The place of the first field of a name.
    #[must_use]
    pub fn place(&self, name: Name) -> Option<usize> {
        self.first
            .get(name as usize)
            .copied()
            .flatten()
            .map(usize::from)
    }

    /// What stands behind the colon of the first field of a name.
    #[must_use]
    pub fn raw(&self, name: Name) -> Option<&'m [u8]> {
        self.place(name).map(|place| self.raw_at(place))
    }

    /// The same without the blanks round it.
    #[must_use]
    pub fn value(&self, name: Name) -> Option<&'m [u8]> {
        self.raw(name).map(trim)
    }

    /// Each field of a name: its place and what stands behind its colon.
    pub fn values(&self, name: Name) -> impl Iterator<Item = (usize, &'m [u8])> {
        let start = self.place(name).unwrap_or(self.lines.len());
        (start..self.lines.len())
            .filter(move |&place| self.lines[place].name == name)
            .map(|place| (place, self.raw_at(place)))
    }

    /// Whether a name stands more than once.
    #[must_use]
    pub fn is_repeated(&self, name: Name) -> bool {
        self.repeated & (1 << name as u16) != 0
    }

    /// Everything behind the empty line.
    #[must_use]
    pub fn body(&self) -> &'m [u8] {
        &self.data[self.body..]
    }
}

/// Split a datagram; `None` when it is not in the usual form.  `lines` is scratch space that is used again.
pub fn scan<'m, 's>(data: &'m [u8], lines: &'s mut Vec<Line>) -> Option<Message<'m, 's>> {
    todo!("{} {}", data.len(), lines.len())
}

/// The Call-ID of a datagram that could not be split, as well as it can be found: for the order among what is handed over.
#[must_use]
pub fn find_call_id(data: &[u8]) -> Option<&[u8]> {
    todo!("{}", data.len())
}
