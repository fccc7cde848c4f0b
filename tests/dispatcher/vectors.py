"""What do hashes, branches, tokens and the table of recent choices give?  The compiled twins must give the same.

    python -m tests.dispatcher.vectors > fastpath/tests/vectors.txt

makes the file that `cargo test` reads (fastpath/tests/vectors.rs); a test here says when it is out of date.  A line is
a word and its fields, separated by blanks; bytes are in hexadecimal digits behind a dot, hashes in hexadecimal digits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from dispatcher.branch import Transaction, mac
from dispatcher.choice import _whom
from dispatcher.keyed import BRANCH, CHOICE, TO_TAG, TOKEN, derive, digest
from dispatcher.recent import RecentChoices
from dispatcher.token import Claims, tag_hash, write_token

KEYS = (derive(b"k" * 32), derive(b"o" * 32))
HOSTS = ("192.0.2.1", "198.51.100.255", "10.0.0.9", "2001:db8::1", "::", "fd00:1:2:3:4:5:6:7", "::ffff:192.0.2.1")
NAMES = ("pbx.example.com", "_sip.Example.COM", "laptop.local.")
LISTENERS = (b"192.0.2.1:5060", b"[2001:db8::1]:5060", b"sip.example.com:5070")


def lines() -> Iterator[str]:
    """The whole file."""
    rng = random.Random(20_261_123)
    yield from digests(rng)
    yield from macs(rng)
    yield from tokens(rng)
    yield from hosts()
    yield from choices(rng)


def digests(rng: random.Random) -> Iterator[str]:
    """KEY USE TEXT HASH: around the sizes at which the way of hashing changes."""
    for size in (0, 1, 6, 7, 8, 9, 15, 16, 31, 40, 63, 64, 100, 254, 255, 256, 257, 300, 1000):
        for use in (BRANCH, TO_TAG, TOKEN, CHOICE):
            key, text = rng.choice(KEYS), rng.randbytes(size)
            yield f"digest {_hex(key)} {_hex(use)} {_hex(text)} {digest(key, use, text):016x}"


def macs(rng: random.Random) -> Iterator[str]:
    """KEY USE HOST PORT REPLY_HOST REPLY_PORT CALL_ID BRANCH FROM_TAG CSEQ MAC."""
    for number in range(60):
        key, use = rng.choice(KEYS), rng.choice((BRANCH, TO_TAG))
        written = rng.choice(HOSTS + NAMES)
        port, where = rng.randint(1, 65_535), (rng.choice(HOSTS), rng.randint(1, 65_535))
        branch = b"z9hG4bK" + rng.randbytes(rng.choice((0, 8, 300))).hex().encode()
        call_id = rng.randbytes(rng.choice((1, 12, 90))).hex().encode()
        tag = rng.randbytes(rng.choice((0, 4, 16))).hex().encode()
        cseq = rng.choice((0, 1, 9, number, 102, 2**31 - 1))
        found = mac(key, use, Transaction(branch, (written.lower(), port), where, call_id, tag, cseq))
        texts = " ".join(map(_hex, (call_id, branch, tag)))
        yield f"mac {_hex(key)} {_hex(use)} {written} {port} {where[0]} {where[1]} {texts} {cseq} {found.decode()}"


def tokens(rng: random.Random) -> Iterator[str]:
    """KEY LISTENER EDGE_HOST EDGE_PORT CORE_HOST CORE_PORT FLAGS TRANSPORT TAG TOKEN: n behind NAT, c core, p Path."""
    for _ in range(60):
        key, listener = rng.choice(KEYS), rng.choice(LISTENERS)
        edge, core = ((rng.choice(HOSTS), rng.randint(0, 65_535)) for _ in range(2))
        flags = "".join(letter for letter in "ncp" if rng.random() < 0.5) or "-"
        transport = rng.choice(("udp", "udp", "tcp", "tls", "ws", "wss"))
        tag = tag_hash(rng.randbytes(rng.randint(0, 20)))
        claims = Claims(
            edge,
            core,
            behind_nat="n" in flags,
            creator_is_core="c" in flags,
            creator_tag=tag,
            is_path="p" in flags,
            transport=transport,
        )
        token = write_token(claims, key, listener).decode()
        ends = f"{edge[0]} {edge[1]} {core[0]} {core[1]}"
        yield f"token {_hex(key)} {listener.decode()} {ends} {flags} {transport} {tag} {token}"
    for text in (b"", b"1234", b"as9f-_~"):
        yield f"tag {_hex(text)} {tag_hash(text)}"


def hosts() -> Iterator[str]:
    """KEY HOST PORT HASH: of the host of a Request-URI."""
    for host in HOSTS + NAMES:
        for port in (5060, 5070):
            yield f"whom {_hex(KEYS[0])} {host} {port} {_whom(KEYS[0], host.lower(), port):016x}"


def choices(rng: random.Random) -> Iterator[str]:
    """In their order, on a table of eight: `remember KEY NUMBER NOW`, and `lookup KEY NOW NUMBER`, 0 for none."""
    table, now = RecentChoices(8), 0.0
    keys = [bucket << 32 | number for bucket in range(2) for number in range(7)]
    for _ in range(400):
        now += rng.choice((0.0, 0.03, 0.0625, 1.0, 7.5, 60.0))
        key = rng.choice(keys)
        if rng.random() < 0.5:
            number = rng.choice((1, 2, 2**32 - 1))
            table.remember(key, number, now)
            yield f"remember {key:016x} {number} {now!r}"
        else:
            yield f"lookup {key:016x} {now!r} {table.lookup(key, now) or 0}"
    yield f"words {' '.join(f'{word:x}' for word in table.words)}"


def _hex(text: bytes) -> str:
    return "." + text.hex()


if __name__ == "__main__":
    print("\n".join(lines()))
