"""Does `sipdispatch demo` keep its promises, with real sockets on loopback?

The shows last some seconds each, so they all run at the same time, on ports of their own.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from sipdispatch.cli import main
from tests.dispatcher.world import request
from tests.peers.ports import free_port

ROOT = Path(__file__).parents[2]
QUICK = ("--calls", "20", "--rate", "20")
"""Little enough for a machine that is busy with other tests: one that cannot keep up makes the phone repeat itself."""
SECONDS = 60.0
"""How long a test waits for what takes ten seconds on an idle machine."""


def start(folder: Path, *options: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sipdispatch", "demo", *QUICK, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "TERM": "xterm", "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@attrs.frozen
class Shows:
    once: tuple[int, str, str]
    """Exit status, standard output, standard error."""
    terminal: tuple[int, str, str]
    interrupted: tuple[int, str, str]
    staying: subprocess.Popen[str]
    staying_port: int
    folder: Path


@pytest.fixture(scope="module")
def shows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shows]:
    folder = tmp_path_factory.mktemp("demo")
    ports = [free_port() for _ in range(4)]
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        once = stack.enter_context(start(folder, "--once", "--port", str(ports[0])))
        terminal = stack.enter_context(start(folder, "--once", "--port", str(ports[1]), stdout=theirs))
        os.close(theirs)
        screen = stack.enter_context(ThreadPoolExecutor()).submit(read_terminal, ours)
        interrupted = stack.enter_context(start(folder, "--once", "--port", str(ports[2])))
        staying = stack.enter_context(start(folder, "--port", str(ports[3])))
        for process in (once, terminal, interrupted, staying):
            stack.callback(process.kill)
        assert interrupted.stdout is not None
        next(line for line in interrupted.stdout if line.startswith("1. "))
        interrupted.send_signal(signal.SIGINT)
        stop = interrupted.communicate(timeout=SECONDS)
        yield Shows(
            once=(*once_ended(once), *once.communicate(timeout=SECONDS)),
            terminal=(terminal.wait(timeout=SECONDS), screen.result(), read_errors(terminal)),
            interrupted=(interrupted.returncode, *stop),
            staying=staying,
            staying_port=ports[3],
            folder=folder,
        )


def once_ended(process: subprocess.Popen[str]) -> tuple[int]:
    return (process.wait(timeout=SECONDS),)


def read_terminal(ours: int) -> str:
    """All that is shown; it must be read at once, or the program waits for the terminal."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux: EIO when the other side has been closed
        while piece := os.read(ours, 65536):
            shown += piece
    return shown.decode()


def read_errors(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


def rows(output: str) -> dict[str, tuple[int, int]]:
    """The calls of the heavier and the lighter answerer in each part of the final table."""
    found: dict[str, tuple[int, int]] = {}
    for name in ("both answer", "one killed", "back again"):
        table = re.findall(
            rf"{name} +127\.0\.0\.2:\d+ +70 +\d+ % +(\d+) .*\n +127\.0\.0\.3:\d+ +30 +\d+ % +(\d+) ", output
        )
        assert table, output
        found[name] = (int(table[-1][0]), int(table[-1][1]))
    return found


@pytest.mark.slow
def test_once_elsewhere_than_on_a_terminal(shows: Shows) -> None:
    status, output, errors = shows.once
    assert status == 0, output + errors
    counts = rows(output)
    assert sum(counts["both answer"]) == 20
    assert counts["one killed"][0] == 0
    assert counts["one killed"][1] >= 20
    assert counts["back again"][0] > 0
    placed = sum(map(sum, counts.values()))
    assert f"{placed} calls placed, {placed} complete, 0 lost.\n" in output
    assert "\x1b" not in output
    assert [line[:2] for line in output.splitlines() if re.match(r"\d\. ", line)] == ["1.", "2.", "3.", "4."]
    assert all(len(line) <= 80 for line in output.splitlines())
    assert set(errors.splitlines()) == {
        line
        for line in errors.splitlines()
        if line.startswith(("proxy: a destination is down", "proxy: a destination has changed"))
    }


@pytest.mark.slow
def test_on_a_terminal_the_table_is_drawn_again_and_again(shows: Shows) -> None:
    status, output, errors = shows.terminal
    assert (status, errors) == (0, "")
    assert output.count("share") > 20
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "")
    assert sum(rows(plain)["back again"]) >= 20
    assert "proxy: a destination is down" in plain
    assert re.search(r"\d+ calls placed, \d+ complete, 0 lost\.", plain)


@pytest.mark.slow
def test_an_interrupted_show_has_shown_nothing(shows: Shows) -> None:
    status, output, errors = shows.interrupted
    assert status == 130
    assert "Traceback" not in output + errors
    assert "complete" not in output


@pytest.mark.slow
def test_it_stays_for_calls_until_ctrl_c(shows: Shows) -> None:
    process, port = shows.staying, shows.staying_port
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C ends"):
            break
    text = "".join(said)
    assert f"    sipsak -vv -s sip:s@127.0.0.1:{port}\n" in text
    (path,) = re.findall(r"^    (/\S+/dispatcher\.list)$", text, re.MULTILINE)
    assert Path(path).read_text().startswith(f"1 sip:127.0.0.2:{port} 0 0 weight=70\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(SECONDS)
        via = f"127.0.0.1:{phone.getsockname()[1]}"
        phone.sendto(request("OPTIONS", f"sip:s@127.0.0.1:{port}", via=via), ("127.0.0.1", port))
        assert phone.recv(65535).startswith(b"SIP/2.0 200 ")
        hostile = "<sip:8005\x1b[2J@127.0.0.1>"
        phone.sendto(
            request("INVITE", f"sip:8006@127.0.0.1:{port}", via=via, from_=hostile.replace("\x1b", "%1b")),
            ("127.0.0.1", port),
        )
        assert phone.recv(65535).startswith(b"SIP/2.0 180 ")
    answered = next(line for line in process.stdout if " answers INVITE " in line)
    assert re.match(rf"127\.0\.0\.[23]:{port} answers INVITE sip:8006@127\.0\.0\.1:{port} from <sip:8005%1b", answered)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert output.endswith("\nThe demo has ended; nothing is left running.\n")
    assert "Traceback" not in errors
    assert list(shows.folder.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.3"], ids=["the proxy's", "an answerer's"])
def test_a_taken_port_is_told_with_the_option_that_changes_it(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, port))
        process = start(tmp_path, "--once", "--port", str(port))
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert output == ""
    what, where, remedy = errors.splitlines()
    assert what.startswith("sipdispatch: error: the address ")
    assert f"(pid {os.getpid()})" in what
    assert where == f"  where: udp:{host}:{port}"
    assert remedy == f"  to do: stop it, or choose another port: sipdispatch demo --port {port + 10}"
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    assert main(["demo", "--once"]) == 2
    assert capsys.readouterr().err == (
        "sipdispatch: error: no temporary folder can be made: No space left on device\n"
        "  where: the system's folder for temporary files\n"
        "  to do: free some space there, or name another folder in the environment variable TMPDIR\n"
    )


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["--calls", "0"], "0 is not in the range 1<=x<=100000"),
        (["--rate", "0"], "0.0 is not in the range 0.1<=x<=500"),
    ],
)
def test_options_out_of_range(options: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *options]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"sipdispatch: error: {what}"
