"""Do real phones, behind a NAT and outside, talk through the proxy over two real Asterisks, whatever happens?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e import trunk
from tests.e2e.farm import BEHIND_NAT, CARRIER, ONE_LISTENER, PHONES, SERVERS, TWO_LISTENERS, VIP, Farm, Layout
from tests.e2e.ladder import Crossing
from tests.e2e.proxy import RELOADED

pytestmark = [pytest.mark.usefixtures("on_either_path"), pytest.mark.peers, pytest.mark.slow]

NOBODY = "10.10.0.99"
"""A server that is in the list when the two others are not."""
OUTSIDE_NUMBER = "0301234"


@pytest.fixture(scope="module", params=[ONE_LISTENER, TWO_LISTENERS], ids=["one-listener", "two-listeners"])
def running(
    request: pytest.FixtureRequest, on_either_path: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Farm]:
    layout: Layout = request.param
    with Farm(layout, tmp_path_factory.mktemp("farm")) as farm:
        yield farm
        assert farm.packets()["astray"] == 0, "a SIP message has gone around the proxy"
    complaints = [event for event in farm.proxy.log() if event["level"] != "info"]
    # The probes find out that the server which takes the place of the two others is not there.
    expected = ("a destination is down", "no destination takes new work")
    assert [event for event in complaints if event["event"] not in expected] == []
    assert {event["address"] for event in complaints if "address" in event} <= {"10.10.0.99:5060"}


@pytest.fixture
def farm(running: Farm) -> Iterator[Farm]:
    """The farm with a fresh ladder; what pytest captures here is shown when the test fails."""
    running.ladder.mark()
    yield running
    print(running.logs())
    running.end_calls()


def legs(farm: Farm, what: str, *, near: str) -> list[Crossing]:
    """The messages of a kind that came from `near`'s address or went to it."""
    return farm.ladder.crossings(what, source=near) + farm.ladder.crossings(what, target=near)


@pytest.mark.parametrize("user", PHONES)
def test_challenge_and_answer_meet_one_server_which_keeps_the_path(farm: Farm, user: str) -> None:
    server = farm.server_of(user)
    messages = [one for one in farm.ladder.all() if one.what.endswith("REGISTER") and one.has_user(user)]
    assert {one.target[0] for one in messages if one.target[0] in SERVERS} == {server}
    assert [one.what for one in messages if one.source[0] == server] == ["401 REGISTER", "200 REGISTER"]
    assert re.fullmatch(rf"<sip:[\w-]{{32}}@{re.escape(farm.layout.toward_servers)}:5060;lr>", farm.path_of(user))


def test_the_algorithm_sends_each_user_to_its_own_server(farm: Farm) -> None:
    """Otherwise the calls below would not show a caller at another server than the callee."""
    assert farm.server_of("8005") == farm.server_of("8008") != farm.server_of("8006") == farm.server_of("8007")


def test_options_for_the_proxy_is_answered_by_the_proxy(farm: Farm) -> None:
    assert farm.ask("OPTIONS", f"sip:{VIP}").startswith("SIP/2.0 200 ")
    assert not any(one.has_user("asker") for server in SERVERS for one in farm.ladder.crossings(target=server))


def test_a_stranger_may_ring_phones_and_do_nothing_that_costs_money(farm: Farm) -> None:
    assert farm.ask("OPTIONS", f"sip:8006@{VIP}").startswith("SIP/2.0 200 ")
    assert [one.what for one in farm.ladder.crossings(target=farm.server_of("8006")) if one.has_user("asker")]
    assert farm.ask("OPTIONS", f"sip:{OUTSIDE_NUMBER}@{VIP}").startswith("SIP/2.0 404 ")


@pytest.mark.parametrize("user", PHONES)
def test_asterisk_reaches_the_phone_with_its_own_options(farm: Farm, user: str) -> None:
    server, phone = farm.server_of(user), farm.address_of(user)

    def answered() -> bool:
        asked = {one.header("Call-ID") for one in farm.ladder.crossings("OPTIONS", target=phone) if one.has_user(user)}
        heard = {one.header("Call-ID") for one in farm.ladder.crossings("200 OPTIONS", target=server)}
        return bool(asked & heard)

    farm.ladder.until(answered, f"{user} has answered its server's OPTIONS")
    farm.ladder.until(lambda: farm.contact_status(user) == "Avail", f"{user} is available")


@pytest.mark.parametrize(
    ("caller", "callee", "who_hangs_up"),
    [
        pytest.param("8005", "8006", "8005", id="from behind the NAT, callee at the other server"),
        pytest.param("8005", "8008", "8008", id="from behind the NAT, callee at the same server"),
        pytest.param("8006", "8005", "8005", id="to behind the NAT, caller with an outbound proxy"),
        pytest.param("8008", "8005", "8008", id="to behind the NAT, same server"),
        pytest.param("8007", "8005", "8007", id="both behind the NAT, other server"),
        pytest.param("8006", "8007", "8006", id="outbound proxy, same server"),
    ],
)
def test_two_phones_talk_hold_and_hang_up(farm: Farm, caller: str, callee: str, who_hangs_up: str) -> None:
    server = farm.server_of(callee)
    farm.connect(caller, callee)
    for one in SERVERS:
        assert bool(farm.ladder.crossings("INVITE", target=one)) is (one == server)
    _talk(farm, caller, callee)
    for user in (caller, callee):
        _hold_and_resume(farm, user, server)
        _talk(farm, caller, callee)
    farm.hang_up(who_hangs_up, caller, callee)
    # From the phone to its server and from the server to the other phone, once each: nobody had to say it again.
    other = callee if who_hangs_up == caller else caller
    assert [one.source[0] for one in farm.ladder.crossings("BYE", target=server)] == [farm.layout.toward_servers]
    assert [one.source[0] for one in farm.ladder.crossings("BYE", target=VIP) if one.source[0] != server] == [
        farm.address_of(who_hangs_up)
    ]
    assert [one.source[0] for one in farm.ladder.crossings("BYE", target=farm.address_of(other))] == [VIP]


def _talk(farm: Farm, *users: str) -> None:
    """Wait until each has sent and heard anew, which the edge has seen passing."""
    before = farm.packets()
    for user in users:
        phone = farm.phones[user]
        phone.wait_for_media(beyond=phone.media())
    sides = {"nat" if user in BEHIND_NAT else "public" for user in users}
    ways = [f"{way}_{side}" for side in sides for way in ("from", "to")]

    def passed() -> bool:
        now = farm.packets()
        return all(now[way] > before[way] for way in ways)

    farm.ladder.until(passed, f"sound crosses the edge {ways}")


def _hold_and_resume(farm: Farm, user: str, server: str) -> None:
    """A phone's re-INVITEs reach the server of the call, whose answers come back and are acknowledged."""
    for change, offer, answer in (
        (farm.phones[user].hold, b"a=sendonly", b"a=recvonly"),
        (farm.phones[user].resume, b"a=sendrecv", b"a=sendrecv"),
    ):
        seen = len(list(farm.ladder.crossings()))

        def settled(seen: int = seen, offer: bytes = offer, answer: bytes = answer) -> bool:
            new = farm.ladder.crossings()[seen:]
            offered = [one for one in new if one.what == "INVITE" and one.target[0] == server and offer in one.raw]
            sequences = {one.header("CSeq").split()[0] for one in offered}
            answered = any(
                one.what == "200 INVITE" and one.target[0] == farm.address_of(user) and answer in one.raw for one in new
            )
            acknowledged = any(
                one.what == "ACK" and one.target[0] == server and one.header("CSeq").split()[0] in sequences
                for one in new
            )
            return answered and acknowledged

        change()
        farm.ladder.until(settled, f"{user}'s re-INVITE with {offer.decode()} is answered and acknowledged")


ALL_WAYS = pytest.mark.parametrize(("caller", "callee"), [("8005", "8006"), ("8006", "8005"), ("8005", "8008")])


@ALL_WAYS
def test_busy_is_told_and_acknowledged_on_both_legs(farm: Farm, caller: str, callee: str) -> None:
    server = farm.server_of(callee)
    farm.dial(caller, callee)
    farm.hang_up(callee, caller, callee)
    for address in (farm.address_of(callee), server):
        _until_acknowledged(farm, "486 INVITE", address)
        answers = farm.ladder.crossings("486 INVITE", source=address)
        assert len(answers) == 1, "a 486 that is sent again has lost its ACK"


@ALL_WAYS
def test_a_caller_gives_up_before_the_answer(farm: Farm, caller: str, callee: str) -> None:
    server = farm.server_of(callee)
    farm.dial(caller, callee)
    farm.hang_up(caller, caller, callee)
    for address in (server, farm.address_of(callee)):
        assert len(farm.ladder.crossings("CANCEL", target=address)) == 1
        _until_acknowledged(farm, "487 INVITE", address)


def _until_acknowledged(farm: Farm, answer: str, address: str) -> None:
    """Wait until each failure that came from an address has its ACK, which arrived there."""

    def transactions(what: str, **where: str) -> set[tuple[str, str]]:
        found = farm.ladder.crossings(what, **where)
        return {(one.header("Call-ID"), one.header("CSeq").split()[0]) for one in found}

    def acknowledged() -> bool:
        answered = transactions(answer, source=address)
        return bool(answered) and answered <= transactions("ACK", target=address)

    farm.ladder.until(acknowledged, f"the ACK to the {answer} has arrived at {address}")


def test_calls_go_on_when_their_servers_leave_the_list(farm: Farm) -> None:
    farm.connect("8005", "8006")
    farm.connect("8007", "8008")
    before = len(farm.proxy.log(RELOADED))
    farm.proxy.write_list(farm.list_of([NOBODY]))
    try:
        farm.proxy.wait_for(RELOADED, beyond=before)
        _hold_and_resume(farm, "8005", farm.server_of("8006"))
        _talk(farm, "8005", "8006", "8007", "8008")
        farm.phones["8005"].hang_up()
        for user in ("8005", "8006"):
            farm.phones[user].wait_for("CALL_CLOSED")
        farm.hang_up("8008", "8007", "8008")
        for user in PHONES:
            assert legs(farm, "BYE", near=farm.address_of(user))
    finally:
        farm.proxy.write_list(farm.list_of(SERVERS))
        assert farm.proxy.reload()["event"] == RELOADED
    farm.connect("8006", "8005")
    farm.hang_up("8005", "8005", "8006")


def test_a_call_to_the_carrier_leaves_through_the_proxy(farm: Farm) -> None:
    with trunk.answering(farm.carrier, CARRIER, farm.directory) as carrier:
        carrier.until_listening()
        farm.phones["8005"].dial(f"sip:{OUTSIDE_NUMBER}@{VIP}")
        farm.phones["8005"].wait_for("CALL_ESTABLISHED")
        _talk(farm, "8005")
        farm.hang_up("8005", "8005")
        carrier.program.wait(10.0)
    assert carrier.statistics().successful == 1, carrier.errors()
    invite = farm.ladder.crossings("INVITE", target=CARRIER)[0]
    assert invite.source[0] == VIP
    assert invite.first_line == f"INVITE sip:{OUTSIDE_NUMBER[1:]}@{CARRIER}:5060 SIP/2.0"
    assert [one.source[0] for one in farm.ladder.crossings("BYE", target=CARRIER)] == [VIP]


@pytest.mark.parametrize("user", ["8005", "8006"])
def test_a_call_of_the_carrier_reaches_the_phone(farm: Farm, user: str) -> None:
    with trunk.calling(farm.carrier, CARRIER, farm.directory, proxy=VIP, user=user) as carrier:
        farm.phones[user].wait_for("CALL_INCOMING")
        farm.phones[user].answer()
        farm.phones[user].wait_for("CALL_ESTABLISHED")
        _talk(farm, user)
        carrier.program.wait(10.0)
    assert carrier.statistics().successful == 1, carrier.errors()
    farm.wait_for_end(user)
    invite = next(one for one in farm.ladder.crossings("INVITE") if one.target[0] in SERVERS)
    assert invite.target[0] == farm.server_of(user)
