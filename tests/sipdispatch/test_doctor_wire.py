"""What does the doctor make of frames that no test network sends by itself?"""

from __future__ import annotations

import struct

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdispatch.doctor_finding import Finding, Verdict
from sipdispatch.doctor_wire import Here, Observation, Overheard, here_of, read_frame, wire_findings
from vrrp.datagram import Datagram
from vrrp.frames import Claim
from vrrp.packet import GROUP_IPV4, Advert, encode, pack
from vrrp.reception import Reception

VIP = "192.0.2.100"
MAC = bytes.fromhex("020000000012")
RECEPTION = Reception(vrid=51, version=3, addresses=(VIP,), interval=0.1, own=("192.0.2.11",))
HERE = Here(vrid=51, priority=250, source="192.0.2.11", addresses=frozenset({VIP}))
ADVERT = Advert(version=3, vrid=51, priority=200, interval=0.1, addresses=(VIP,), password=None)


def overheard(advert: Advert = ADVERT, source: str = "192.0.2.12") -> Overheard:
    message = encode(advert, source=source, destination=GROUP_IPV4)
    return Overheard(Datagram(message, source, GROUP_IPV4, 255), MAC.hex(":"), 0.0)


def findings(seen: Observation, here: Here = HERE) -> dict[str, Finding]:
    return {each.check: each for each in wire_findings(seen, here, RECEPTION)}


def ethernet(ethertype: int, packet: bytes) -> bytes:
    return bytes(6) + MAC + ethertype.to_bytes(2, "big") + packet


def ipv4(message: bytes, *, protocol: int = 112, fragment: int = 0, options: bytes = b"") -> bytes:
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(message), 0, fragment, 255, protocol, 0)
    return head + pack("192.0.2.12") + pack(GROUP_IPV4) + options + message


def test_an_advert_is_cut_out_of_its_frame() -> None:
    message = encode(ADVERT, source="192.0.2.12", destination=GROUP_IPV4)
    expected = (Datagram(message, "192.0.2.12", GROUP_IPV4, 255), "02:00:00:00:00:12")
    assert read_frame(ethernet(0x0800, ipv4(message) + bytes(20))) == expected, "short frames are padded"
    assert read_frame(ethernet(0x0800, ipv4(message, options=bytes(4)))) == expected
    ipv6 = struct.pack("!IHBB", 6 << 28, 4, 112, 255) + pack("fe80::1") + pack("ff02::12") + b"1234" + bytes(9)
    assert read_frame(ethernet(0x86DD, ipv6)) == (Datagram(b"1234", "fe80::1", "ff02::12", 255), "02:00:00:00:00:12")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        ethernet(0x0800, b""),
        ethernet(0x0800, ipv4(b"", protocol=17)),
        ethernet(0x0800, ipv4(b"1234", fragment=1)),
        ethernet(0x0800, ipv4(b"1234", fragment=0x2000)),
        ethernet(0x86DD, bytes(39)),
        ethernet(0x0806, ipv4(b"1234")),
    ],
)
def test_other_frames_are_none(frame: bytes) -> None:
    assert read_frame(frame) is None


HEADS = st.sampled_from([ethernet(0x0800, b""), ethernet(0x86DD, b""), ethernet(0x0800, ipv4(b"")), b""])


@given(st.lists(st.tuples(HEADS, st.binary(max_size=80)), max_size=5), st.sampled_from(["active", "backup", None]))
def test_any_frames_are_judged(parts: list[tuple[bytes, bytes]], state: str | None) -> None:
    read = [read_frame(head + rest) for head, rest in parts]
    frames = tuple(Overheard(*each, 0.0) for each in read if each is not None)
    seen = Observation(seconds=1.0, frames=(*frames, overheard()))
    assert findings(seen, attrs.evolve(HERE, state=state))["peer"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("state", "has_heard", "verdict"),
    [
        ("active", True, Verdict.OK),
        ("active", False, Verdict.SKIPPED),
        ("backup", True, Verdict.LOOK),
        (None, False, Verdict.LOOK),
    ],
)
def test_silence_means_something_else_to_an_active_node(
    state: str | None, verdict: Verdict, *, has_heard: bool
) -> None:
    here = attrs.evolve(HERE, state=state, has_heard=has_heard)
    assert findings(Observation(seconds=1.0), here)["peer"].verdict is verdict


def test_an_active_node_that_hears_another_shares_the_address() -> None:
    seen = Observation(seconds=1.0, frames=(overheard(),), passed=frozenset({"192.0.2.12"}))
    here = attrs.evolve(HERE, state="active", held=frozenset({VIP}))
    assert findings(seen, here)["owners"].verdict is Verdict.WRONG
    leaving = Observation(seconds=1.0, frames=(overheard(), overheard(attrs.evolve(ADVERT, priority=0))))
    assert "owners" not in findings(leaving, here)


@pytest.mark.parametrize(
    ("state", "held", "claimed", "verdict"),
    [
        ("active", True, False, Verdict.OK),
        ("active", True, True, Verdict.WRONG),
        ("active", False, False, Verdict.WRONG),
        ("backup", True, False, Verdict.WRONG),
        ("backup", False, False, Verdict.OK),
        ("backup", False, True, Verdict.WRONG),
    ],
)
def test_who_has_the_address(state: str, verdict: Verdict, *, held: bool, claimed: bool) -> None:
    claims = (Claim(VIP, MAC),) if claimed else ()
    here = attrs.evolve(HERE, state=state, held=frozenset({VIP} if held else ()))
    assert findings(Observation(seconds=1.0, claims=claims), here)["address"].verdict is verdict


@pytest.mark.parametrize(("unsent", "verdict"), [("", Verdict.OK), ("Operation not permitted", Verdict.WRONG)])
def test_an_advert_that_cannot_be_sent(unsent: str, verdict: Verdict) -> None:
    assert findings(Observation(seconds=1.0, unsent=unsent))["live adverts out"].verdict is verdict
    assert "live adverts out" not in findings(Observation(seconds=1.0))


def test_without_an_agent_there_is_no_state() -> None:
    assert here_of(None) == {"state": None, "has_heard": False}
    assert here_of({"state": "backup", "peers": [{}]}) == {"state": "backup", "has_heard": True}
