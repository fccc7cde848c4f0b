"""Whom does From, To, Contact or Route name (RFC 3261 20.10 and 25.1: name-addr, addr-spec, parameters)?"""

from __future__ import annotations

import re

import attrs

from sip.errors import SipError
from sip.lists import PARAMS, QUOTED, TOKEN, read_params
from sip.message import unfold

# Without quotes a display name is tokens, says RFC 3261.  Phones write UTF-8, dots and brackets too, which everybody
# reads alike; not so the marks that part values, parameters and schemes (RFC 4475 3.1.2.15).
_DISPLAY = rb'[^",;:<>\\\x00-\x08\x0a-\x1f\x7f]*+'
_SCHEME = rb"[A-Za-z][A-Za-z0-9+.-]*+:"
_NAME_ADDR = re.compile(
    rb"(?:" + QUOTED + rb"[ \t]*+|" + _DISPLAY + rb")<[ \t]*+"  # blanks there: RFC 4475 3.1.2.14 lets us ignore them
    rb"(" + _SCHEME + rb'[^<>" \t\x00-\x1f\x7f]++)[ \t]*+>(' + PARAMS + rb")",
    re.DOTALL,
)
_ADDR_SPEC = re.compile(rb"(" + _SCHEME + rb'[^<>",;? \t\x00-\x1f\x7f]++)(' + PARAMS + rb")", re.DOTALL)
_COMMON = re.compile(
    rb'[ \t]*+(?:"[^"\\\x00-\x1f\x7f]*+"[ \t]*+|' + _DISPLAY + rb")<" + _SCHEME + rb'[^<>" \t\x00-\x1f\x7f]++>'
    rb"(?:;tag=(" + TOKEN + rb"))?[ \t]*+"
)


@attrs.frozen
class NameAddr:
    """An address with the parameters of its field; the display name stays where it is."""

    uri: bytes
    params: bytes

    def param(self, name: bytes) -> bytes | None:
        """A field parameter's value as written, b"" for a flag, None when absent; raises SipError."""
        return read_params(self.params).get(name)

    @property
    def tag(self) -> bytes:
        """The tag, b"" when there is none (RFC 2543 senders have none); raises SipError."""
        return self.param(b"tag") or b""


def parse_name_addr(text: bytes) -> NameAddr:
    """Parse one member of From, To, Contact, Route, Record-Route or Path, trimmed and unfolded; raises SipError.

    Without angle brackets the parameters belong to the field, not to the URI (RFC 3261 20.10).
    """
    match = _NAME_ADDR.fullmatch(text) or _ADDR_SPEC.fullmatch(text)
    if match is None:
        raise SipError("Malformed address")
    return NameAddr(match[1], match[2])


def tag_of(raw: bytes) -> bytes:
    """The tag of a From or To as it came, b"" when there is none; raises SipError when the field is malformed."""
    match = _COMMON.fullmatch(raw)
    if match is not None:
        return match[1] or b""
    return parse_name_addr(unfold(raw)).tag
