"""Is an ICMP error known by the branch that it quotes, and forgotten in bounded room?"""

import pytest

from dispatcher.sent import KEPT, SentBranches
from tests.dispatcher.both import both as both_of

SERVER = ("10.0.0.11", 5060)
OTHER = ("10.0.0.12", 5060)
both = both_of(SentBranches)
FORGED = b"f" * 16


def sent(number: int, uri: bytes = b"sip:a@example.com") -> bytes:
    return (
        b"INVITE %b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%016x;rport;l=00000000\r\n" % (uri, number)
        + b"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKphone0123456789\r\n\r\n"
    )


@both
def test_a_quote_as_far_as_the_branch_is_enough(table: type[SentBranches]) -> None:
    branches = table()
    branches.remember(SERVER, sent(1))
    end = sent(1).index(b";rport")
    assert branches.was_sent(SERVER, sent(1))
    assert branches.was_sent(SERVER, sent(1)[:end])
    assert not branches.was_sent(SERVER, sent(1)[: end - 1])
    assert not branches.was_sent(SERVER, sent(1)[:8])
    assert not branches.was_sent(SERVER, b"")


@both
def test_another_branch_or_another_address_is_no_proof(table: type[SentBranches]) -> None:
    branches = table()
    branches.remember(SERVER, sent(1))
    assert not branches.was_sent(SERVER, sent(2))
    assert not branches.was_sent(OTHER, sent(1))


@both
@pytest.mark.parametrize("uri", [b"sip:z9hG4bK%b@example.com" % FORGED, b"sip:a;branch=z9hG4bK%b@example.com" % FORGED])
def test_what_the_sender_wrote_into_the_request_uri_is_no_proof(table: type[SentBranches], uri: bytes) -> None:
    branches = table()
    branches.remember(SERVER, sent(1, uri))
    assert branches.was_sent(SERVER, sent(1))
    start_line = sent(1, uri).partition(b"\n")[0]
    for quoted in (start_line, start_line + b"\n", sent(1, uri).replace(b"%016x" % 1, b"%016x" % 2)):
        assert not branches.was_sent(SERVER, quoted)


@both
def test_a_reply_is_known_by_the_branch_that_it_shows_again(table: type[SentBranches]) -> None:
    branches = table()
    branches.remember(SERVER, sent(1))
    assert branches.went(SERVER, b"%016x" % 1)
    assert not branches.went(OTHER, b"%016x" % 1)
    assert not branches.went(SERVER, b"%016x" % 2)


@both
def test_a_request_that_is_sent_elsewhere_counts_there(table: type[SentBranches]) -> None:
    branches = table()
    branches.remember(SERVER, sent(1))
    branches.remember(OTHER, sent(1))
    assert not branches.was_sent(SERVER, sent(1))
    assert branches.was_sent(OTHER, sent(1))


@both
def test_so_many_later_requests_are_kept_and_no_more_than_twice_as_many(table: type[SentBranches]) -> None:
    branches = table(kept=3)
    for number in range(3):
        branches.remember(SERVER, sent(number))
    for number in range(3, 6):
        branches.remember(SERVER, sent(number))
        assert branches.was_sent(SERVER, sent(number - 3))
    branches.remember(SERVER, sent(6))
    assert [branches.was_sent(SERVER, sent(number)) for number in range(7)] == [False] * 3 + [True] * 4
    assert KEPT > 3 * 2000, "a host that is gone is told of after 3 s"
