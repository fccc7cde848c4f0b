"""Which words and verdicts outlive the proxy?  A small file in the state folder holds those that are not the usual.

What cannot be read or written costs no call: it is said once, and the proxy goes on with what the list says.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import structlog
import trio

from dispatcher.assemble import state_of
from dispatcher.destination import Destination, Entry
from dispatcher.steps import Steps, stepwise
from health.board import Remembered, Verdict, Word
from sip.uri import host_port
from sipdispatch.unwritten import remedy_of
from sipdispatch.whole_file import replace

NAME: Final = "liveness.json"
VERSION: Final = 1
SETTLE_S: Final = 1.0
"""How long a change waits for others: a rack that dies is written once."""
RETRY_S: Final = 10.0
"""Between two tries to write what could not be written."""
MOST_BYTES: Final = 16 << 20
"""Of a file that is read; one destination takes about 150."""

USUAL: Final = Remembered()
"""What need not be remembered of a destination that begins so."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@attrs.frozen
class Kept:
    """One line of the file.  `listed` is the word that the list gave then: another one now is the operator's latest."""

    set_id: int
    uri: str
    address: str
    listed: Word
    remembered: Remembered

    @property
    def name(self) -> tuple[int, str, str]:
        """Whom it is about."""
        return self.set_id, self.uri, self.address

    @classmethod
    def of(cls, destination: Destination, remembered: Remembered) -> Kept:
        return cls(
            destination.entry.set_id,
            destination.entry.uri,
            f"{host_port(destination.address)};{destination.transport}",
            state_of(destination).word,
            remembered,
        )


def to_text(kept: Iterable[Kept]) -> str:
    """The file, one destination a line."""
    lines = [
        json.dumps(
            {
                "set": each.set_id,
                "uri": each.uri,
                "address": each.address,
                "listed": each.listed.name.lower(),
                "word": None if each.remembered.word is None else each.remembered.word.name.lower(),
                "verdict": each.remembered.verdict.name.lower(),
            },
            ensure_ascii=False,
        )
        for each in kept
    ]
    return f'{{"version": {VERSION}, "destinations": [\n' + ",\n".join(lines) + "\n]}\n"


def from_text(text: str) -> tuple[Kept, ...]:
    """What `to_text` has written; raises ValueError for anything else."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"it is of version {document['version']}, and this program reads {VERSION}")
        return tuple(_read_one(each) for each in document["destinations"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not what this program writes") from error


def _read_one(item: Mapping[str, Any]) -> Kept:
    word = item["word"]
    remembered = Remembered(None if word is None else Word[word.upper()], Verdict[item["verdict"].upper()])
    return Kept(int(item["set"]), str(item["uri"]), str(item["address"]), Word[item["listed"].upper()], remembered)


@stepwise
def known(
    kept: Iterable[Kept], destinations: Sequence[Destination], numbers: Sequence[int]
) -> Steps[dict[int, Remembered]]:
    """What the file says of these destinations, by number."""
    by_name = {each.name: each for each in kept}
    if not by_name:
        return {}
    found: dict[int, Remembered] = {}
    for destination, number in zip(destinations, numbers, strict=True):
        own = Kept.of(destination, USUAL)
        earlier = by_name.get(own.name)
        if earlier is not None:
            word = earlier.remembered.word if earlier.listed is own.listed else None
            found[number] = Remembered(word, earlier.remembered.verdict)
        yield
    return found


def absent_of(kept: Iterable[Kept], destinations: Iterable[Destination], entries: Iterable[Entry]) -> tuple[Kept, ...]:
    """The operator's words about addresses that a name of the list does not stand for now, and may again.

    The DNS may still be silent when the proxy starts, and some servers tell a part of their addresses at a time.
    """
    absent = {each.name: each for each in kept if each.remembered.word is not None}
    if not absent:
        return ()
    lines = {name[:2] for name in absent}
    listed = {line for entry in entries if (line := (entry.set_id, entry.uri)) in lines}
    for destination in destinations:
        if (destination.entry.set_id, destination.entry.uri) in listed:
            absent.pop(Kept.of(destination, USUAL).name, None)
    return tuple(each for name, each in absent.items() if name[:2] in listed)


def read(path: Path) -> tuple[Kept, ...]:
    """What the last process has left; nothing, and a line in the log, where it cannot be used."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES)
        return from_text(raw.decode())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.warning(
            "words and verdicts of the last run are not known",
            path=str(path),
            reason=reason,
            hint="say again what is to drain or to be disabled; the probes find the verdicts",
        )
        return ()


class StateFile:
    """Writes the file when something has changed; `gather` gives what belongs into it."""

    def __init__(self, path: Path, gather: Callable[[], Iterable[Kept]]) -> None:
        self._path = path
        self._gather = gather
        self._changed, self._at_once = trio.Event(), trio.Event()
        self._failing = False
        self._written: str | None = None
        self._replacing = threading.Lock()

    def changed(self, *, at_once: bool = False) -> None:
        """Something that belongs into the file may be another now; `at_once` for what the probes cannot find again."""
        self._changed.set()
        if at_once:
            self._at_once.set()

    async def keep(self) -> None:
        """Write soon after each change; never returns.  The last change of a process is for `write_last`."""
        while True:
            with trio.move_on_after(RETRY_S if self._failing else math.inf):
                await self._changed.wait()
            with trio.move_on_after(SETTLE_S):
                await self._at_once.wait()
            self._changed, self._at_once = trio.Event(), trio.Event()
            await self._write()

    async def write_last(self) -> None:
        """Write what has not been written yet; a disk that does not answer is not waited for."""
        with trio.move_on_after(SETTLE_S, shield=True):
            await self._write()

    async def _write(self) -> None:
        try:
            text = await trio.to_thread.run_sync(self._replace, self._gather(), abandon_on_cancel=True)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: there is no thread to be had
            if not self._failing:
                reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
                log.warning(
                    "words and verdicts cannot be written: a restart would forget them",
                    path=str(self._path),
                    reason=reason,
                    hint=f"{remedy_of(error, self._path)}; it is tried again every {RETRY_S:.0f} s",
                )
            self._failing = True
            return
        if self._failing:
            log.info("words and verdicts are written again", path=str(self._path))
        self._failing = False
        self._written = text

    def _replace(self, kept: Iterable[Kept]) -> str:
        """In a thread: the text alone takes 40 ms for 10,000 destinations."""
        text = to_text(kept)
        with self._replacing:  # the end does not wait for a writing under way, which must not undo the last one
            if text != self._written:
                replace(self._path, text.encode())
        return text
