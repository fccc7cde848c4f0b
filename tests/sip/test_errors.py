"""Does an error say what is wrong, and with which code it is answered?"""

from __future__ import annotations

from sip.errors import SipError


def test_an_error_is_400_unless_it_says_otherwise() -> None:
    error = SipError("Malformed Via")
    assert (error.reason, error.status, str(error)) == ("Malformed Via", 400, "Malformed Via")
    assert SipError("Version Not Supported", 505).status == 505
