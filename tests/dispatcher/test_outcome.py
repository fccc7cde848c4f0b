"""Has every reason a label for metrics and a sentence for people?"""

from __future__ import annotations

import re

import pytest

from dispatcher.outcome import DropReason, Forward, Refusal


def test_labels_are_plain_words_and_different() -> None:
    labels = [reason.label for reason in DropReason]
    assert len(set(labels)) == len(labels)
    assert len({reason.value for reason in Refusal}) == len(Refusal)
    assert all(re.fullmatch("[a-z_]+", label) for label in (*labels, *(reason.value for reason in Refusal)))


def test_every_drop_can_be_told_to_people() -> None:
    sentences = [reason.sentence for reason in DropReason]
    assert len(set(sentences)) == len(sentences)
    assert all(len(sentence) > 10 for sentence in sentences)


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
