"""Has every reason a label for metrics and a sentence for people?"""

from __future__ import annotations

import re

from dispatcher.outcome import DropReason, Refusal


def test_labels_are_plain_words_and_different() -> None:
    labels = [reason.label for reason in DropReason]
    assert len(set(labels)) == len(labels)
    assert len({reason.value for reason in Refusal}) == len(Refusal)
    assert all(re.fullmatch("[a-z_]+", label) for label in (*labels, *(reason.value for reason in Refusal)))


def test_every_drop_can_be_told_to_people() -> None:
    sentences = [reason.sentence for reason in DropReason]
    assert len(set(sentences)) == len(sentences)
    assert all(len(sentence) > 10 for sentence in sentences)
