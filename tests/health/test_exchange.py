"""One probe under simulated time: what is sent when, what ends it, and what is made of silence."""

from __future__ import annotations

import math

from health.digest import Credentials
from health.exchange import T2_S, Exchange, Script
from health.options import RANDOM_BYTES, Answer, Identity, Question, Stray, compose_options, identity_of
from health.report import Result
from sip.message import Message
from sip.reply import compose_reply

SOURCE = ("192.0.2.9", 41022)
URI = "sip:192.0.2.1"


def compose(identity: Identity, fields: tuple[bytes, ...]) -> bytes:
    return compose_options(
        uri=URI, source=SOURCE, from_uri="sip:a@192.0.2.9", identity=identity, question=Question(fields=fields)
    )


def exchange(*, retransmit_s: float | None = 0.5, credentials: Credentials | None = None) -> Exchange:
    return Exchange(
        Script(
            compose=compose,
            identity=identity_of(bytes(RANDOM_BYTES)),
            method=b"OPTIONS",
            uri=URI.encode(),
            retransmit_s=retransmit_s,
            credentials=credentials,
            cnonce=b"cnonce",
        )
    )


def first(running: Exchange, *, now: float = 0.0) -> bytes:
    request = running.request_to_send(now)
    assert request is not None
    return request


def reply(request: bytes, status: int = 200, *fields: bytes) -> bytes:
    message = Message.parse(request)
    return compose_reply(
        message, status, "Said", via_line=b"Via:" + message.first[b"via"], to_tag=b"t", fields=list(fields)
    )


def status(running: Exchange) -> int:
    """Of the final answer; 0 while there is none."""
    return 0 if running.final is None else running.final.status


def test_a_request_is_repeated_after_t1_and_then_ever_more_slowly() -> None:
    running = exchange()
    request = first(running)
    times = []
    for _ in range(6):
        now = running.get_timer()
        times.append(now)
        assert running.request_to_send(now - 0.001) is None
        assert running.request_to_send(now) == request
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5]
    assert running.retransmissions == 6


def test_a_t1_above_t2_stays_what_it_is() -> None:
    running = exchange(retransmit_s=T2_S + 1)
    first(running)
    assert running.get_timer() == 5.0
    running.request_to_send(5.0)
    assert running.get_timer() == 10.0


def test_nothing_is_repeated_on_a_reliable_transport() -> None:
    running = exchange(retransmit_s=None)
    request = first(running)
    assert running.get_timer() == math.inf
    running.receive(reply(request, 100), 0.1)
    assert running.get_timer() == math.inf
    assert running.request_to_send(1000.0) is None


def test_the_final_answer_ends_it() -> None:
    running = exchange()
    request = first(running)
    running.request_to_send(0.5)
    found = running.receive(reply(request), 0.75)
    assert isinstance(found, Answer)
    assert running.final is found
    assert running.rtt == 0.75
    assert running.request_to_send(99.0) is None


def test_a_provisional_answer_slows_the_repeating_and_ends_nothing() -> None:
    running = exchange()
    request = first(running)
    assert isinstance(running.receive(reply(request, 100), 0.1), Answer)
    assert status(running) == 0
    assert running.request_to_send(0.5) == request
    assert running.get_timer() == 4.5
    assert running.unanswered("2000 ms") == (Result.TIMEOUT, "only 100 Said in 2000 ms")
    running.receive(reply(request, 503), 5.0)
    assert status(running) == 503


def test_strays_are_counted_and_change_nothing() -> None:
    running = exchange()
    request = first(running)
    other = reply(request).replace(b"Call-ID: ", b"Call-ID: x")
    assert isinstance(running.receive(other, 0.1), Stray)
    assert running.receive(b"noise", 0.2) is None
    assert running.strays == 2
    assert status(running) == 0
    assert running.get_timer() == 0.5
    assert running.unanswered("9 ms") == (Result.MISMATCH, "no answer in 9 ms, only strays: another Call-ID")


def test_silence_and_noise_have_names() -> None:
    running = exchange()
    first(running)
    assert running.unanswered("9 ms") == (Result.TIMEOUT, "no answer in 9 ms")
    running.receive(b"noise", 0.1)
    assert running.unanswered("9 ms") == (Result.MALFORMED, "no answer in 9 ms, only what is no SIP message")


CHALLENGE = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'


def test_a_challenge_is_met_once_with_a_new_request() -> None:
    running = exchange(credentials=Credentials(b"u", b"p"))
    request = first(running)
    running.request_to_send(0.5)
    running.receive(reply(request, 401, CHALLENGE), 0.6)
    assert status(running) == 0
    second = first(running, now=0.6)
    assert b"\r\nCSeq: 2 OPTIONS\r\n" in second
    assert b'\r\nAuthorization: Digest username="u"' in second
    assert running.retransmissions == 1
    assert running.get_timer() == 0.6 + 0.5
    assert isinstance(running.receive(reply(request, 200), 0.65), Stray)
    running.receive(reply(second, 401, CHALLENGE), 0.7)
    assert status(running) == 401
    assert running.rtt is not None
    assert math.isclose(running.rtt, 0.1)


def test_without_credentials_or_a_way_to_use_them_the_challenge_is_the_answer() -> None:
    for running, field in (
        (exchange(), CHALLENGE),
        (exchange(credentials=Credentials(b"u", b"p")), b'WWW-Authenticate: Basic realm="r"'),
    ):
        running.receive(reply(first(running), 401, field), 0.1)
        assert status(running) == 401


def test_an_answer_before_anything_was_sent_has_no_round_trip() -> None:
    running = exchange()
    running.receive(reply(compose(identity_of(bytes(RANDOM_BYTES)), ())), 0.1)
    assert status(running) == 200
    assert running.rtt is None
