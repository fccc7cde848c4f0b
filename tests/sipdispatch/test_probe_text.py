"""People see one line a probe, packets when they ask for them, and nothing that their terminal would obey."""

from __future__ import annotations

import attrs

from health.options import Answer, Mismatch, Stray
from health.probe import Packet
from sip.message import Message
from sipdispatch.probe_limits import Thresholds
from sipdispatch.probe_run import Outcome
from sipdispatch.probe_text import People, line, message_text, packet_text, statistics
from tests.sipdispatch.probe_reports import BUSY, GOOD, LOST, NAMELESS, OTHER, tally

PLACE = ("192.0.2.1", 5060)


def test_a_line_for_each_way_to_end() -> None:
    assert line(GOOD) == '200 OK  from=192.0.2.1:5060 seq=1 rtt=0.84 ms server="small"'
    assert line(BUSY).endswith('seq=3 rtt=0.91 ms server="small"  NOT OK')
    assert line(OTHER).endswith('server="small"  NO MATCH')
    assert line(LOST) == ("timeout  to=192.0.2.1:5060 seq=2 after 2000 ms (3 retransmissions): no answer in 2000 ms")
    assert line(NAMELESS) == "dns  seq=2 after 2000 ms: the DNS does not know the name"
    late = attrs.evolve(GOOD, server="", reason="", retransmits=1, strays=2, rtt_ms=None, ip="2001:db8::1")
    assert line(late) == "200  from=[2001:db8::1]:5060 seq=1 (1 retransmission) (2 strays)"


def test_nothing_from_outside_reaches_the_terminal_as_it_is() -> None:
    wicked = attrs.evolve(GOOD, reason="\x1b[2J", server="a\x07b\n")
    assert line(wicked).isprintable()
    assert message_text(b"SIP/2.0 200 \x1b[2J\r\nX: \x00\r\n\r\n\xff") == "SIP/2.0 200 \\x1b[2J\nX: \\x00\n\n\ufffd"


def test_statistics_as_ping_prints_them() -> None:
    assert statistics(tally(GOOD, LOST, BUSY)) == (
        "--- pbx:5060 statistics ---\n"
        "3 sent, 2 answered (1 ok), 33.3% loss, 3 retransmissions, 0 stray replies\n"
        "rtt min/avg/max/mdev = 0.840/0.875/0.910/0.035 ms   p50/p95/p99 = 0.88/0.91/0.91 ms"
    )
    assert statistics(tally(LOST)).count("\n") == 1
    assert "1 stray reply" in statistics(tally(attrs.evolve(GOOD, strays=1)))


def shown(
    *, continuous: bool = False, labels: tuple[str, ...] = ("pbx:5060",), verbose: int = 0
) -> tuple[People, list[str]]:
    said: list[str] = []
    return People(say=said.append, labels=labels, verbose=verbose, continuous=continuous), said


def test_a_single_probe_is_a_single_line() -> None:
    people, said = shown()
    people.report(0, GOOD)
    people.end(Outcome((tally(GOOD),)), [("warning", Thresholds())])
    assert said == [line(GOOD)]


def test_many_probes_have_a_head_and_statistics() -> None:
    people, said = shown(continuous=True)
    for report in (GOOD, LOST, BUSY):
        people.report(0, report)
    people.end(Outcome((tally(GOOD, LOST, BUSY),)), [])
    assert said == [
        "PROBE pbx:5060 (192.0.2.1:5060 udp) from 192.0.2.9:41022",
        line(GOOD),
        line(LOST),
        line(BUSY),
        statistics(tally(GOOD, LOST, BUSY)),
    ]


def test_a_name_without_an_address_has_a_head_too() -> None:
    people, said = shown(continuous=True)
    people.report(0, attrs.evolve(NAMELESS, seq=1))
    assert said[0] == "PROBE pbx:5060"


def test_several_targets_are_told_apart() -> None:
    people, said = shown(labels=("a", "b\x1b"))
    people.report(0, GOOD)
    people.report(1, BUSY)
    assert said == [f"a: {line(GOOD)}", f"b\\x1b: {line(BUSY)}"]


def test_an_interrupt_shows_the_statistics_and_limits_are_told() -> None:
    people, said = shown()
    people.end(Outcome((tally(GOOD),), signal=2), [("warning", Thresholds(rtt_s=0.0)), ("critical", Thresholds())])
    assert said == [statistics(tally(GOOD)), "pbx:5060: warning: rtt 0.8 ms > 0 ms"]


def answer(status: int) -> Answer:
    return Answer(status, "Said", "", Message.parse(b"SIP/2.0 %d Said\r\n\r\n" % status))


def test_more_is_shown_the_more_is_asked_for() -> None:
    packets = {
        "sent": Packet(sent=True, data=b"A\r\n", address=PLACE),
        "again": Packet(sent=True, data=b"A\r\n", address=PLACE, retransmission=True),
        "final": Packet(sent=False, data=b"B\r\n", address=PLACE, meaning=answer(200)),
        "provisional": Packet(sent=False, data=b"C\r\n", address=PLACE, meaning=answer(100)),
        "stray": Packet(sent=False, data=b"D\r\n", address=PLACE, meaning=Stray(Mismatch.CALL_ID)),
        "noise": Packet(sent=False, data=b"\x1b", address=PLACE),
    }

    def wanted(verbose: int) -> set[str]:
        return {name for name, packet in packets.items() if packet_text(packet, verbose)}

    assert wanted(0) == set()
    assert wanted(1) == {"final"}
    assert wanted(2) == set(packets) - {"sent"}
    assert wanted(3) == set(packets)
    assert packet_text(packets["again"], 2) == "retransmitted to 192.0.2.1:5060"
    assert packet_text(packets["again"], 3) == "retransmitted to 192.0.2.1:5060\nA\n"
    assert packet_text(packets["sent"], 3) == "sent to 192.0.2.1:5060\nA\n"
    assert packet_text(packets["final"], 1) == "received from 192.0.2.1:5060\nB\n"
    assert packet_text(packets["stray"], 2) == "stray (another Call-ID) from 192.0.2.1:5060\nD\n"
    assert packet_text(packets["noise"], 2) == "noise from 192.0.2.1:5060\n\\x1b"
    people, said = shown(verbose=1, labels=("a", "b"))
    for packet in packets.values():
        people.packet(1, packet)
    assert said == ["b: received from 192.0.2.1:5060\nB\n"]
