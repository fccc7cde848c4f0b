"""Why is an advert not listened to?  One name per receive check of RFC 9568 7.1, RFC 3768 7.1 and of our own."""

from __future__ import annotations

import enum


class Refusal(enum.Enum):
    """Why what was received is not an advert of our virtual router.

    `label` is the metric's label, `sentence` for people.  `expected`: it happens on a healthy network and is counted,
    not told.
    """

    OWN = ("own", "an advert of this node's own came back to it", True)
    VRID = ("vrid", "it is for another virtual router", True)
    STRANGER = ("stranger", "its source is not one of the configured peers")
    TTL = ("ttl", "its TTL or hop limit is below the least that is allowed: it may come from another network")
    LENGTH = ("length", "it ends before its last field")
    VERSION = ("version", "its version is neither 2 nor 3, or it is version 2 over IPv6")
    TYPE = ("type", "it is not an advertisement")
    CHECKSUM = ("checksum", "its checksum is wrong in all known forms")
    COUNT = ("count", "it names no address")
    INTERVAL = ("interval", "its advertisement interval is 0")
    AUTH_TYPE = ("auth_type", "its authentication type is neither none nor a simple password")
    HMAC_MISSING = ("hmac_missing", "it has no authentication trailer")
    HMAC_MALFORMED = ("hmac_malformed", "its authentication trailer is of an unknown form")
    HMAC_STALE = ("hmac_stale", "its authentication trailer is too old or too new: compare the clocks of the nodes")
    HMAC_KEY = ("hmac_key", "its authentication trailer names a key that this node does not have")
    HMAC_WRONG = ("hmac_wrong", "its authentication trailer does not fit: the keys differ, or it is forged")
    HMAC_REPLAY = ("hmac_replay", "its authentication trailer was used before: somebody sends old adverts again")

    label: str
    sentence: str
    expected: bool

    def __init__(self, label: str, sentence: str, expected: bool = False) -> None:  # noqa: FBT001, FBT002 - a table's column
        self.label = label
        self.sentence = sentence
        self.expected = expected
