"""Has every reason a label for metrics and a sentence for people?"""

from __future__ import annotations

import re

import pytest

from dispatcher.names import FailureKind
from dispatcher.outcome import DropReason, Forward, Refusal
from health.sending import SendOutcome
from sip.reason import Reason


@pytest.mark.parametrize("reasons", [DropReason, Refusal, FailureKind, SendOutcome])
def test_every_reason_has_a_label_and_a_sentence_of_its_own(reasons: type[Reason]) -> None:
    assert len({reason.label for reason in reasons}) == len(reasons)
    assert len({reason.sentence for reason in reasons}) == len(reasons)
    for reason in reasons:
        assert re.fullmatch("[a-z_]+", reason.label)
        assert len(reason.sentence) > 10
        assert not reason.sentence.endswith(".")


@pytest.mark.parametrize(
    ("method", "status", "latency"),
    [
        (b"INVITE", 100, 0.02),
        (b"INVITE", 180, None),
        (b"INVITE", 200, None),
        (b"INVITE", 486, None),
        (b"OPTIONS", 100, None),
        (b"OPTIONS", 200, 0.02),
        (b"REGISTER", 401, 0.02),
        (b"BYE", 0, None),
    ],
)
def test_a_server_is_measured_by_what_no_person_delays(method: bytes, status: int, latency: float | None) -> None:
    told = Forward(b"", ("10.0.0.11", 5060), 0, status=status, method=method, elapsed=0.02)
    assert told.latency == latency


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [(b"INVITE", 0, True), (b"ACK", 0, False), (b"CANCEL", 0, True), (b"BYE", 200, False)],
)
def test_every_request_but_ack_is_answered(method: bytes, status: int, *, expected: bool) -> None:
    assert Forward(b"", ("10.0.0.11", 5060), 0, status=status, method=method).expects_answer is expected
