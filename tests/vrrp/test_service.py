"""Does an agent live as its machine says: on time, with what it hears before what is due, and to a good end?"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import structlog
import trio
import trio.testing

from tests.vrrp.wires import BROKEN, EPOCH, VIP, Cable, Station, router_for, station
from vrrp.datagram import Datagram
from vrrp.event import AddressesLost, MoveFailed
from vrrp.packet import Advert, encode
from vrrp.parameters import NEVER, Preempt
from vrrp.refusal import Refusal
from vrrp.router import Router, Voice
from vrrp.service import SETTLING_S, boottime
from vrrp.tracking import Track
from vrrp.trailer import Key

A, B = "192.0.2.11", "192.0.2.12"


@pytest.fixture
def cable() -> Cable:
    return Cable()


@asynccontextmanager
async def living(*stations: Station) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        for each in stations:
            await nursery.start(each.agent.run)
        yield nursery
        nursery.cancel_scope.cancel()


async def test_the_better_one_has_the_address_and_the_other_obeys(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(5)
        assert (a.agent.state, b.agent.state) == ("active", "backup")
        assert (a.mover.here, b.mover.here) == (True, False)
        assert 45 <= len(a.wire.sent) <= 50
        assert set(a.wire.priorities) == {250}
        # The lease is prolonged every 0.3 s; both announcements of the start were made.
        assert a.mover.asked.count("add 2") == pytest.approx(1 + 4.7 / 0.3, abs=1)
        assert a.mover.asked.count("announce") == 2
        await trio.sleep(1)
        assert a.mover.asked.count("announce") == 3


async def test_a_stop_hands_over_within_the_skew_time(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3)
        stopped = trio.current_time()
        a.agent.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert a.wire.priorities[-1] == 0
        assert a.mover.asked[-1] == "remove"
        assert a.mover.settled
        await trio.sleep(0.1)
        taken = b.transitions[-1]
    assert (taken.before, taken.after, taken.cause) == ("backup", "active", f"{A} has given the address up")
    assert taken.at - EPOCH - stopped == pytest.approx((256 - 240) / 256 * 0.1, abs=0.001)
    assert a.transitions[-1].after == "initialize"


async def test_a_cancelled_agent_gives_the_address_up_too(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    async with living(a):
        await trio.sleep(3)
        assert a.mover.asked[-1] != "remove"
    assert a.mover.asked[-1] == "remove"
    assert a.wire.priorities[-1] == 0


async def test_a_silent_active_is_replaced_after_the_down_interval(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3.05)
        cable.is_cut = True
        cut = trio.current_time()
        await trio.sleep(1)
        assert b.transitions[-1].cause == f"no advert from {A} any more"
        assert 0.2 < b.transitions[-1].at - EPOCH - cut < 0.31
        # Both have it, until they hear each other: the loser says so with a last advert, the winner announces again.
        cable.is_cut = False
        before = a.mover.asked.count("announce")
        await trio.sleep(0.2)
        assert (a.agent.state, b.agent.state) == ("active", "backup")
        assert a.mover.asked.count("announce") > before
        assert b.transitions[-1].cause == f"{A} advertises 250, this node 240"


async def test_what_has_come_is_heard_before_a_timer_fires(cable: Cable, mock_clock: trio.testing.MockClock) -> None:
    """A node that was not running for a while finds its peer's adverts in the socket, and stays where it is."""
    b = station(cable, B, 240)
    async with living(b):
        await trio.testing.wait_all_tasks_blocked()
        message = encode(
            Advert(version=3, vrid=51, priority=250, interval=0.1, addresses=(VIP,)), source=A, destination="224.0.0.18"
        )
        # Put where `receive` finds it, and nobody is woken: only the timer is.
        b.wire._arrived.append(Datagram(message, A, "224.0.0.18", 255))
        mock_clock.jump(0.31)
        await trio.testing.wait_all_tasks_blocked()
        assert b.agent.state == "backup"
        assert b.status.received == 1


async def test_a_late_active_steps_down_and_competes_anew(cable: Cable, mock_clock: trio.testing.MockClock) -> None:
    a = station(cable, A, 250)
    async with living(a):
        for _ in range(400):
            mock_clock.jump(0.001)
            await trio.testing.wait_all_tasks_blocked()
        assert a.agent.state == "active"
        mock_clock.jump(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert a.agent.state == "backup"
        assert a.wire.priorities[-1] == 0
        assert not a.mover.here
        assert a.transitions[-1].cause.startswith("this process did not run for 2.0")
        late = a.status.lateness
        assert late.step_downs == 1
        assert late.worst == late.worst_of_minute == late.last == pytest.approx(2.0, abs=0.1)
        assert late.worst_at == EPOCH + trio.current_time()


async def test_a_failed_track_hands_over_once_and_comes_back_after_ten_seconds(
    cable: Cable, autojump_clock: object
) -> None:
    a, b = station(cable, A, 250, tracks=[Track(name="sip", rise=1, fall=1)]), station(cable, B, 240)
    async with living(a, b):
        a.agent.report("sip", ok=True, detail="200 OK in 0.8 ms")
        await trio.sleep(3)
        assert a.agent.state == "active"
        a.agent.report("sip", ok=False, detail="no answer")
        assert a.wire.priorities[-1] == 0
        assert a.wire.priorities.count(0) == 1
        await trio.sleep(1)
        assert (a.agent.state, b.agent.state) == ("backup", "active")
        assert a.status.effective_priority == 97
        assert a.status.cause == "sip: no answer"
        assert a.status.tracks[0].failures == 1
        a.agent.report("sip", ok=True, detail="200 OK in 0.8 ms")
        await trio.sleep(9.9)
        assert b.agent.state == "active"
        await trio.sleep(1)
        assert (a.agent.state, b.agent.state) == ("active", "backup")
        assert a.status.cause == f"{B} advertises 240, this node 250"


async def test_the_last_man_standing_keeps_the_address(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250, tracks=[Track(name="sip")])
    async with living(a):
        a.agent.report("sip", ok=True, detail="")
        await trio.sleep(1)
        a.agent.report("sip", ok=False, detail="no answer")
        await trio.sleep(2)
        assert a.agent.state == "active"
        assert a.wire.priorities[-1] == 97


async def test_a_start_waits_for_the_first_verdicts_and_not_for_ever(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250, tracks=[Track(name="sip")])
    async with living(a):
        await trio.sleep(4.9)
        assert a.agent.state == "initialize"
        await trio.sleep(0.2)
        assert a.agent.state == "backup"
        assert a.status.cause == "started, though some tracks have not spoken yet"


async def test_status_says_until_when_a_healthy_owner_is_left_alone(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250, preempt=Preempt(60.0)), station(cable, B, 240)
    async with living(b):
        await trio.sleep(3)
        async with living(a):
            await trio.sleep(5)
            assert (a.agent.state, b.agent.state) == ("backup", "active")
            assert a.status.waits_until == pytest.approx(EPOCH + 63, abs=0.2)
            assert b.status.waits_until is None
            await trio.sleep(60)
            assert (a.agent.state, a.status.waits_until) == ("active", None)


async def test_a_reload_puts_another_preemption_into_force(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250, preempt=NEVER), station(cable, B, 240)
    async with living(b):
        await trio.sleep(2)
        async with living(a):
            await trio.sleep(100)
            assert (a.agent.state, a.status.waits_until) == ("backup", None)
            a.agent.change(router_for(A, 250, preempt=Preempt(200.0)))
            assert a.status.waits_until == pytest.approx(EPOCH + 202, abs=0.2)
            a.agent.change(router_for(A, 250))
            await trio.sleep(1)
            assert a.agent.state == "active"


async def test_release_hands_over_for_so_long(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3)
        a.agent.release(60)
        assert a.status.released_until == EPOCH + 63
        assert a.agent.state == "backup"
        await trio.sleep(59)
        assert b.agent.state == "active"
        await trio.sleep(2)
        assert a.agent.state == "active"
        assert not a.tracking.released(trio.current_time())
        a.agent.release()
        assert a.status.released_until == math.inf
        await trio.sleep(100)
        assert b.agent.state == "active"
        a.agent.resume()
        await trio.sleep(1)
        assert a.agent.state == "active"


async def test_hold_keeps_the_address_away_even_if_nobody_else_has_it(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    async with living(a):
        await trio.sleep(3)
        a.agent.hold()
        assert a.agent.state == "fault"
        assert a.status.held
        assert a.status.cause == "held by the operator"
        sent = len(a.wire.sent)
        await trio.sleep(100)
        assert (a.agent.state, len(a.wire.sent)) == ("fault", sent)
        a.agent.resume()
        assert a.status.cause == "the fault is over: held by the operator"
        await trio.sleep(1)
        assert a.agent.state == "active"


async def test_another_fault_is_another_cause(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250, tracks=[Track(name="link", fault=True)])
    async with living(a):
        a.agent.report("link", ok=True, detail="up")
        await trio.sleep(1)
        a.agent.report("link", ok=False, detail="down")
        a.agent.hold()
        assert a.status.cause == "held by the operator"
        a.agent.resume()
        assert a.status.cause == "link: down"
        assert [each.after for each in a.transitions] == ["backup", "active", "fault"]


async def test_an_address_that_is_lost_is_added_again_and_counted(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    async with living(a):
        await trio.sleep(1)
        a.mover.asked.clear()
        a.mover.report(AddressesLost(by_lease=True))
        a.mover.report(AddressesLost(by_lease=False))
        assert a.mover.asked == ["add 2", "announce"] * 2
        assert (a.status.leases_lost, a.status.addresses_taken) == (1, 1)
        assert a.agent.state == "active"


async def test_an_address_that_cannot_be_set_is_a_fault_and_tried_again(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    a.mover.failing = "no such device"
    async with living(a):
        await trio.sleep(1)
        assert (a.agent.state, a.status.cause) == ("fault", "no such device")
        assert a.wire.priorities[-1] == 0
        a.mover.failing = ""
        a.mover.report(MoveFailed("still"))
        await trio.sleep(11)
        assert a.agent.state == "active"


async def test_who_cannot_send_gives_up_to_who_has_taken_the_address(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(1)
        assert (a.agent.state, b.agent.state) == ("active", "backup")
        a.wire.broken = BROKEN
        await trio.sleep(1)
        assert (a.agent.state, b.agent.state) == ("fault", "active")
        assert a.status.cause == f"no advert leaves this node, and {B} has the address"
        assert a.mover.asked[-1] == "remove"
        # It lets the other one be, and takes the address when that is gone.
        await trio.sleep(60)
        assert (a.agent.state, b.agent.state) == ("backup", "active")
        b.agent.stop()
        await trio.sleep(1)
        assert a.agent.state == "active"


async def test_a_mute_node_does_not_announce_what_another_one_serves(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(1)
        a.wire.broken = BROKEN
        await trio.sleep(60)
        # It was the owner, and gave the address up.  When it tries again it finds out before it has touched anything.
        asked = list(a.mover.asked)
        await trio.sleep(1000)
        assert (a.agent.state, b.agent.state) == ("backup", "active")
        assert [what for what in a.mover.asked[len(asked) :] if what != "remove"] == []
        assert a.status.transitions["fault"] == 1 + 3


async def test_a_mute_standby_leaves_a_released_active_alone_and_not_one_without_a_proxy(
    cable: Cable, autojump_clock: object
) -> None:
    proxy = Track(name="control", vital=True)
    a, b = station(cable, A, 250, tracks=[proxy]), station(cable, B, 240)
    async with living(a, b):
        a.agent.report("control", ok=True, detail="connected")
        await trio.sleep(1)
        b.wire.broken = BROKEN
        a.agent.release()
        await trio.sleep(5)
        # It took the address that A had let go, and gave it back when nobody obeyed.
        assert (a.agent.state, a.mover.here, b.mover.here) == ("active", True, False)
        asked = list(b.mover.asked)
        await trio.sleep(700)
        assert (a.agent.state, a.mover.here, b.agent.state) == ("active", True, "backup")
        assert set(b.mover.asked[len(asked) :]) == {"remove"}
        # It cannot say so, but there nobody answers a call.
        a.agent.report("control", ok=False, detail="connection refused")
        await trio.sleep(1)
        assert (b.agent.state, b.mover.here) == ("active", True)
        await trio.sleep(60)
        assert (b.agent.state, b.mover.here) == ("active", True)


async def test_what_cannot_be_sent_is_counted_and_an_alarm(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    async with living(a):
        await trio.sleep(1)
        a.wire.broken = BROKEN
        with structlog.testing.capture_logs() as logged:
            await trio.sleep(1)
        assert a.agent.state == "active"
        assert a.status.unsent == pytest.approx(10, abs=1)
        (alarm,) = a.status.alarms
        assert (alarm.field, alarm.peer) == ("unsent", "224.0.0.18")
        assert alarm.text == "an advert to 224.0.0.18 cannot be sent: Network is down"
        assert [line["event"] for line in logged] == ["an advert cannot be sent"]


async def test_a_refused_advert_changes_nothing_and_is_told_once(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 100)
    good = encode(
        Advert(version=3, vrid=51, priority=254, interval=0.1, addresses=(VIP,)), source=B, destination="224.0.0.18"
    )
    async with living(a):
        await trio.sleep(1)
        with structlog.testing.capture_logs() as logged:
            for _ in range(1000):
                a.wire.put(Datagram(good, B, "224.0.0.18", 254))
            await trio.sleep(0.5)
        assert a.agent.state == "active"
        assert a.status.refused["ttl"] == 1000
        assert set(a.status.refused) == {refusal.label for refusal in Refusal}
        assert [line["event"] for line in logged] == ["an advert was refused"]


async def test_a_peer_that_disagrees_is_obeyed_and_an_alarm(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 100)
    other = encode(
        Advert(version=3, vrid=51, priority=254, interval=0.2, addresses=("192.0.2.200",)),
        source=B,
        destination="224.0.0.18",
    )
    async with living(a):
        with structlog.testing.capture_logs() as logged:
            for _ in range(10):
                a.wire.put(Datagram(other, B, "224.0.0.18", 255))
                await trio.sleep(0.2)
        assert a.agent.state == "backup"
        assert {alarm.field for alarm in a.status.alarms} == {"interval", "addresses"}
        told = [line["field"] for line in logged if line["event"] == "a peer is configured differently"]
        assert sorted(told) == ["addresses", "interval"]
        (peer,) = a.status.peers
        assert (peer.address, peer.priority, peer.interval, peer.adverts) == (B, 254, 0.2, 10)


async def test_a_second_owner_is_an_alarm_of_the_active_alone(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3)
        for each in (a, b):
            each.agent.claimed(VIP, "02:00:00:00:00:09")
            each.agent.claimed(VIP, "02:00:00:00:00:09")
        assert b.status.alarms == ()
        (alarm,) = a.status.alarms
        assert (alarm.field, alarm.count) == ("owner", 2)
        assert alarm.text == "02:00:00:00:00:09 says that 192.0.2.100 is its own"


async def test_whoever_takes_over_is_no_second_owner(cable: Cable, autojump_clock: object) -> None:
    """Its advert came before its announcement, and is heard before that."""
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3)
        better = Advert(version=3, vrid=51, priority=254, interval=0.1, addresses=(VIP,))
        message = encode(better, source=B, destination="224.0.0.18")
        a.wire.put(Datagram(message, B, "224.0.0.18", 255))
        a.agent.claimed(VIP, "02:00:00:00:00:09")
        assert a.agent.state == "backup"
        assert a.status.alarms == ()


async def test_whom_it_takes_over_from_is_no_second_owner_either(cable: Cable, autojump_clock: object) -> None:
    """What that one announced may be read only when this node is Active itself: no ordinary start is an alarm."""
    b = station(cable, B, 240)
    async with living(b) as nursery:
        await trio.sleep(3)
        a = station(cable, A, 250)
        await nursery.start(a.agent.run)
        await trio.sleep(0.31)
        assert a.agent.state == "active"
        a.agent.claimed(VIP, "02:00:00:00:00:12")
        await trio.sleep(SETTLING_S - 0.02)
        a.agent.claimed(VIP, "02:00:00:00:00:12")
        assert not a.status.alarms
        await trio.sleep(0.02)
        a.agent.claimed(VIP, "02:00:00:00:00:12")
        (alarm,) = a.status.alarms
        assert (alarm.field, alarm.count) == ("owner", 1)


async def test_a_new_configuration_counts_without_a_change_of_role(cable: Cable, autojump_clock: object) -> None:
    a, b = station(cable, A, 250), station(cable, B, 240)
    async with living(a, b):
        await trio.sleep(3)
        a.tracking.change(200, ())
        a.agent.change(router_for(A, 200))
        b.tracking.change(150, ())
        b.agent.change(router_for(B, 150))
        await trio.sleep(3)
        assert (a.agent.state, b.agent.state) == ("active", "backup")
        assert a.wire.priorities[-1] == 200
        assert a.status.priority == a.status.effective_priority == 200
        assert [each.after for each in a.transitions] == ["backup", "active"]


async def test_what_was_heard_before_a_change_is_not_heard_again(cable: Cable, autojump_clock: object) -> None:
    """A recorded advert is as old under the new configuration as it was under the one before."""
    key = Key(1, bytes(range(32)))

    def signed() -> Router:
        plain = router_for(A, 100)
        reception = attrs.evolve(plain.reception, keys=(key,), latest={})
        return attrs.evolve(plain, reception=reception, signing_key=key)

    a = station(cable, A, 100)
    a.agent.change(signed())
    theirs = attrs.evolve(signed(), reception=attrs.evolve(signed().reception, own=(B,)))
    recorded = Voice().compose(theirs, 254, source=B, destination="224.0.0.18", wall=EPOCH)
    async with living(a):
        a.wire.put(Datagram(recorded, B, "224.0.0.18", 255))
        await trio.sleep(0.01)
        a.agent.change(signed())
        a.wire.put(Datagram(recorded, B, "224.0.0.18", 255))
        await trio.sleep(0.01)
        assert (a.status.received, a.status.refused["hmac_replay"]) == (1, 1)


@pytest.mark.parametrize(("preempt", "words"), [(NEVER, "never"), (Preempt(60.0), "after 60 s"), (Preempt(), "always")])
async def test_the_status_says_what_there_is_to_say(
    cable: Cable, autojump_clock: object, preempt: Preempt, words: str
) -> None:
    a = station(cable, A, 250, preempt=preempt, tracks=[Track(name="sip", rise=2), Track(name="file", fault=True)])
    async with living(a):
        await trio.sleep(1)
        a.agent.report("sip", ok=True, detail="200 OK")
        status = a.status
    assert (status.version, status.interface, status.lateness.realtime) == ("1.2.3", "eth0", "SCHED_RR 50")
    assert (status.state, status.vrid, status.vrrp_version, status.interval) == ("initialize", 51, 3, 0.1)
    assert (status.source, status.destinations, status.addresses) == (A, ("224.0.0.18",), (VIP,))
    assert (status.preempt, status.lease) == (words, 2.0)
    assert (status.started, status.now) == (EPOCH, EPOCH + 1)
    sip, file = status.tracks
    assert (sip.ok, sip.since, sip.at, sip.results, sip.detail) == (None, None, EPOCH + 1, 1, "200 OK")
    assert (file.ok, file.at, file.fault) == (None, None, True)


async def test_several_destinations_hear_each_advert(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    a.wire.destinations = (B, "192.0.2.13")
    async with living(a):
        await trio.sleep(2)
        assert a.status.sent == len(a.wire.sent)
        assert len(a.wire.sent) % 2 == 0
    assert a.status.sent_zero == 2


async def test_the_transition_is_told_with_all_that_is_known(cable: Cable, autojump_clock: object) -> None:
    a = station(cable, A, 250)
    with structlog.testing.capture_logs() as logged:
        async with living(a):
            await trio.sleep(1)
    first, second, third = a.transitions
    assert attrs.asdict(first) == {
        "before": "initialize",
        "after": "backup",
        "cause": "started",
        "priority": 250,
        "at": EPOCH,
    }
    assert second.cause == "nobody else has the address"
    assert third.cause == "stopped"
    assert [line["keepalived"] for line in logged] == ["BACKUP", "MASTER", "INIT"]


def test_the_clock_of_the_agent_goes_on() -> None:
    assert boottime() <= boottime()
