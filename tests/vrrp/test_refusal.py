"""Has every refusal a label for metrics and a sentence for people?"""

from __future__ import annotations

import re

from vrrp.refusal import Refusal


def test_labels_are_plain_words_and_different() -> None:
    labels = [refusal.label for refusal in Refusal]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch("[a-z_]+", label) for label in labels)


def test_every_refusal_can_be_told_to_people() -> None:
    sentences = [refusal.sentence for refusal in Refusal]
    assert len(set(sentences)) == len(sentences)
    assert all(len(sentence) > 10 for sentence in sentences)


def test_what_happens_on_a_healthy_network_is_no_news() -> None:
    assert {refusal for refusal in Refusal if refusal.expected} == {Refusal.OWN, Refusal.VRID}
