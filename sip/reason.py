"""Why does something end as it does: which label counts it, and which sentence says it to people?"""

from __future__ import annotations

import enum


class Reason(enum.Enum):
    """The base of enumerations that are counted and told: each member is a pair.

    `label` is the value of a metric's label; `sentence` is for people, without a capital or a full stop.
    """

    label: str
    sentence: str

    def __init__(self, label: str, sentence: str) -> None:
        self.label = label
        self.sentence = sentence
