"""What does a full disk, a folder without permission, or a mad control client cost?  A clear word, and no call."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest

from sip.uri import Address
from tests.e2e.operator import Operator
from tests.e2e.proxy import ROOT, Proxy, command, fail_to_start, keep_secret
from tests.e2e.traffic import Servers, Traffic, line_of, udp
from tests.peers.need import require_root
from tests.peers.ports import free_port, is_bound
from tests.peers.program import Program, wait_until

PROXY = "127.0.0.10"
ANYBODY = "sip:bob@example.com"
RATE = 400
"""Requests a second; their answers are as many messages again."""
NOBODY = 65534
EVENTS = 1500
"""More than wait for a follower, and than the kernel takes for one."""
UNWRITTEN = "words and verdicts cannot be written: a restart would forget them"


@attrs.frozen
class Network:
    """A client, two servers and the address of a proxy between them."""

    client: socket.socket
    one: socket.socket
    other: socket.socket
    address: Address

    @property
    def listen(self) -> str:
        return f"udp:{self.address[0]}:{self.address[1]}"

    @property
    def list_text(self) -> str:
        return f"# ours\n{line_of(self.one)}{line_of(self.other)}"

    def uri(self, sock: socket.socket) -> str:
        """A server as the list names it."""
        return line_of(sock).split()[1]

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Steady requests while the block is open; at its end each must have come, and its answer."""
        with (
            Servers(self.one, self.other) as servers,
            Traffic(self.client, self.address, [ANYBODY], rate=RATE) as traffic,
        ):
            traffic.after(100)
            yield traffic
            traffic.after(100)
            print(f"{traffic.finish(servers)} requests and as many answers, none lost")


@pytest.fixture
def network() -> Iterator[Network]:
    with udp("127.0.0.31") as client, udp("127.0.0.21") as one, udp("127.0.0.22") as other:
        yield Network(client, one, other, (PROXY, free_port(PROXY)))


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "control.sock")


# --------------------------------------------------------------------------------------------------------------------
# Disks


def test_a_full_disk(network: Network, operator: Operator, tmp_path: Path) -> None:
    """State and list are on it; what is asked for is done as far as it can be, and each failure says what to do."""
    require_root("a file system of its own")
    folder = tmp_path / "proxy"
    script = (
        f'cp -a "{folder}" "{folder}.copy"; mount -t tmpfs -o size=128k tmpfs "{folder}"; '
        f'cp -a "{folder}.copy/." "{folder}/"; exec "$@"'
    )
    with Proxy(
        [network.listen],
        network.list_text,
        directory=folder,
        settings=operator.settings,
        wrapper=["unshare", "--mount", "sh", "-ec", script, "sh"],
    ) as proxy:
        disk = Path(f"/proc/{proxy.program.pid}/root{folder}")
        listed = disk / "dispatcher.list"
        listed.chmod(0o640)
        before = _state_of(listed)
        fill = disk / "full"
        _fill(fill)
        with network.traffic() as traffic:
            added = operator.run("ds", "add", "1", "sip:127.0.0.23", "4", "0", "weight=50", "--save")
            removed = operator.run("ds", "remove", network.uri(network.one), "--save")
            assert _state_of(listed) == before
            assert not [each for each in disk.iterdir() if each.name.startswith(".")]
            assert len(operator.ask("ds", "list")["sets"][0]["destinations"]) == 2
            drained = operator.run("ds", "drain", network.uri(network.one))
            warned = proxy.wait_for(UNWRITTEN)
            traffic.after(100)
            fill.unlink()
            assert operator.run("ds", "undrain", network.uri(network.one)).code == 0
            proxy.wait_for("words and verdicts are written again")
            again = operator.run("ds", "add", "1", "sip:127.0.0.23", "4", "0", "weight=50", "--save")
        text = listed.read_text()
        quiet = [event for event in proxy.log("the list was reloaded") if event["change"] == "no change"]

    for said in (added, removed):
        assert said.code == 2
        assert said.err == (
            "sipdispatch: error: the list cannot be saved, and nothing is changed: No space left on device\n"
            f"  where: {folder}/dispatcher.list\n"
            f"  to do: leave --save out, or free some space there: df -h {folder}; df -i {folder}\n"
        )
    assert drained.code == 0
    state = folder / "state"
    assert warned["reason"] == "No space left on device"
    assert warned["hint"] == f"free some space there: df -h {state}; df -i {state}; it is tried again every 10 s"
    assert again.out.startswith("+ 1 sip:127.0.0.23\n")
    assert again.out.endswith("added, and written into the list; 3 destinations\n")
    assert text == f"{network.list_text}1 sip:127.0.0.23 4 0 weight=50\n"
    assert not quiet


def test_a_log_that_cannot_be_written(network: Network, tmp_path: Path) -> None:
    keep_secret(tmp_path / "state")
    config = tmp_path / "sipdispatch.toml"
    config.write_text(
        f'[proxy]\nlisten = "{network.listen}"\nlist = "dispatcher.list"\n'
        "[health]\nenabled = false\n[control]\nenabled = false\n"
    )
    (tmp_path / "dispatcher.list").write_text(network.list_text)
    argv = command([], tmp_path / "dispatcher.list", config=config)
    with Program(
        ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", *argv],
        log=tmp_path / "proxy.log",
        directory=ROOT,
        environment={"STATE_DIRECTORY": str(tmp_path / "state")},
    ) as proxy:
        proxy.until(lambda: is_bound(*network.address, pid=proxy.pid), "the proxy listens")
        with network.traffic():
            proxy.signal(signal.SIGHUP)
        assert proxy.stop() == 0


def test_as_nobody_where_nothing_may_be_written(network: Network) -> None:
    """The state folder may not be written in, nor the list's; then the list belongs to somebody else."""
    require_root("another user")
    # What nobody runs is not measured: nobody may not write the measurements.
    as_nobody = [
        "env",
        "-u",
        "COVERAGE_PROCESS_CONFIG",
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--",
    ]
    folder = Path(tempfile.mkdtemp(prefix="sipdispatch-"))  # pytest's own are for root only
    try:
        folder.chmod(0o755)
        (folder / "run").mkdir()
        os.chown(folder / "run", NOBODY, NOBODY)
        operator = Operator(folder / "run" / "control.sock")
        proxy = Proxy(
            [network.listen],
            network.list_text,
            directory=folder / "proxy",
            settings=operator.settings,
            wrapper=as_nobody,
        )
        for each in (proxy.state / "secret", proxy.state):
            os.chown(each, NOBODY, NOBODY)
        proxy.state.chmod(0o500)
        before = _state_of(proxy.list_file)
        with proxy, network.traffic():
            warned = proxy.wait_for(UNWRITTEN)
            unwritable = operator.run("ds", "add", "1", "sip:127.0.0.23", "--save")
            (folder / "proxy").chmod(0o777)
            not_ours = operator.run("ds", "add", "1", "sip:127.0.0.23", "--save")
        assert _state_of(proxy.list_file) == before
        assert not list((folder / "proxy").glob(".*"))
    finally:
        shutil.rmtree(folder)
    assert warned["path"] == f"{proxy.state}/liveness.json"
    assert warned["reason"] == "Permission denied"
    assert warned["hint"].startswith(f"let user {NOBODY} write in {proxy.state}; ")
    saying = "sipdispatch: error: the list cannot be saved, and nothing is changed: "
    assert (unwritable.code, not_ours.code) == (2, 2)
    assert unwritable.err == (
        f"{saying}Permission denied\n  where: {proxy.list_file}\n"
        f"  to do: leave --save out, or let user {NOBODY} write in {proxy.list_file.parent}\n"
    )
    assert not_ours.err == (
        f"{saying}Operation not permitted\n  where: {proxy.list_file}\n"
        f"  to do: leave --save out, or let user {NOBODY} own and change it: "
        f"ls -l {proxy.list_file}; lsattr {proxy.list_file}\n"
    )


def _state_of(file: Path) -> tuple[bytes, os.stat_result]:
    return file.read_bytes(), file.stat()


def _fill(file: Path) -> None:
    """Take all the room that is left."""
    with file.open("wb", buffering=0) as filled, contextlib.suppress(OSError):
        while True:
            filled.write(bytes(4096))
    assert os.statvfs(file).f_bavail == 0


# --------------------------------------------------------------------------------------------------------------------
# The control socket


def test_a_control_socket_that_is_there_already(network: Network, operator: Operator, tmp_path: Path) -> None:
    """Of a proxy that runs, or what is no socket at all; what a killed one has left is below."""
    second = tmp_path / "second"
    second.mkdir()
    (second / "dispatcher.list").write_text("1 sip:127.0.0.21\n")
    config = second / "sipdispatch.toml"
    config.write_text(
        f'[proxy]\nlisten = "{PROXY}:{free_port(PROXY)}"\nlist = "dispatcher.list"\n[health]\nenabled = false\n'
        f"{operator.settings}"
    )
    keep_secret(second / "state")

    def refused() -> str:
        argv = command([], second / "dispatcher.list", config=config)
        output = fail_to_start(argv, state=second / "state", log=second / "proxy.log")
        (second / "proxy.log").unlink()
        return output[output.index("sipdispatch: error: ") :]

    to_do = "or write another path with socket in [control]"
    with (
        Proxy([network.listen], network.list_text, directory=tmp_path / "first", settings=operator.settings),
        network.traffic(),
    ):
        assert refused() == (
            "sipdispatch: error: another process listens on the control socket: does this proxy run already?\n"
            f"  where: {operator.socket}\n  to do: stop the other one, {to_do}\n"
        )
        assert operator.run("status").code == 0
    operator.socket.write_text("notes\n")
    assert refused() == (
        "sipdispatch: error: there is a file in the place of the control socket, and it is no socket\n"
        f"  where: {operator.socket}\n  to do: move it away, {to_do}\n"
    )
    assert operator.socket.read_text() == "notes\n"


def test_clients_that_never_read_and_a_thousand_at_once(network: Network, operator: Operator, tmp_path: Path) -> None:
    uri = network.uri(network.one)
    with (
        _many_descriptors(),
        Proxy([network.listen], network.list_text, directory=tmp_path / "proxy", settings=operator.settings) as proxy,
        network.traffic() as traffic,
    ):
        with ExitStack() as stack:
            clients = [_connect(operator, stack) for _ in range(1000)]
            for client in clients:
                with contextlib.suppress(BrokenPipeError):  # it is refused already
                    client.sendall(_ask("core.uptime"))
            codes = Counter(json.loads(_line(client)).get("error", {}).get("code") for client in clients)
            crowded = operator.run("ds", "list")
        wait_until(lambda: operator.run("ds", "list").code == 0, "there is room again")
        with ExitStack() as stack:
            follower, deaf, steering = (_connect(operator, stack) for _ in range(3))
            follower.sendall(_ask("events"))
            deaf.settimeout(0.5)
            with pytest.raises(TimeoutError):
                deaf.sendall(_ask("dispatcher.show") * 10_000)
            for _ in range(EVENTS // 100):
                words = [json.loads(_ask("dispatcher.set_word", word=word, destination=uri)) for word in "di" * 50]
                steering.sendall(json.dumps(words).encode() + b"\n")
                assert _line(steering).count(b'"result"') == 100
            assert operator.run("ds", "undrain", uri).code == 0
            traffic.after(200)
        warned = [event for event in proxy.log() if event["level"] == "warning"]
    assert codes == {None: 80, 503: 920}
    saying = (
        "sipdispatch: error: there is no room for another client; connected: 80\n"
        "  where: the control socket\n  to do: see who they are: ss -xp; end some, or try again\n"
    )
    assert (crowded.code, crowded.out, crowded.err) == (2, "", saying)
    assert [(event["event"], event["there"]) for event in warned] == [
        ("control clients are refused: too many are there", 80)
    ]


@contextmanager
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _connect(operator: Operator, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    client.settimeout(10.0)
    client.connect(str(operator.socket))
    return client


def _ask(method: str, **params: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


def _line(client: socket.socket) -> bytes:
    raw = b""
    while not raw.endswith(b"\n"):
        chunk = client.recv(65536)
        assert chunk
        raw += chunk
    return raw


# --------------------------------------------------------------------------------------------------------------------
# Sudden ends


def test_what_the_operator_has_said_outlives_a_kill(network: Network, operator: Operator, tmp_path: Path) -> None:
    """The socket of the dead proxy is in the way of nothing, nor is a file that it has begun, or not written at all."""
    uri = network.uri(network.one)
    with Proxy([network.listen], network.list_text, directory=tmp_path / "proxy", settings=operator.settings) as proxy:
        assert operator.run("ds", "drain", uri).code == 0
        proxy.kill()
        assert operator.socket.is_socket()
        ended = operator.run("ds", "list")
        (proxy.state / ".liveness.json.new").write_text('{"version": 1, "destina')
        proxy.start()
        first = {each["uri"]: each["word"] for each in operator.ask("ds", "list")["sets"][0]["destinations"]}
        proxy.kill()
        (proxy.state / "liveness.json").write_text("")
        proxy.start()
        with network.traffic():
            pass
        second = {each["uri"]: each["word"] for each in operator.ask("ds", "list")["sets"][0]["destinations"]}
        (warned,) = (event for event in proxy.log() if event["level"] == "warning")
    assert first == {uri: "draining", network.uri(network.other): "enabled"}
    assert second == dict.fromkeys(first, "enabled")
    assert ended.err == (
        "sipdispatch: error: no proxy listens on its control socket any more: it has ended\n"
        f"  where: {operator.socket}\n"
        "  to do: start it, or name its socket with --socket or its configuration with --config\n"
    )
    assert warned["event"] == "words and verdicts of the last run are not known"
    assert warned["path"] == f"{proxy.state}/liveness.json"
    assert warned["hint"] == "say again what is to drain or to be disabled; the probes find the verdicts"
