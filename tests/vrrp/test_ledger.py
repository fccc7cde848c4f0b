"""Is what an agent counts bounded, and is an alarm told once and over in time?"""

from __future__ import annotations

import itertools

from vrrp.ledger import ALARM_LIFETIME_S, MOST_ALARMS, MOST_LINES, MOST_PEERS, REFUSAL_LOG_S, Ledger
from vrrp.packet import Advert, Checksum
from vrrp.reception import Heard, Mismatch
from vrrp.refusal import Refusal

VIP = ("192.0.2.100",)


def heard(priority: int = 240, *, mismatches: tuple[Mismatch, ...] = ()) -> Heard:
    advert = Advert(version=3, vrid=51, priority=priority, interval=0.1, addresses=VIP)
    return Heard(advert, Checksum.MESSAGE, mismatches)


def test_a_peer_is_known_by_its_last_advert() -> None:
    ledger = Ledger()
    ledger.note_heard("192.0.2.12", heard(), 1000.0)
    ledger.note_heard("192.0.2.12", heard(0), 1001.0)
    (peer,) = ledger.peers
    assert (peer.address, peer.priority, peer.interval, peer.version) == ("192.0.2.12", 0, 0.1, 3)
    assert (peer.checksum, peer.heard, peer.adverts) == ("message", 1001.0, 2)
    assert (ledger.received, ledger.received_zero) == (2, 1)


def test_of_too_many_peers_the_one_that_is_silent_for_longest_is_forgotten() -> None:
    ledger = Ledger()
    for number in range(MOST_PEERS):
        ledger.note_heard(f"192.0.2.{number}", heard(), float(number))
    ledger.note_heard("192.0.2.0", heard(), 100.0)
    ledger.note_heard("192.0.2.200", heard(), 101.0)
    addresses = [peer.address for peer in ledger.peers]
    assert len(addresses) == MOST_PEERS
    assert addresses[-2:] == ["192.0.2.0", "192.0.2.200"]
    assert "192.0.2.1" not in addresses


def test_a_mismatch_is_an_alarm_that_is_new_once() -> None:
    ledger, other = Ledger(), heard(mismatches=(Mismatch("interval", "0.1 s", "1 s"),))
    (alarm,) = ledger.note_heard("192.0.2.12", other, 1000.0)
    assert (alarm.field, alarm.peer, alarm.text) == (
        "interval",
        "192.0.2.12",
        "interval: here 0.1 s, at 192.0.2.12 1 s",
    )
    assert ledger.note_heard("192.0.2.12", other, 1001.0) == []
    (alarm,) = ledger.alarms(1001.0)
    assert (alarm.since, alarm.last, alarm.count) == (1000.0, 1001.0, 2)


def test_an_alarm_is_over_when_it_has_not_come_again() -> None:
    ledger = Ledger()
    ledger.raise_alarm("owner", "02:00:00:00:00:01", "text", 1000.0)
    assert len(ledger.alarms(1000.0 + ALARM_LIFETIME_S)) == 1
    assert ledger.alarms(1000.1 + ALARM_LIFETIME_S) == ()
    again = ledger.raise_alarm("owner", "02:00:00:00:00:01", "text", 1000.1 + ALARM_LIFETIME_S)
    assert again is not None
    assert again.count == 1


def test_an_alarm_with_another_text_is_another_alarm() -> None:
    ledger = Ledger()
    ledger.raise_alarm("interval", "192.0.2.12", "here 0.1 s, there 1 s", 1000.0)
    assert ledger.raise_alarm("interval", "192.0.2.12", "here 0.1 s, there 2 s", 1000.0) is not None
    assert [alarm.text for alarm in ledger.alarms(1000.0)] == ["here 0.1 s, there 2 s"]


def test_of_too_many_alarms_the_oldest_is_forgotten() -> None:
    ledger = Ledger()
    for number in range(MOST_ALARMS + 1):
        ledger.raise_alarm("owner", str(number), "text", 1000.0)
    alarms = ledger.alarms(1000.0)
    assert len(alarms) == MOST_ALARMS
    assert alarms[0].peer == "1"


def test_forged_sources_are_worth_so_many_lines_a_minute() -> None:
    ledger, odd = Ledger(), heard(mismatches=(Mismatch("interval", "0.1 s", "1 s"),))
    told = [
        ledger.note_heard(f"198.51.{number // 256}.{number % 256}", odd, 1000.0 + number / 1000)
        for number in range(5000)
    ]
    assert sum(map(len, told)) == MOST_LINES
    assert ledger.raise_alarm("interval", "192.0.2.12", "another", 1059.9) is None
    assert ledger.raise_alarm("owner", "192.0.2.12", "text", 1060.1) is not None
    assert {alarm.peer for alarm in ledger.alarms(1060.1)} >= {"192.0.2.12"}


def test_a_clock_that_is_set_back_keeps_nothing_alive_and_nothing_quiet() -> None:
    ledger = Ledger()
    for number in range(MOST_LINES):
        assert ledger.raise_alarm("owner", str(number), "text", 10_000.0) is not None
    assert ledger.note_refused(Refusal.TTL, "192.0.2.13", 10_000.0)
    assert ledger.alarms(5_000.0) == ()
    assert ledger.raise_alarm("owner", "0", "text", 5_000.0) is not None
    assert ledger.note_refused(Refusal.TTL, "192.0.2.13", 5_000.0)


def test_a_refusal_is_worth_a_line_once_a_minute_and_what_is_expected_never() -> None:
    ledger = Ledger()
    assert ledger.note_refused(Refusal.TTL, "192.0.2.13", 1000.0)
    assert not ledger.note_refused(Refusal.TTL, "192.0.2.13", 999.9 + REFUSAL_LOG_S)
    assert ledger.note_refused(Refusal.CHECKSUM, "192.0.2.13", 1001.0)
    assert ledger.note_refused(Refusal.TTL, "192.0.2.13", 1000.0 + REFUSAL_LOG_S)
    assert not ledger.note_refused(Refusal.VRID, "192.0.2.13", 1000.0)
    # If it was the peer, there are two owners: that is to be seen for as long as it goes on.
    assert [(alarm.field, alarm.peer, alarm.count) for alarm in ledger.alarms(1001.0 + REFUSAL_LOG_S)] == [
        ("refused", "192.0.2.13", 1),
        ("refused", "192.0.2.13", 3),
    ]
    for number in range(MOST_ALARMS):
        ledger.note_refused(Refusal.STRANGER, str(number), 1060.0)
    assert [(alarm.peer, alarm.count) for alarm in ledger.alarms(1060.0)][-1] == (str(MOST_ALARMS - 1), MOST_ALARMS)
    assert len(ledger.alarms(1060.0)) == 3
    assert ledger.refused.pop(Refusal.STRANGER) == MOST_ALARMS
    assert ledger.refused == {Refusal.TTL: 3, Refusal.CHECKSUM: 1, Refusal.VRID: 1}


def test_lateness_is_of_the_last_of_this_minute_and_of_all() -> None:
    ledger = Ledger()
    fresh = ledger.lateness(60.0, "SCHED_RR 50")
    assert (fresh.last, fresh.worst, fresh.worst_at, fresh.worst_of_minute) == (0.0, 0.0, None, 0.0)
    for late, wall in ((0.5, 60.0), (0.2, 61.0), (0.3, 119.0)):
        ledger.note_lateness(late, wall)
    told = ledger.lateness(120.0, "SCHED_RR 50")
    assert (told.last, told.worst, told.worst_at, told.worst_of_minute) == (0.3, 0.5, 60.0, 0.5)
    assert told.realtime == "SCHED_RR 50"
    ledger.note_lateness(0.1, 180.0)
    assert ledger.lateness(180.0, "").worst_of_minute == 0.1
    assert ledger.lateness(240.0, "").worst_of_minute == 0.1
    assert ledger.lateness(300.0, "").worst_of_minute == 0.0


def test_lateness_keeps_two_minutes_and_no_more() -> None:
    ledger = Ledger()
    for minute, late in itertools.product(range(5), (0.1, 0.2)):
        ledger.note_lateness(late, 60.0 * minute)
    assert len(ledger._minutes) == 2
