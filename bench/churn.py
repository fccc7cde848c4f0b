"""What is done to a running proxy each second: its list read anew with a changed line, one state changed and back?"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench import layout
from sipdispatch.control_client import ControlClient
from sipdispatch.errors import CommandError

EVERY_SECONDS = 1.0
BACK_AFTER_SECONDS = 0.5
IN_FORCE_SECONDS = 10.0
"""For a list that is read on a signal, which answers nobody."""
LOOK_SECONDS = 0.25
"""Between two questions whether the list is in force: each costs the proxy some milliseconds."""
STATES = ("draining", "disabled")
WEIGHT = 50
ENDED_SECONDS = 2 * IN_FORCE_SECONDS


class Churn:
    """The changes, from `ongoing` on in two threads: what was done and what was refused, and why."""

    def __init__(self, process: subprocess.Popen[bytes], *, work: Path, control: Path, count: int) -> None:
        self.reloads = self.reloads_refused = self.changes = self.changes_refused = 0
        self.complaints: list[str] = []
        self._process = process
        self._list = work / "dispatcher.list"
        self._control = control
        self._count = count
        self._over = threading.Event()

    @contextlib.contextmanager
    def ongoing(self) -> Iterator[None]:
        """Changes go on while the block is open; at its end every destination is enabled."""
        threads = [threading.Thread(target=self._each_second, args=[what]) for what in (self._read_anew, self._change)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(ENDED_SECONDS)

    def __str__(self) -> str:
        return (
            f"{self.reloads:,} reloads ({self.reloads_refused:,} refused), "
            f"{self.changes:,} changes of state ({self.changes_refused:,} refused)"
        )

    def problems(self) -> list[str]:
        """What was refused, and the first reasons."""
        refused = self.reloads_refused + self.changes_refused
        return [f"{refused:,} reloads or changes of state refused: {'; '.join(self.complaints[:3])}"] if refused else []

    def _each_second(self, do: Callable[[int], None]) -> None:
        """Or as soon as it was done before, where that takes longer."""
        number, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            number, due = number + 1, due + EVERY_SECONDS
            do(number)

    def _read_anew(self, number: int) -> None:
        if self._do(partial(self._reload, number)):
            self.reloads += 1
        else:
            self.reloads_refused += 1

    def _change(self, number: int) -> None:
        """One destination takes no new work for half a second; all the others do."""
        uri = f"sip:{layout.DESTINATIONS + 1 + number % self._count}:{layout.DESTINATION_PORT}"
        for state in (STATES[number % len(STATES)], "enabled"):
            asked = {"state": state, "group": 1, "address": uri}
            if self._do(partial(self._ask, "dispatcher.set_state", asked)):
                self.changes += 1
            else:
                self.changes_refused += 1
            if state != "enabled":
                self._over.wait(BACK_AFTER_SECONDS)

    def _reload(self, number: int) -> None:
        """By turns on a signal and over the control socket; raises CommandError when it is not done."""
        before = self._fingerprint()
        self._list.write_text(changed_list(self._count, number))
        if number % 2:
            self._process.send_signal(signal.SIGHUP)
            until = time.monotonic() + IN_FORCE_SECONDS
            while self._fingerprint() == before:
                if time.monotonic() > until:
                    raise CommandError("the list is not in force", "SIGHUP", "see the proxy's log")
                time.sleep(LOOK_SECONDS)
        else:
            self._ask("dispatcher.reload", {})

    def _fingerprint(self) -> object:
        return self._ask("status", {})["list"]["fingerprint"]

    def _ask(self, method: str, parameters: dict[str, object]) -> Any:
        with ControlClient(self._control) as client:
            return client.call(method, parameters)

    def _do(self, what: Callable[[], object]) -> bool:
        try:
            what()
        except (CommandError, OSError) as error:
            self.complaints.append(str(error))
            return False
        return True


def changed_list(count: int, number: int) -> str:
    """The list with one line that differs from that of `number - 1`, and none that is a new destination."""
    lines = layout.dispatcher_list(count).splitlines(keepends=True)
    place = number // 2 % count
    if number % 2:
        lines[place] = lines[place].replace(f"weight={WEIGHT}", f"weight={WEIGHT // 2}")
    return "".join(lines)
