"""The prober under simulated time: what leaves, what it takes for an answer, what it makes of silence."""

from __future__ import annotations

import errno
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health.prober import LATE_S, Prober, ProbeResult, written_source
from health.target import Target
from tests.health.farm import HOME, WIRE_S, Farm, Reply, answer, field, target
from tests.health.probed import core_of, farm, prober, results, silent

# What leaves


def test_a_probe_is_an_options_request_with_an_identity_of_its_own() -> None:
    made = farm(target(1), target(2))
    made.run(5.0)
    requests = [request for _, _, request in made.sent]
    assert field(requests[0], b"From") == b"From: <sip:sipdispatch@192.0.2.1>;tag=" + requests[0].split(b"tag=")[1][:16]
    assert requests[0].startswith(b"OPTIONS sip:198.51.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK")
    for name in (b"Via", b"From", b"Call-ID"):
        assert len({field(request, name) for request in requests}) == len(requests)
    assert {field(request, b"Contact") for request in requests} == {b"Contact: <sip:192.0.2.1:40000>"}


def test_the_source_may_change_from_probe_to_probe() -> None:
    here = [HOME]
    core = Prober(random.Random(1), sources=lambda _target: here[0])
    made = Farm(core)
    core.set_target(target(), made.now)
    made.run(2.0)
    here[0] = ("192.0.2.9", 41000)
    made.run(2.0)
    assert {field(request, b"Contact") for _, _, request in made.sent} == {
        b"Contact: <sip:192.0.2.1:40000>",
        b"Contact: <sip:192.0.2.9:41000>",
    }


@pytest.mark.parametrize(
    ("address", "source", "written"),
    [
        (("192.0.2.9", 5060), None, ("0.0.0.0", 0)),
        (("2001:db8::9", 5060), None, ("::", 0)),
        (("192.0.2.9", 5060), ("192.0.2.1", 0), ("192.0.2.1", 0)),
    ],
)
def test_a_source_that_is_left_open(
    address: tuple[str, int], source: tuple[str, int] | None, written: tuple[str, int]
) -> None:
    assert written_source(target(address=address, source=source)) == written


# What counts as an answer


def lone() -> tuple[Prober, bytes]:
    """A prober with one probe under way, sent at 0.0."""
    core = prober()
    core.set_target(target(), 0.0)
    core.handle_timer(0.0)
    ((_, request),) = core.datagrams_to_send(0.0)
    return core, request


def test_an_answer_ends_the_probe() -> None:
    core, request = lone()
    assert core.receive_datagram(answer(request), ("198.51.0.1", 5060), 0.02)
    assert core.next_event() == ProbeResult(
        number=1, ok=True, status=200, reason="200 OK", silent=False, rtt=0.02, retransmitted=False, sent_at=0.0
    )
    assert core.next_event() is None
    assert not core.receive_datagram(answer(request), ("198.51.0.1", 5060), 0.03), "it has been answered"


def test_an_answer_may_come_from_another_address() -> None:
    core, request = lone()
    assert core.receive_datagram(answer(request), ("203.0.113.77", 1024), 0.02)


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 405, 481, 483, 486, 600])
def test_alive(status: int) -> None:
    core, request = lone()
    core.receive_datagram(answer(request, status, "Whatever"), HOME, 0.02)
    result = core.next_event()
    assert result is not None
    assert (result.ok, result.status, result.reason) == (True, status, f"{status} Whatever")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_not_alive(status: int) -> None:
    core, request = lone()
    core.receive_datagram(answer(request, status, "Whatever"), HOME, 0.02)
    result = core.next_event()
    assert result is not None
    assert (result.ok, result.status, result.reason, result.silent) == (False, status, f"answered {status}", False)
    assert result.rtt == 0.02


@pytest.mark.parametrize(
    ("phrase", "said"),
    [("", "200"), ("O\x1b[2J\x07K", "200 O?[2J?K"), ("x" * 500, "200 " + "x" * 40), ("gut so", "200 gut so")],
)
def test_the_phrase_of_a_server_is_no_danger_to_who_reads_it(phrase: str, said: str) -> None:
    core, request = lone()
    core.receive_datagram(answer(request, 200, phrase), HOME, 0.02)
    result = core.next_event()
    assert result is not None
    assert result.reason == said


@pytest.mark.parametrize("name", [b"branch=z9hG4bK", b"tag=", b"Call-ID: ", b"CSeq: "])
def test_an_answer_that_does_not_show_the_whole_identity_is_none(name: bytes) -> None:
    core, request = lone()
    good = answer(request)
    at = good.index(name) + len(name)
    forged = good[:at] + (b"2" if good[at : at + 1] != b"2" else b"3") + good[at + 1 :]
    assert not core.receive_datagram(forged, HOME, 0.02)
    assert core.next_event() is None
    assert core.receive_datagram(good, HOME, 0.02)


@pytest.mark.parametrize("method", [b"INVITE", b"options"])
def test_an_answer_to_another_method_is_none(method: bytes) -> None:
    core, request = lone()
    assert not core.receive_datagram(answer(request).replace(b"1 OPTIONS", b"1 " + method), HOME, 0.02)


def test_a_probe_that_comes_back_is_no_answer() -> None:
    core, request = lone()
    assert not core.receive_datagram(request, HOME, 0.02)


def test_the_answer_is_found_behind_the_branches_of_others_if_they_are_few() -> None:
    core, request = lone()
    own = field(request, b"Via")
    assert not core.receive_datagram(b"z9hG4bKab " * 9 + answer(request), HOME, 0.02)
    spoken = answer(request).replace(own, b"Subject: z9hG4bKab z9hG4bKcd\r\n" + own)
    assert core.receive_datagram(spoken, HOME, 0.02)


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 300))
def test_no_bytes_raise(noise: bytes, start: int, end: int) -> None:
    core, request = lone()
    good = answer(request)
    core.receive_datagram(good[:start] + noise + good[end:], HOME, 0.02)
    core.network_error(None, noise + good[end:], errno.ECONNREFUSED, 0.02)


def test_a_provisional_answer_is_not_the_end() -> None:
    made = farm(target(), serve=lambda _target, request, _now: answer(request, 100, "Trying"))
    made.run(0.6)
    (result,) = results(made)
    assert (result.ok, result.status, result.reason) == (False, 0, "no final answer in 500 ms")
    assert result.silent
    core, request = lone()
    core.receive_datagram(answer(request, 100, "Trying"), HOME, 0.02)
    core.receive_datagram(answer(request), HOME, 0.03)
    final = core.next_event()
    assert final is not None
    assert final.ok


# Silence and errors


def test_a_lost_datagram_is_no_failure() -> None:
    lost: list[bytes] = []

    def serve(_target: Target, request: bytes, _now: float) -> Reply:
        if request in lost:
            return answer(request)
        lost.append(request)
        return None

    made = farm(target(), serve=serve)
    made.run(0.6)
    (result,) = results(made)
    assert result.ok
    assert result.retransmitted
    assert result.rtt == pytest.approx(0.25 + 2 * WIRE_S)
    assert made.times(1) == [1000.0, 1000.25]
    assert made.sent[0][2] == made.sent[1][2], "the same request once more"


def test_silence_until_the_timeout_is_a_failure() -> None:
    made = farm(target(timeout=2.0), serve=silent)
    made.run(1.99)
    assert results(made) == []
    made.run(0.02)
    assert results(made) == [
        ProbeResult(
            number=1,
            ok=False,
            status=0,
            reason="no answer in 2000 ms",
            silent=True,
            rtt=None,
            retransmitted=True,
            sent_at=1000.0,
        )
    ]
    assert made.times(1)[:2] == [1000.0, 1001.0]


def test_an_answer_after_the_timeout_comes_too_late() -> None:
    made = farm(target(), one_way_s=0.3)
    made.run(0.59)
    assert [result.ok for result in results(made)] == [False]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ECONNREFUSED, "connection refused (ICMP)"),
        (errno.EHOSTUNREACH, "host unreachable (ICMP)"),
        (errno.ENETUNREACH, "network unreachable (ICMP)"),
        (errno.EHOSTDOWN, "host down (ICMP)"),
        (errno.ENOPROTOOPT, "no UDP there (ICMP)"),
        (errno.EACCES, "prohibited (ICMP)"),
    ],
)
def test_an_error_that_quotes_the_probe_is_a_failure_at_once(number: int, said: str) -> None:
    core, request = lone()
    assert core.network_error(("198.51.0.1", 5060), request[:120], number, 0.01)
    result = core.next_event()
    assert result is not None
    assert (result.ok, result.status, result.reason, result.silent, result.rtt) == (False, 0, said, False, None)


def test_other_errors_are_not_about_the_target() -> None:
    core, request = lone()
    there = ("198.51.0.1", 5060)
    assert not core.network_error(there, request, errno.EMSGSIZE, 0.01), "too long for the way there"
    assert not core.network_error(there, request[:60], errno.ECONNREFUSED, 0.01), "quotes no branch"
    assert not core.network_error(there, request.replace(b"z9hG4bK", b"z9hG4bK0"), errno.ECONNREFUSED, 0.01)
    assert not core.network_error(("198.51.0.2", 5060), request, errno.ECONNREFUSED, 0.01), "went elsewhere"
    assert core.next_event() is None
    assert core.network_error(None, request, errno.ECONNREFUSED, 0.01)
    assert not core.network_error(None, request, errno.ECONNREFUSED, 0.01), "it has ended"


def test_what_cannot_leave_this_node_says_nothing() -> None:
    core, _ = lone()
    core.not_sent(1, 0.0)
    core.not_sent(1, 0.0)
    core.not_sent(99, 0.0)
    assert 0.0 < core.get_timer() <= 1.1
    core.handle_timer(0.5)
    assert core.next_event() is None


def test_a_probe_without_a_source_waits_for_the_next_slot() -> None:
    here: list[tuple[str, int] | None] = [None]
    core = Prober(random.Random(1), sources=lambda _target: here[0])
    made = Farm(core)
    core.set_target(target(), made.now)
    made.run(5.0)
    assert made.sent == []
    here[0] = HOME
    made.run(2.0)
    assert [result.ok for result in results(made)] == [True] * len(made.sent)
    assert len(made.sent) in (1, 2, 3)


# When we are late ourselves


def test_a_stop_of_ours_makes_no_failures_and_no_burst() -> None:
    """A process that was stopped finds every timeout past, and every answer lost."""
    made = farm(*(target(number) for number in range(1, 501)))
    made.run(5.0)
    results(made)
    made.serve = silent  # the answers are lost with the stop
    made.run(0.1)
    under_way = len(made.sent)
    made.serve = Farm(made.core).serve
    made.now += 30.0
    made.run(3.0)
    assert all(result.ok for result in results(made))
    # What was under way, a tenth of them, is sent once more at once; all others wait for their next slot.
    after = Counter(int((at - 1035.1) * 20) for at, _, _ in made.sent[under_way:])
    assert after.pop(0) < 2.5 * 500 / 20 + 60
    assert max(after.values()) < 2 * 500 / 20


def test_being_late_is_an_excuse_but_not_twice_in_a_row() -> None:
    core = prober()
    core.set_target(target(), 0.0)
    now = 0.0
    asked = 0
    found = []
    for _ in range(40):  # whatever is due is dealt with much later than it should be
        now = max(now, core.get_timer() + LATE_S * 2)
        core.handle_timer(now)
        asked += len(core.datagrams_to_send(now))
        while (result := core.next_event()) is not None:
            found.append(result)
    assert asked > 10
    assert len(found) > 5
    assert not any(result.ok for result in found)


def test_an_excuse_is_there_again_after_a_probe_in_time() -> None:
    made = farm(target(interval=1000.0))
    core = core_of(made)
    for _ in range(3):
        count = len(made.sent)
        made.now = core.get_timer() + 1.0  # a stop of ours, when a probe was due
        made.run(1.0)
        assert len(made.sent) == count, "it waits for its next slot"
        made.run(1100.0)
        assert len(made.sent) == count + 1


def test_an_answer_that_we_read_late_counts_but_its_time_does_not() -> None:
    core, request = lone()
    assert core.receive_datagram(answer(request), HOME, 7.0)
    result = core.next_event()
    assert result is not None
    assert result.ok
    assert result.rtt is None


def test_the_second_sending_has_half_the_timeout_for_itself() -> None:
    core, _ = lone()
    core.handle_timer(0.45)
    assert len(core.datagrams_to_send(0.45)) == 1
    core.handle_timer(0.69)
    assert core.next_event() is None
    core.handle_timer(0.71)
    assert core.next_event() is not None


def test_an_answer_between_timer_and_sending_spares_the_second_sending() -> None:
    core, request = lone()
    core.handle_timer(0.25)
    core.receive_datagram(answer(request), HOME, 0.25)
    assert core.datagrams_to_send(0.25) == []


@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([200, 404, 503, 100, -errno.ECONNREFUSED, 0]), min_size=1, max_size=4),
            st.sampled_from([0.1, 0.5, 1.0, 3.0]),
            st.sampled_from([0.05, 0.5, 2.0]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(st.floats(0.001, 2.0), st.integers(1, 5), st.sampled_from(["now", "drop", "add"])), max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_every_probe_ends_and_each_result_is_of_a_probe_that_was_sent(
    seed: int,
    servers: list[tuple[list[int], float, float]],
    operations: list[tuple[float, int, str]],
) -> None:
    rng = random.Random(seed)
    targets = {
        number: target(number, interval=interval, timeout=timeout)
        for number, (_, interval, timeout) in enumerate(servers, 1)
    }

    def serve(goal: Target, request: bytes, _now: float) -> Reply:
        status = rng.choice(servers[goal.number - 1][0])
        return answer(request, status) if status > 0 else -status or None

    made = farm(*targets.values(), serve=serve)
    core = core_of(made)
    present = dict(targets)
    for passed, number, operation in operations:
        made.run(passed)
        if number not in targets:
            continue
        if operation == "now":
            core.probe_now(number, made.now)
        elif operation == "drop":
            core.remove(number)
            present.pop(number, None)
        else:
            core.set_target(targets[number], made.now)
            present[number] = targets[number]
    made.run(20.0)
    sent = {(at, goal.number) for at, goal, _ in made.sent}
    found = results(made)
    assert all((result.sent_at, result.number) in sent for result in found)
    assert len({(result.sent_at, result.number) for result in found}) == len(found)
    for number, goal in present.items():
        recent = [result for result in found if result.number == number and result.sent_at > made.now - 15]
        assert len(recent) >= 10 / (1.1 * goal.interval + 2 * goal.timeout)
    assert core.get_timer() > made.now - 1e-9 or not present
