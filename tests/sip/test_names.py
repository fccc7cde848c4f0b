"""Is each field known whatever form and case its name is written in (RFC 3261 7.3.3)?"""

from __future__ import annotations

import pytest

from sip.errors import SipError
from sip.message import Message
from sip.names import COMPACT, KNOWN, canonical
from tests.sip.samples import datagram

# The registry of IANA, typed from there and not from the module under test.
REGISTERED = """
a Accept-Contact, b Referred-By, c Content-Type, d Request-Disposition, e Content-Encoding, f From, i Call-ID,
j Reject-Contact, k Supported, l Content-Length, m Contact, n Identity-Info, o Event, r Refer-To, s Subject, t To,
u Allow-Events, v Via, x Session-Expires, y Identity
"""


@pytest.mark.parametrize("pair", REGISTERED.replace("\n", " ").strip().split(", "))
def test_a_compact_form_means_the_long_one(pair: str) -> None:
    short, name = pair.strip().split(" ")
    written = datagram(
        change=dict.fromkeys((b"From", b"Call-ID", b"To", b"Via"), None), extra=(short.encode() + b":x",)
    )
    message = Message.parse(written)
    assert message.names[-1] == name.lower().encode()
    assert message.value(name.lower().encode()) == b"x"
    assert message.to_bytes() == written


def test_there_are_no_other_compact_forms() -> None:
    assert len(COMPACT) == len(REGISTERED.split(","))


@pytest.mark.parametrize("written", [b"Via", b"VIA", b"via", b"vIa", b"V", b"v", b"Via ", b"Via\t ", b"v  "])
def test_case_and_blanks_before_the_colon_do_not_count(written: bytes) -> None:
    message = Message.parse(b"OPTIONS sip:a SIP/2.0\r\n" + written + b": x\r\n\r\n")
    assert message.names == [b"via"]
    assert message.value(b"via") == b"x"


def test_an_unknown_name_is_kept_in_lower_case() -> None:
    assert canonical(b"extensionHeader-!.%*+_`'~", b"extensionHeader-!.%*+_`'~:") == b"extensionheader-!.%*+_`'~"
    assert canonical(b"Z", b"Z:") == b"z"


@pytest.mark.parametrize(
    "written", [b"", b" ", b"Vi a", b" Via", b"Via\x0b", b"Vi\xc3\xa4", b"Via;", b"(Via)", b'"Via"']
)
def test_what_is_no_token_is_no_name(written: bytes) -> None:
    with pytest.raises(SipError, match="Malformed header field name"):
        canonical(written, written + b": x")


def test_the_names_known_are_spellings_of_themselves() -> None:
    for written, name in KNOWN.items():
        assert written.lower() in (name, *COMPACT)
