"""The proxy as a task: what it opens, what it follows, how it ends."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import attrs
import pytest
import structlog.testing
import trio

from dispatcher.counters import Counters
from dispatcher.engine import Engine
from dispatcher.fastpath import WHY_NOT, Wish
from dispatcher.hopcache import NextHops
from dispatcher.listener import Listener
from dispatcher.outcome import DropReason, Refusal
from dispatcher.service import Service
from dispatcher.watch import Reading
from health.sending import SendOutcome
from sipdispatch import proxy
from sipdispatch.config import Config, Flags
from sipdispatch.errors import CommandError
from sipdispatch.load import load
from tests.dispatcher.world import request
from tests.peers.need import missing

pytestmark = pytest.mark.usefixtures("without_slot_tables")


def configuration(folder: Path, *, listen: str = "127.0.0.1:0", text: str = "1 sip:127.0.0.67 0 0\n") -> Config:
    (folder / "dispatcher.list").write_text(text)
    path = folder / "sipdispatch.toml"
    path.write_text(f'[proxy]\nlisten = "127.0.0.1:9"\nstate_dir = "{folder}"\nlist = "dispatcher.list"\n')
    loaded = load(path, Flags(set_id=1))
    assert isinstance(loaded, Config), loaded
    host, _, port = listen.rpartition(":")
    return attrs.evolve(loaded, proxy=attrs.evolve(loaded.proxy, listen=(Listener("udp", (host, int(port))),)))


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await trio.sleep(0.01)


@pytest.mark.parametrize("fastpath", get_args(Wish))
async def test_it_forwards_and_ends_at_sigterm(fastpath: Wish, tmp_path: Path) -> None:
    if WHY_NOT and fastpath == "on":
        missing(WHY_NOT)
    config = configuration(tmp_path)
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            service: Service = await nursery.start(
                proxy.serve, attrs.evolve(config, proxy=attrs.evolve(config.proxy, fastpath=fastpath, workers=2))
            )
            assert (service.engine is not None) is (fastpath != "off" and not WHY_NOT)
            address = service.snapshot.listeners[0].address
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                phone.sendto(request(), address)
            await until(lambda: service.counters.received == 1)
            os.kill(os.getpid(), signal.SIGTERM)
    assert [entry["event"] for entry in logged if entry["event"] in ("ready", "stopping", "stopped")] == [
        "ready",
        "stopping",
        "stopped",
    ]
    ready = next(entry for entry in logged if entry["event"] == "ready")
    expected = ("pure Python", None) if fastpath == "off" or WHY_NOT else ("fast path", 2)
    assert (ready["packet_path"], ready.get("workers")) == expected
    assert (tmp_path / "secret").exists()


async def test_what_the_configuration_asks_for_and_is_not_built_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.fastpath.WHY_NOT", "the fast path is not built")
    config = configuration(tmp_path)
    with pytest.raises(CommandError, match="the fast path is not built"):
        await proxy.serve(attrs.evolve(config, proxy=attrs.evolve(config.proxy, fastpath="on")))


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    if WHY_NOT:
        missing(WHY_NOT)

    def full(_engine: Engine, _now: float) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(Engine, "start", full)


async def test_with_on_a_proxy_whose_threads_cannot_start_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    config = configuration(tmp_path)
    with structlog.testing.capture_logs() as logged, pytest.raises(ExceptionGroup) as caught:
        await proxy.serve(attrs.evolve(config, proxy=attrs.evolve(config.proxy, fastpath="on")))
    (error,) = caught.value.exceptions
    assert isinstance(error, CommandError)
    assert error.faults[0].what == (
        "the fast path cannot start its threads: [Errno 11] Resource temporarily unavailable"
    )
    assert error.faults[0].where == 'fastpath = "on"'
    events = [entry["event"] for entry in logged]
    assert not {"ready", "the fast path cannot start its threads: Python forwards"} & set(events)


async def test_with_auto_python_forwards_when_the_threads_cannot_start_and_ready_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            service: Service = await nursery.start(proxy.serve, configuration(tmp_path))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                phone.sendto(request(), service.snapshot.listeners[0].address)
            await until(lambda: service.counters.received == 1)
            service.stop()
    ready = next(entry for entry in logged if entry["event"] == "ready")
    assert (ready["packet_path"], ready.get("workers")) == ("pure Python", None)
    assert ready["packet_path_why"] == (
        "the fast path cannot start its threads: [Errno 11] Resource temporarily unavailable"
    )


async def test_next_hops_are_kept_fresh_while_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[NextHops] = []

    async def keep_fresh(next_hops: NextHops) -> None:
        kept.append(next_hops)
        await trio.sleep_forever()

    monkeypatch.setattr(NextHops, "keep_fresh", keep_fresh)
    async with trio.open_nursery() as nursery:
        service: Service = await nursery.start(proxy.serve, configuration(tmp_path))
        await until(lambda: kept == [service._names])
        service.stop()


async def test_sighup_and_a_changed_file_reload_the_list(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        service: Service = await nursery.start(proxy.serve, configuration(tmp_path))
        (tmp_path / "dispatcher.list").write_text("1 sip:127.0.0.68 0 0\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: service.snapshot.is_core("127.0.0.68"))
        (tmp_path / "dispatcher.list").write_text("1 sip:127.0.0.169 0 0\n")
        await until(lambda: service.snapshot.is_core("127.0.0.169"))
        service.stop()


async def test_a_changed_configuration_is_checked_and_needs_a_restart(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert config.path is not None
    text = config.path.read_text()
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            service: Service = await nursery.start(proxy.serve, config)
            config.path.write_text(text + "domains = ['example.com']\n")
            await until(lambda: any("restart the proxy" in entry["event"] for entry in logged))
            config.path.write_text(text + "nonsense = 1\n")
            await until(lambda: any("a restart would fail" in entry["event"] for entry in logged))
            service.stop()
    assert any("nonsense" in entry["event"] and entry["log_level"] == "error" for entry in logged)


async def test_an_untouched_configuration_says_nothing_at_sighup(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config = attrs.evolve(config, proxy=attrs.evolve(config.proxy, listen=(Listener("udp", ("127.0.0.1", 9)),)))
    changes = proxy._Changes(config, None, None)  # type: ignore[arg-type]  # not looked at here
    with structlog.testing.capture_logs() as logged:
        await changes._check_configuration()
    assert logged == []


@attrs.define
class ListReads:
    """How often the list is read, by whomever."""

    path: Path
    count: int = 0
    known: Reading | None = None

    async def reload(self, _: object = None) -> None:
        self.known = Reading.of(self.path)
        self.count += 1


def changes_of(config: Config) -> tuple[proxy._Changes, ListReads]:
    config = attrs.evolve(config, proxy=attrs.evolve(config.proxy, listen=(Listener("udp", ("127.0.0.1", 9)),)))
    reads = ListReads(config.proxy.list_path)
    return proxy._Changes(config, reads, None), reads  # type: ignore[arg-type]  # nothing else of them is used


async def test_what_a_signal_has_had_read_the_watcher_leaves_alone(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    changes, reads = changes_of(config)
    both = (config.proxy.list_path, tmp_path / "sipdispatch.toml")
    with structlog.testing.capture_logs() as logged:
        both[0].write_text("1 sip:127.0.0.68 0 0\n")
        both[1].write_text(both[1].read_text() + "domains = ['example.com']\n")
        await changes.follow()
        await changes.files(both)
        assert (reads.count, len(logged)) == (1, 1)
        await changes.follow()
        assert (reads.count, len(logged)) == (2, 2), "a signal is obeyed whatever is known"
        both[0].write_text("1 sip:127.0.0.69 0 0\n")
        await reads.reload()
        await changes.files(both)
        assert (reads.count, len(logged)) == (3, 2), "an operator has had it read"
        for path in both:
            os.utime(path, (1, 1))
        await changes.files(both)
        await changes.files(both)
        assert (reads.count, len(logged)) == (4, 3), "who touches a file wants it read, once"
        for path in both:
            path.chmod(0o640)
        await changes.files(both)
        assert (reads.count, len(logged)) == (4, 3), "what it says is known"
        assert reads.known is not None
        reads.known = attrs.evolve(reads.known, digest=b"")
        await changes.files(both)
        assert reads.count == 5, "it could not be read before"


async def test_two_changes_within_a_tick_are_both_read(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    changes, reads = changes_of(config)
    path = config.proxy.list_path
    for text in ("1 sip:127.0.0.68 0 0\n", "1 sip:127.0.0.69 0 0\n"):
        path.write_text(text)
        os.utime(path, (1, 1))
        await changes.files((path,))
    assert reads.count == 2


async def test_it_does_not_start_with_a_bad_list_and_says_all_of_it(tmp_path: Path) -> None:
    config = configuration(tmp_path, text="1 sip:127.0.0.67 0 0 weight=x\nsip:127.0.0.68\n")
    with pytest.raises(CommandError) as raised:
        await proxy.serve(config)
    assert [fault.where.rpartition("/")[2].partition(":")[2].partition(":")[0] for fault in raised.value.faults] == [
        "1",
        "2",
    ]


async def test_it_does_not_start_without_its_list(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    (tmp_path / "dispatcher.list").unlink()
    with pytest.raises(CommandError) as raised:
        await proxy.serve(config)
    assert "cannot be read" in str(raised.value)
    assert str(tmp_path / "dispatcher.list") in str(raised.value)


async def test_a_second_one_on_the_same_listener_fails_plainly(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CommandError) as raised:
            await proxy.serve(configuration(tmp_path, listen=f"127.0.0.1:{port}"))
    assert str(port) in str(raised.value)


async def test_it_says_at_once_what_is_wrong_with_secret_listener_and_list(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("nonsense\n")
    (tmp_path / "secret").chmod(0o600)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CommandError) as raised:
            await proxy.serve(configuration(tmp_path, listen=listen, text="sip:127.0.0.68\n"))
    assert [fault.where for fault in raised.value.faults] == [
        f"{tmp_path / 'secret'}, line 1",
        f"udp:{listen}",
        f"{tmp_path / 'dispatcher.list'}:1:1",
    ]


def test_a_wildcard_is_the_nodes_addresses_and_a_named_one_keeps_its_advertise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "sipdispatch.proxy.expand_wildcard", lambda listener: (("192.0.2.10", 5060), ("192.0.2.11", 5060))
    )
    wildcard = Listener("udp", ("0.0.0.0", 5060))
    named = Listener("udp", ("192.0.2.10", 5060), ("sip.example.com", 5060))
    assert proxy.expanded([wildcard, named]) == [Listener("udp", ("192.0.2.11", 5060)), named]


def test_a_wildcard_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipdispatch.proxy.expand_wildcard", lambda listener: ())
    with pytest.raises(CommandError, match="stands for no address"):
        proxy.expanded([Listener("udp", ("::", 5060))])


def test_a_receive_buffer_that_is_smaller_than_wanted_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config = attrs.evolve(config, proxy=attrs.evolve(config.proxy, receive_buffer=(1 << 31) - 1))

    async def stopped() -> None:
        async with trio.open_nursery() as nursery:
            service: Service = await nursery.start(proxy.serve, config)
            service.stop()

    with structlog.testing.capture_logs() as logged:
        trio.run(stopped)
    assert any("receive buffer" in entry["event"] for entry in logged)


def test_the_last_line_of_the_log_says_what_became_of_everything() -> None:
    counters = Counters(received=9, forwarded=4)
    counters.answered[503] += 2
    counters.answered[200] += 1
    counters.refused[Refusal.NO_DESTINATION] += 2
    counters.dropped[DropReason.KEEPALIVE] += 1
    counters.unsent[SendOutcome.REFUSED] += 1
    assert proxy.sums(counters) == {
        "received": 9,
        "forwarded": 4,
        "answered": {"200": 1, "503": 2},
        "refused": {"no_destination": 2},
        "dropped": {"keepalive": 1},
        "unsent": {"refused": 1},
    }


async def test_systemd_is_told_of_the_start_of_the_state_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        told: list[str] = []

        def heard(line: str) -> bool:
            with contextlib.suppress(BlockingIOError):
                told.append(manager.recv(1000).decode())
            return line in told

        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.serve, configuration(tmp_path))
            for line in ("READY=1", "STATUS=1 of 1 destinations take new work", "WATCHDOG=1"):
                await until(lambda line=line: heard(line))  # type: ignore[misc]
            assert "STOPPING=1" not in told
            os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: heard("STOPPING=1"))
