//! How does one value fall into list members and parameters?  The split of `sip.lists`, without its folds.

use memchr::{memchr, memchr2, memchr3};

use crate::grammar::{self, Class};

/// Who writes more parameters in one value is read by Python.
const MAX_PARAMS: usize = 16;

/// Who writes more members in one field is read by Python.
const MAX_MEMBERS: usize = 32;

/// A value without the blanks round it (`sip.message.unfold`, where there are no folds).
#[must_use]
#[inline]
pub fn trim(raw: &[u8]) -> &[u8] {
    let mut text = raw;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Where the quoted string at the beginning of a text ends: behind its closing quote (`sip.lists.QUOTED`).
#[must_use]
#[inline]
pub fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2; // a quoted pair is any byte behind a backslash
    }
}

/// Where the first member of a list ends: before a comma that is neither in quotes nor in angle brackets, or with the
/// text.  `None` when quotes or brackets stay open.
#[inline]
fn member_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = memchr3(b',', b'<', b'"', &text[at..]) {
        at += found;
        match text[at] {
            b',' => return Some(at),
            b'"' => at += quoted_end(&text[at..])?,
            _ => at += memchr(b'>', &text[at..])? + 1,
        }
    }
    Some(text.len())
}

/// The members of a list field as written, blanks included; made by `members`.
#[derive(Clone, Debug)]
pub struct Members<'m> {
    rest: Option<&'m [u8]>,
    /// Where the next one ends.
    end: usize,
}

impl<'m> Iterator for Members<'m> {
    type Item = &'m [u8];

    #[inline]
    fn next(&mut self) -> Option<&'m [u8]> {
        let (member, behind) = self.rest?.split_at(self.end);
        self.rest = behind.split_first().map(|(_, rest)| rest);
        self.end = self.rest.map_or(Some(0), member_end)?;
        Some(member)
    }
}

/// The members of a list field (`sip.lists.split_members`); `None` when quotes or an angle bracket stay open, or when
/// there are more than 32.  Who reads several fields counts them all (`sip.limits`).
#[must_use]
#[inline]
pub fn members(raw: &[u8]) -> Option<Members<'_>> {
    let first = member_end(raw)?;
    let mut end = first;
    for _ in 0..MAX_MEMBERS {
        let Some(rest) = raw.get(end + 1..) else {
            return Some(Members {
                rest: Some(raw),
                end: first,
            });
        };
        end += 1 + member_end(rest)?;
    }
    None
}

/// A parameter's name, its value if there is an equals sign, and what follows.
type Split<'m> = (&'m [u8], Option<&'m [u8]>, &'m [u8]);

/// Which bytes a value's parameters are made of.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Of their names.
    pub name: Class,
    /// Of their values, if these are not in quotes.
    pub value: Class,
    /// Whether values may be in quotes.
    pub quotes: bool,
}

impl Params {
    /// Show each parameter's name and value, `None` when there is no equals sign, quotes included.
    ///
    /// `None` when a byte stands where it may not, when a name stands twice (in any case), when there are more than 16,
    /// or when `read` says so.  The text begins with a semicolon or is empty.
    #[inline]
    pub fn each<'m>(
        self,
        text: &'m [u8],
        mut read: impl FnMut(&'m [u8], Option<&'m [u8]>) -> Option<()>,
    ) -> Option<()> {
        let mut seen = 0;
        let mut count = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (name, value, behind) = self.split(rest)?;
            // Names that share length and first letter share a bit: only then is there something to compare.
            let bit = 1_u64 << ((name.len() * 8 + usize::from(name[0] & 0x1f)) % 64);
            if count == MAX_PARAMS || seen & bit != 0 && self.has(text, name, count) {
                return None;
            }
            seen |= bit;
            count += 1;
            rest = behind;
            read(name, value)?;
        }
        Some(())
    }

    /// Split the first parameter off.
    #[inline]
    fn split(self, text: &[u8]) -> Option<Split<'_>> {
        let behind = text.strip_prefix(b";")?;
        let (name, behind) = behind.split_at(grammar::span(behind, self.name));
        if name.is_empty() {
            return None;
        }
        let Some(behind) = behind.strip_prefix(b"=") else {
            return Some((name, None, behind));
        };
        let (value, rest) = behind.split_at(self.value_end(behind)?);
        Some((name, Some(value), rest))
    }

    /// Whether one of the first `count` parameters has this name, in any case.
    #[cold]
    fn has(self, text: &[u8], name: &[u8], count: usize) -> bool {
        let mut rest = text;
        for _ in 0..count {
            let Some((own, _, behind)) = self.split(rest) else {
                return true;
            };
            if own.eq_ignore_ascii_case(name) {
                return true;
            }
            rest = behind;
        }
        false
    }

    #[inline]
    fn value_end(self, text: &[u8]) -> Option<usize> {
        if self.quotes && text.first() == Some(&b'"') {
            return quoted_end(text);
        }
        Some(grammar::long_span(text, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{TOKEN, VALUE};

    fn split(raw: &str) -> Option<Vec<&str>> {
        members(raw.as_bytes()).map(|found| {
            found
                .map(|member| str::from_utf8(member).unwrap())
                .collect()
        })
    }

    #[test]
    fn blanks_round_a_value_do_not_count() {
        for (raw, text) in [
            (" \t a b \t", "a b"),
            ("", ""),
            (" ", ""),
            ("\t", ""),
            ("a", "a"),
        ] {
            assert_eq!(trim(raw.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn the_members_joined_again_are_the_value() {
        for (raw, count) in [
            ("", 1),
            ("a", 1),
            (" a , b", 2),
            (",", 2),
            ("a,,b", 3),
            ("<a,b>,c", 2),
            ("\"a,b\",c", 2),
            ("\"a\\\",b\" <c,d>;e=\"f,\",g", 2),
            ("<\",>,a", 2),
            ("a>,b", 2),
        ] {
            let found = split(raw).unwrap();
            assert_eq!((found.len(), found.join(",").as_str()), (count, raw));
        }
    }

    #[test]
    fn what_stays_open_is_no_list() {
        for raw in [
            "\"a",
            "<a",
            "a,\"b",
            "a,<b",
            "\"a\\",
            "\"a\\\"",
            "a,\"b\"c\"",
        ] {
            assert_eq!(split(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_list_has_an_end() {
        assert_eq!(
            split(&"a,".repeat(MAX_MEMBERS - 1)).unwrap().len(),
            MAX_MEMBERS
        );
        assert_eq!(split(&"a,".repeat(MAX_MEMBERS)), None);
    }

    fn read(text: &str, quotes: bool) -> Option<Vec<(&str, Option<&str>)>> {
        let mut found = Vec::new();
        Params {
            name: TOKEN,
            value: VALUE,
            quotes,
        }
        .each(text.as_bytes(), |name, value| {
            found.push((
                str::from_utf8(name).unwrap(),
                value.map(|value| str::from_utf8(value).unwrap()),
            ));
            Some(())
        })?;
        Some(found)
    }

    #[test]
    fn parameters_in_their_order() {
        assert_eq!(read("", true), Some(vec![]));
        assert_eq!(
            read(";a;b=;c=d=e", true),
            Some(vec![("a", None), ("b", Some("")), ("c", Some("d=e"))])
        );
        assert_eq!(
            read(";a=\";b\\\"\";c", true),
            Some(vec![("a", Some("\";b\\\"\"")), ("c", None)])
        );
    }

    #[test]
    fn what_are_no_parameters() {
        for text in [
            "a",
            ";",
            ";a;",
            ";=a",
            ";a;a",
            ";a=1;A=2",
            "; a",
            ";a =b",
            ";a= b",
            ";a,b",
            ";a=\"b",
            ";a=\"b\"c",
        ] {
            assert_eq!(read(text, true), None, "{text}");
        }
        assert_eq!(read(";a=\"b\"", false), None);
        let params = Params {
            name: TOKEN,
            value: VALUE,
            quotes: true,
        };
        assert_eq!(params.each(b";a", |_, _| None), None);
    }
}
