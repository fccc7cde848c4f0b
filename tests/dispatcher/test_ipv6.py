"""Do the messages of RFC 5118 pass the pipeline between a phone and a server that both speak IPv6?"""

from __future__ import annotations

import pytest

from dispatcher.outcome import Forward, Reply
from sip.message import Message
from sip.via import parse_via, vias
from tests.dispatcher.world import VIP6, Node, make_snapshot, reply_to
from tests.sip.rfc5118 import MESSAGES, REFUSED

SERVER = ("2001:db8:a::11", 5060)
PHONE = ("2001:db8:e::7", 40001)


def node() -> Node:
    return Node(make_snapshot(SERVER, listeners=(VIP6,)))


@pytest.mark.parametrize("section", [section for section in MESSAGES if section not in REFUSED])
def test_a_legal_message_passes_and_its_reply_comes_back(section: str) -> None:
    here = node()
    passed, outcome = here.forward(MESSAGES[section], PHONE)
    assert outcome.address == SERVER
    above, below, *_ = (parse_via(text) for text in vias(passed))
    assert (above.host, above.sent_by_port) == VIP6.address
    assert (below.received, below.rport) == (PHONE[0], b"40001")
    back = here.take(reply_to(passed), SERVER)
    assert isinstance(back, Forward)
    assert back.address == PHONE
    assert len(vias(Message.parse(back.payload))) == len(vias(Message.parse(MESSAGES[section])))


@pytest.mark.parametrize("section", REFUSED)
def test_a_malformed_message_is_answered(section: str) -> None:
    outcome = node().take(MESSAGES[section], PHONE)
    assert isinstance(outcome, Reply)
    assert (outcome.status, outcome.address[0]) == (400, PHONE[0])


@pytest.mark.parametrize("sent_by", [b"[2001:db8:e::7]:40001", b"[2001:DB8:E:0:0::7]:40001"])
def test_a_phone_without_nat_needs_no_stamp_however_it_spells_its_address(sent_by: bytes) -> None:
    written = MESSAGES["4.1"].replace(b"[2001:db8::9:1]", sent_by)
    passed, _ = node().forward(written, PHONE)
    assert vias(passed)[1] == b"SIP/2.0/UDP " + sent_by + b";branch=z9hG4bKas3-111"
