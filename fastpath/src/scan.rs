//! Which lines does a datagram have?  The split of `sip.message`, for datagrams in the usual form only: CRLF line ends, no
//! folds, no NUL, no lone CR or LF in the head, at most `MAX_LINES` fields, names that are tokens directly before a colon.

use memchr::{memchr, memchr_iter, memchr2};

use crate::eight::{are_words, bits_below, position, words_at};
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

/// Where the names stand that the packet path looks at: bit `name as u8` of each mask is of that name.
#[derive(Clone, Copy, Debug, Default)]
struct Names {
    /// The place of the first field of each.
    first: [u8; 16],
    seen: u16,
    repeated: u16,
}

impl Names {
    /// Note a field, without a branch that would hang on its name.
    #[inline]
    fn note(&mut self, name: Name, place: u8) {
        let bit = 1 << name as u16;
        let first = &mut self.first[name as usize];
        *first = if self.seen & bit == 0 { place } else { *first };
        self.repeated |= self.seen & bit;
        self.seen |= bit;
    }
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
    names: Names,
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

    /// The place of the first field of a name; `None` for `Other`, which is not one name.
    #[must_use]
    pub fn place(&self, name: Name) -> Option<usize> {
        let is_there = name != Name::Other && self.names.seen & 1 << name as u16 != 0;
        is_there.then(|| usize::from(self.names.first[name as usize]))
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
        name != Name::Other && self.names.repeated & 1 << name as u16 != 0
    }

    /// Whether one of these names stands more than once: bit `name as u8` of the mask is of that name.
    #[must_use]
    #[inline]
    pub fn is_any_repeated(&self, mask: u16) -> bool {
        self.names.repeated & mask != 0
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
    let mut ends = Ends::new(data);
    let start_end = ends.next()?;
    let start = read_start(&data[..start_end])?;
    let mut names = Names::default();
    let mut at = start_end + 2;
    loop {
        let to = ends.next()?;
        if to == at {
            let is_usual = !lines.is_empty() && at <= MAX_HEAD_BYTES;
            return is_usual.then_some(Message {
                data,
                start,
                start_end,
                lines,
                body: at + 2,
                names,
            });
        }
        let line = data.get(at..to)?;
        let (name, length) = usual_name(line).or_else(|| read_name(data, line, at))?;
        if lines.len() == MAX_LINES {
            return None;
        }
        if name != Name::Other {
            names.note(name, lines.len() as u8);
        }
        lines.push(Line {
            name,
            from: at as u32,
            colon: (at + length) as u32,
            to: to as u32,
        });
        at = to + 2;
    }
}

/// Below it are NUL, CR and LF, and hardly anything that is seen in a message.
const CONTROLS: u8 = 14;

/// The line ends of a datagram, one after the other: each the place of a CR before an LF.
struct Ends<'m> {
    data: &'m [u8],
    /// Where the block begins that is looked at.
    at: usize,
    /// The control characters in it that are still to come.
    controls: u64,
    /// The lowest bit, when an LF stands there whose CR ends the block before.
    seen: u64,
}

impl<'m> Ends<'m> {
    fn new(data: &'m [u8]) -> Self {
        Ends {
            data,
            at: 0,
            controls: bits_below(data, 0, CONTROLS),
            seen: 0,
        }
    }

    /// The next one; `None` when a NUL, a lone CR or LF or the end of the datagram comes first.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        loop {
            while self.controls == 0 {
                self.at += 64;
                if self.at >= self.data.len() {
                    return None;
                }
                self.controls = bits_below(self.data, self.at, CONTROLS) & !self.seen;
                self.seen = 0;
            }
            let place = self.controls.trailing_zeros() as usize;
            self.controls &= self.controls - 1;
            let end = self.at + place;
            if self.data.get(end..end + 2) == Some(b"\r\n") {
                self.controls &= self.controls.wrapping_sub(1); // the LF has a bit too
                self.seen = u64::from(place == 63);
                return Some(end);
            }
            if matches!(*self.data.get(end)?, b'\r' | b'\n' | 0) {
                return None;
            }
        }
    }
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

/// The name that a line begins with and its length; `None` when it is no token or no colon follows.
#[inline]
fn read_name(data: &[u8], line: &[u8], at: usize) -> Option<(Name, usize)> {
    let words = words_at(data, at);
    let length = position(words, b':');
    let name = name_of(words, length, *line.get(length.checked_sub(1)?)?);
    if name != Name::Other {
        return Some((name, length));
    }
    let is_word = length < 16 && are_words(words, length);
    let length = if is_word {
        length
    } else {
        grammar::span(line, TOKEN)
    };
    (length > 0 && line.get(length) == Some(&b':')).then_some((name, length))
}

/// The same for what nearly everybody writes, by as many comparisons of a whole word as names have a first letter.
#[inline]
fn usual_name(line: &[u8]) -> Option<(Name, usize)> {
    let (name, length) = match line.first()? {
        b'A' if line.starts_with(b"Allow:") => (Name::Other, 5),
        b'C' if line.starts_with(b"Call-ID:") => (Name::CallId, 7),
        b'C' if line.starts_with(b"CSeq:") => (Name::CSeq, 4),
        b'C' if line.starts_with(b"Contact:") => (Name::Contact, 7),
        b'C' if line.starts_with(b"Content-Length:") => (Name::ContentLength, 14),
        b'C' if line.starts_with(b"Content-Type:") => (Name::Other, 12),
        b'F' if line.starts_with(b"From:") => (Name::From, 4),
        b'M' if line.starts_with(b"Max-Forwards:") => (Name::MaxForwards, 12),
        b'R' if line.starts_with(b"Record-Route:") => (Name::Other, 12),
        b'R' if line.starts_with(b"Route:") => (Name::Route, 5),
        b'S' if line.starts_with(b"Server:") => (Name::Other, 6),
        b'S' if line.starts_with(b"Supported:") => (Name::Supported, 9),
        b'T' if line.starts_with(b"To:") => (Name::To, 2),
        b'U' if line.starts_with(b"User-Agent:") => (Name::Other, 10),
        b'V' if line.starts_with(b"Via:") => (Name::Via, 3),
        _ => return None,
    };
    Some((name, length))
}

/// A name that the packet path looks at: its length, its letters in lower case and, for each, all bits.
#[derive(Clone, Copy)]
struct Known {
    length: usize,
    text: [u64; 2],
    mask: [u64; 2],
    name: Name,
}

/// How many slots the table of names has.
const SLOTS: usize = 64;

/// With it no two names have one slot.
const MULTIPLIER: usize = 28;

/// Each name in the slot of its length and its last letter.
static KNOWN: [Known; SLOTS] = known();

const fn slot(length: usize, last: u8) -> usize {
    (length * MULTIPLIER + (last | 0x20) as usize) % SLOTS
}

const fn known() -> [Known; SLOTS] {
    let names: [(&[u8], Name); 19] = [
        (b"via", Name::Via),
        (b"from", Name::From),
        (b"to", Name::To),
        (b"call-id", Name::CallId),
        (b"cseq", Name::CSeq),
        (b"max-forwards", Name::MaxForwards),
        (b"content-length", Name::ContentLength),
        (b"route", Name::Route),
        (b"contact", Name::Contact),
        (b"supported", Name::Supported),
        (b"proxy-require", Name::ProxyRequire),
        (b"retry-after", Name::RetryAfter),
        (b"v", Name::Via),
        (b"f", Name::From),
        (b"t", Name::To),
        (b"i", Name::CallId),
        (b"l", Name::ContentLength),
        (b"m", Name::Contact),
        (b"k", Name::Supported),
    ];
    let nobody = Known {
        length: 0,
        text: [0; 2],
        mask: [0; 2],
        name: Name::Other,
    };
    let mut table = [nobody; SLOTS];
    let mut place = 0;
    while place < names.len() {
        let (text, name) = names[place];
        let mut entry = Known {
            length: text.len(),
            name,
            ..nobody
        };
        let mut at = 0;
        while at < text.len() {
            entry.text[at / 8] |= (text[at] as u64) << (at % 8 * 8);
            entry.mask[at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        let slot = slot(text.len(), text[text.len() - 1]);
        assert!(table[slot].length == 0, "two names in one slot");
        table[slot] = entry;
        place += 1;
    }
    table
}

/// Which field is meant by a name, in any case (`sip.names`), by its first bytes, its length and its last letter.
#[inline]
fn name_of(words: [u64; 2], length: usize, last: u8) -> Name {
    /// What letters in capitals lack.  Beside them only a CR becomes what is in a name, and none stands in a line.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let known = &KNOWN[slot(length, last)];
    let differs = |place: usize| ((words[place] | SMALL) & known.mask[place]) ^ known.text[place];
    if known.length == length && differs(0) | differs(1) == 0 {
        known.name
    } else {
        Name::Other
    }
}

/// The Call-ID of a datagram that could not be split, as well as it can be found: for the order among what is handed over.
#[must_use]
pub fn find_call_id(data: &[u8]) -> Option<&[u8]> {
    memchr_iter(b'\n', data).find_map(|end| {
        let rest = &data[end + 1..];
        let line = &rest[..memchr2(b'\r', b'\n', rest).unwrap_or(rest.len())];
        let (name, value) = line.split_at(grammar::span(line, TOKEN));
        if !matches!(name, [b'i' | b'I']) && !name.eq_ignore_ascii_case(b"call-id") {
            return None;
        }
        let value = trim(trim(value).strip_prefix(b":")?);
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests;
