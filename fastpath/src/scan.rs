//! Which lines does a datagram have?  The split of `sip.message`, for datagrams in the usual form only: CRLF line ends, no
//! folds, no NUL, no lone CR or LF in the head, at most `MAX_LINES` fields, names that are tokens directly before a colon.

use memchr::{memchr, memchr_iter, memchr3};

use crate::grammar::{self, TOKEN};
use crate::lists::trim;

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

/// What an IP datagram can carry (`sip.limits`).
const MAX_MESSAGE_BYTES: usize = 65_535;

/// So long a head may have a field that is too long (`sip.limits.MAX_FIELD_BYTES`).
const MAX_HEAD_BYTES: usize = 16_384;

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
#[must_use]
#[allow(clippy::cast_possible_truncation)] // offsets are below MAX_HEAD_BYTES, places below MAX_LINES
pub fn scan<'m, 's>(data: &'m [u8], lines: &'s mut Vec<Line>) -> Option<Message<'m, 's>> {
    if data.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    lines.clear();
    let start_end = line_end(data, 0)?;
    let start = read_start(&data[..start_end])?;
    let mut first = [None; NAMES];
    let mut repeated = 0;
    let mut at = start_end + 2;
    loop {
        let line = data.get(at..)?;
        if let [b'\r', behind @ ..] = line {
            let is_usual =
                behind.first() == Some(&b'\n') && !lines.is_empty() && at <= MAX_HEAD_BYTES;
            return is_usual.then_some(Message {
                data,
                start,
                start_end,
                lines,
                body: at + 2,
                first,
                repeated,
            });
        }
        let length = grammar::span(line, TOKEN);
        if line.get(length) != Some(&b':') || lines.len() == MAX_LINES {
            return None;
        }
        let name = name_of(&line[..length])?;
        if let Some(place) = first.get_mut(name as usize) {
            if place.is_none() {
                *place = Some(lines.len() as u8);
            } else {
                repeated |= 1 << name as u16;
            }
        }
        let colon = at + length;
        let to = line_end(data, colon + 1)?;
        lines.push(Line {
            name,
            from: at as u32,
            colon: colon as u32,
            to: to as u32,
        });
        at = to + 2;
    }
}

/// Where the CR LF stands that ends the line; `None` when another control character that ends lines comes first, or a NUL.
#[inline]
fn line_end(data: &[u8], at: usize) -> Option<usize> {
    let end = at + memchr3(b'\r', b'\n', 0, data.get(at..)?)?;
    data[end..].starts_with(b"\r\n").then_some(end)
}

fn read_start(line: &[u8]) -> Option<Start<'_>> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let ([b'1'..=b'6', _, _], [] | [b' ', ..]) = rest.split_at_checked(3)? else {
            return None;
        };
        let status = u16::try_from(grammar::number(&rest[..3], 3)?).ok()?;
        return Some(Start::Reply { status });
    }
    let (method, rest) = line.split_at(grammar::span(line, TOKEN));
    let rest = rest.strip_prefix(b" ")?;
    let (uri, version) = rest.split_at(memchr(b' ', rest)?);
    (!method.is_empty() && !uri.is_empty() && version == b" SIP/2.0")
        .then_some(Start::Request { method, uri })
}

/// Which field is meant, in any case (`sip.names`); `None` when nothing is.
#[inline]
fn name_of(written: &[u8]) -> Option<Name> {
    let (long, name): (&[u8], Name) = match *written {
        [] => return None,
        [byte] => return Some(compact(byte)),
        [_, _] => (b"to", Name::To),
        [_, _, _] => (b"via", Name::Via),
        [b'f' | b'F', _, _, _] => (b"from", Name::From),
        [_, _, _, _] => (b"cseq", Name::CSeq),
        [_, _, _, _, _] => (b"route", Name::Route),
        [_, _, _, _, b'-', _, _] => (b"call-id", Name::CallId),
        [_, _, _, _, _, _, _] => (b"contact", Name::Contact),
        _ => match written.len() {
            9 => (b"supported", Name::Supported),
            11 => (b"retry-after", Name::RetryAfter),
            12 => (b"max-forwards", Name::MaxForwards),
            13 => (b"proxy-require", Name::ProxyRequire),
            14 => (b"content-length", Name::ContentLength),
            _ => return Some(Name::Other),
        },
    };
    Some(if written.eq_ignore_ascii_case(long) {
        name
    } else {
        Name::Other
    })
}

fn compact(byte: u8) -> Name {
    match byte.to_ascii_lowercase() {
        b'v' => Name::Via,
        b'f' => Name::From,
        b't' => Name::To,
        b'i' => Name::CallId,
        b'l' => Name::ContentLength,
        b'm' => Name::Contact,
        b'k' => Name::Supported,
        _ => Name::Other,
    }
}

/// The Call-ID of a datagram that could not be split, as well as it can be found: for the order among what is handed over.
#[must_use]
pub fn find_call_id(data: &[u8]) -> Option<&[u8]> {
    memchr_iter(b'\n', data).find_map(|end| {
        let line = &data[end + 1..];
        let length = grammar::span(line, TOKEN);
        if length == 0 || name_of(&line[..length]) != Some(Name::CallId) {
            return None;
        }
        let value = trim(&line[length..]).strip_prefix(b":")?;
        let value = &value[..value
            .iter()
            .position(|byte| b"\r\n".contains(byte))
            .unwrap_or(value.len())];
        Some(trim(value)).filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests;
