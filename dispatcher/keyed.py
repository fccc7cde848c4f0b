"""What is the keyed hash of a text?

Every keyed hash of the product is SipHash-2-4 (Aumasson and Bernstein, 2012), made for short texts, under a key that is
derived from the pair's secret.  One byte in front of the text says what the hash is for, so that a value made for one
use means nothing in another.
"""

from __future__ import annotations

import hashlib

from siphashc import siphash

Key = bytes
"""16 bytes, derived from a secret."""

BRANCH = b"b"
"""The branch of our Via."""
TO_TAG = b"t"
"""The To tag of answers we make ourselves."""
TOKEN = b"r"
"""The token in Record-Route and Path."""
CHOICE = b"c"
"""The text a choice is keyed on, such as a Call-ID: gives the slot, and the place among the recent choices."""
DART = b"d"
"""The identity of a destination: seeds the order in which it claims slots."""
SCORE = b"s"
"""A destination and a slot: ranks those whom the slot table has no place for."""

_PERSON = b"sipdispatch key"


def derive(secret: bytes) -> Key:
    """The key that a secret (32 bytes) stands for: no hash on the wire is made with the secret itself."""
    return hashlib.blake2b(secret, digest_size=16, person=_PERSON).digest()


def digest(key: Key, use: bytes, text: bytes) -> int:
    """The keyed hash of any bytes, 64 bits; `use` is one of the constants above."""
    return siphash(key, use + text)
