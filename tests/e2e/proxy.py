"""How does a test run the real `sipdispatch proxy`, read its log, and see that it ends well?"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.peers.namespace import Namespace
from tests.peers.program import Program

ROOT = Path(__file__).resolve().parents[2]
SECRET = "5b6f1c0e94d7a2833f68b1d05c79e24a0d8be6f71539c4a2870f1e6db35a9c48"
"""The same in all tests, so that a call's server is the same in every run."""

START_SECONDS = 30.0
RELOADED = "the list was reloaded"
NOT_RELOADED = "the list was not reloaded; the old one stays in force"


class Proxy:
    """A `sipdispatch proxy` on `listen` (`udp:127.0.0.10:6001`) with this dispatcher list, while the block is open.

    `settings` are further lines of its [proxy] section and whatever comes after it; without any the options of the
    command line are used.  Only with `probing` does it ask its destinations whether they live, which a mere socket does
    not answer.  `wrapper` is a command that becomes the proxy (`unshare ... --`).  Its
    list, its configuration and its state are in `directory`.  Leaving the block stops it and checks how it ended.
    """

    fastpath: ClassVar = "auto"
    """`[proxy] fastpath`, where the test has settings or does not probe."""

    def __init__(
        self,
        listen: Sequence[str],
        list_text: str,
        *,
        directory: Path,
        settings: str = "",
        probing: bool = False,
        namespace: Namespace | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.list_file = directory / "dispatcher.list"
        self.config_file = directory / "sipdispatch.toml"
        self.state = directory / "state"
        self._log_file = directory / "proxy.log"
        self._namespace = namespace
        self._listen = listen
        self._path = "" if self.fastpath == "auto" else f'fastpath = "{self.fastpath}"\n'
        self._after = "" if probing else "[health]\nenabled = false\n"
        self.write_list(list_text)
        options = command(listen, self.list_file)
        if settings:
            self.write_config(settings)
            options = command(listen, self.list_file, config=self.config_file)
        elif not probing:
            _save(self.config_file, f"[proxy]\n{self._path}{self._after}")
            options += ["--config", str(self.config_file)]
        self._argv = [*wrapper, *options]
        keep_secret(self.state)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.program.returncode is None:
            self.stop()
        self.program.stop()

    def start(self) -> None:
        """Start it, again after it was killed, and wait until it is ready."""
        begun = len(self.log("ready"))
        self.program = Program(
            self._argv,
            log=self._log_file,
            namespace=self._namespace,
            directory=ROOT,
            environment={"STATE_DIRECTORY": str(self.state)},
        )
        try:
            self.program.until(lambda: len(self.log("ready")) > begun, "the proxy is ready", seconds=START_SECONDS)
        except BaseException:
            self.program.stop()
            raise

    def stop(self) -> Mapping[str, Any]:
        """End it with SIGTERM, check that it ends as it should, and return what it said last."""
        self.program.stop()
        assert self.program.returncode == 0, self.output()
        assert_no_traceback(self.output())
        return self.log("stopped")[-1]

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.program.signal(signal.SIGKILL)
        self.program.wait(5.0)

    def output(self) -> str:
        """All that it has written."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def log(self, *beginnings: str) -> list[Mapping[str, Any]]:
        """The lines of its log so far; with arguments, those whose event begins with one of them."""
        lines = (line for line in self.output().splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for event in map(json.loads, lines) if event["event"].startswith(beginnings or "")]

    def wait_for(self, *beginnings: str, beyond: int = 0, seconds: float = 15.0) -> Mapping[str, Any]:
        """The event of the log that begins so and has `beyond` such events before it, once it is there."""
        self.program.until(lambda: len(self.log(*beginnings)) > beyond, f"the log has {beginnings}", seconds=seconds)
        return self.log(*beginnings)[beyond]

    def write_list(self, text: str) -> None:
        """Save the dispatcher list as editors do: whole, under its name at once."""
        _save(self.list_file, text)

    def write_config(self, settings: str) -> None:
        """Save sipdispatch.toml with these settings behind listen and list."""
        listen = ", ".join(f'"{address}"' for address in self._listen)
        _save(
            self.config_file,
            f'[proxy]\nlisten = [{listen}]\nlist = "{self.list_file.name}"\n{self._path}{settings}\n{self._after}',
        )

    def reload(self) -> Mapping[str, Any]:
        """Ask for a reload with SIGHUP; the event that tells how it went."""
        before = len(self.log(RELOADED, NOT_RELOADED))
        self.program.signal(signal.SIGHUP)
        return self.wait_for(RELOADED, NOT_RELOADED, beyond=before)

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far, in user and kernel mode (proc(5), fields 14 and 15 of stat)."""
        fields = Path(f"/proc/{self.program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(listen: Sequence[str], list_file: Path, *, config: Path | None = None) -> list[str]:
    """The command line of a proxy; `config` in place of the options."""
    words = [sys.executable, "-m", "sipdispatch", "proxy"]
    if config is not None:
        return [*words, "--config", str(config)]
    for address in listen:
        words += ["--listen", address]
    return [*words, "--list", str(list_file)]


def fail_to_start(
    argv: Sequence[str], *, state: Path, log: Path, wrapper: Sequence[str] = (), seconds: float = START_SECONDS
) -> str:
    """Run a proxy that must end by itself with exit status 2; what it said."""
    program = Program([*wrapper, *argv], log=log, directory=ROOT, environment={"STATE_DIRECTORY": str(state)})
    with program:
        status = program.wait(seconds)
    output = program.output()
    assert status == 2, output
    assert_no_traceback(output)
    return output


def assert_no_traceback(output: str) -> None:
    """Whatever happens, the operator never sees the inside of the program."""
    assert "Traceback" not in output, output
    assert "internal error" not in output, output


def keep_secret(state: Path) -> None:
    """Make the state directory with the tests' secret in it."""
    state.mkdir(mode=0o700, exist_ok=True)
    file = state / "secret"
    file.touch(mode=0o600)
    file.write_text(f"{SECRET}\n")


def _save(file: Path, text: str) -> None:
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text)
    fresh.replace(file)
