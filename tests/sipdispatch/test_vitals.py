"""What is probed of a destination, and what the board says to those who choose."""

import pytest

from dispatcher.destination import DISABLED, NO_PING, Destination
from dispatcher.listfile import parse_list
from health.board import Board, Standing, State, Verdict, Word
from sipdispatch.config import Health
from sipdispatch.vitals import avoided_of, states_of, target_of


def destination(line: str, host: str = "192.0.2.11") -> Destination:
    entries, problems = parse_list(line.encode(), "list")
    assert len(entries) == 1, problems
    return Destination(entry=entries[0], address=(host, 5060))


def test_what_a_line_does_not_say_is_of_the_section() -> None:
    health = Health(interval=3.0, timeout=0.3, rise=4, fall=5, reply_codes=frozenset((404,)), from_uri="sip:me@edge")
    target = target_of(7, destination("1 sip:pbx.example:5062 0 0"), health)
    assert (target.number, target.uri, target.address) == (7, "sip:pbx.example:5062", ("192.0.2.11", 5060))
    assert (target.interval, target.timeout, target.rise, target.fall) == (3.0, 0.3, 4, 5)
    assert (target.reply_codes, target.from_uri) == (frozenset((404,)), "sip:me@edge")
    assert target.probed


def test_a_line_has_the_last_word_about_its_probes() -> None:
    line = (
        '1 sip:192.0.2.11 0 0 probe_interval=5s;probe_timeout=1s;rise=3;fall=1;reply_codes="code=404";'
        "ping_from=sip:probe@edge.example.com"
    )
    target = target_of(7, destination(line), Health(interval=3.0, from_uri="sip:me@edge"))
    assert (target.interval, target.timeout, target.rise, target.fall) == (5.0, 1.0, 3, 1)
    assert target.from_uri == "sip:probe@edge.example.com"
    assert target.is_good(404)
    assert not target.is_good(401)


@pytest.mark.parametrize(
    ("flags", "enabled", "probed"), [(0, True, True), (NO_PING, True, False), (0, False, False), (DISABLED, True, True)]
)
def test_who_is_probed(flags: int, enabled: bool, probed: bool) -> None:  # noqa: FBT001 - a table
    target = target_of(7, destination(f"1 sip:192.0.2.11 {flags} 0"), Health(enabled=enabled))
    assert target.probed is probed
    assert (target.listed.word is Word.DISABLED) == bool(flags & DISABLED)


def test_probes_leave_from_the_address_of_their_family() -> None:
    health = Health(source=("2001:db8::1", "192.0.2.1"))
    assert target_of(7, destination("1 sip:192.0.2.11 0 0"), health).source == ("192.0.2.1", 0)
    assert target_of(7, destination("1 sip:pbx.example 0 0", "2001:db8::11"), health).source == ("2001:db8::1", 0)
    assert target_of(7, destination("1 sip:pbx.example 0 0"), Health(source=("2001:db8::1",))).source is None


def test_a_from_that_cannot_be_one_leaves_our_own() -> None:
    target = target_of(7, destination("1 sip:192.0.2.11 0 0"), Health(from_uri="sip:me@edge?Subject=x"))
    assert target.from_uri == "sip:sipdispatch@invalid"


def test_the_board_tells_states_and_avoidances() -> None:
    up = Standing(
        state=State(),
        since=0.0,
        cause="",
        rtt=None,
        latency=None,
        probes=0,
        failures=0,
        avoided_until=0.0,
        back_since=None,
        last_status=0,
    )
    board = Board(
        {
            1: up,
            2: Standing(State(Word.DRAINING, Verdict.DOWN), 0.0, "", None, None, 0, 0, 9.0, None, 0),
        }
    )
    assert states_of(board) == {1: State(), 2: State(Word.DRAINING, Verdict.DOWN)}
    assert avoided_of(board) == {2}
