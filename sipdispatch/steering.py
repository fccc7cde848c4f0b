"""What is done with a running proxy when somebody asks for it?"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from dispatcher.choice import Chance
from dispatcher.destination import Destination, Entry
from dispatcher.hopcache import NextHops
from dispatcher.keyed import CHOICE, digest
from dispatcher.listfile import parse_list
from dispatcher.outcome import Resolve
from dispatcher.selection import slot_of
from dispatcher.service import MAX_LOOKUPS_A_REQUEST, Service
from dispatcher.slices import Slices, in_slices
from health.board import Word
from sip.uri import host_port
from sipdispatch.control_naming import ALL, is_entry, spelling
from sipdispatch.errors import CommandError
from sipdispatch.facts import ProxyFacts
from sipdispatch.happening import Happening
from sipdispatch.limiting import Limiting
from sipdispatch.listedit import with_line, without_lines
from sipdispatch.operations import OperationError, ReloadReport
from sipdispatch.running import Running
from sipdispatch.unwritten import remedy_of
from sipdispatch.upkeep import Upkeep

QUIET_S: Final = 2.0
"""How long nothing may have come or gone: a BYE that was lost twice has come again by then (T1 and 2 T1, RFC 3261)."""
LINGER_S: Final = 5.0
"""After the last call, when something else comes all the time: a server's questions to its phones never end."""
LOOK_S: Final = 0.1

Key = tuple[int, str, int, str]
"""Of an entry: the same in two readings of the list."""

_DOING: Final = {Word.ENABLED: "enable", Word.DRAINING: "drain", Word.DISABLED: "disable"}


@attrs.frozen
class Steering:
    """The running proxy, as `Operations` has it."""

    running: Running
    upkeep: Upkeep
    service: Service
    names: NextHops
    nursery: trio.Nursery
    list_path: Path
    limiting: Limiting

    # What can be told

    def facts(self) -> ProxyFacts:
        """Everything that can be told, as of now."""
        return self.running.facts()

    def facts_in_steps(self) -> Generator[None, None, ProxyFacts]:
        """The same, with a yield after every few destinations."""
        return self.running.facts_in_steps()

    def history(self, set_id: int | None = None, name: str | None = None) -> Sequence[Happening]:
        """The last happenings, oldest first, of a destination or of all."""
        return self.running.history(set_id, name)

    def follow(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Happening]]:
        """Every happening from now on."""
        return self.running.follow()

    def slot(self, key: str) -> int:
        """The slot of a key among 65,536."""
        return slot_of(digest(self.service.snapshot.keys[0], CHOICE, key.encode()))

    async def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Where a message would go and why: the JSON of `sipdispatch explain --json` for the same question."""
        # The words of an explanation are not loaded for those who never ask for one.
        from sipdispatch.explain import explain  # noqa: PLC0415
        from sipdispatch.explain_document import as_json  # noqa: PLC0415
        from sipdispatch.explain_request import Asked, arrive  # noqa: PLC0415
        from sipdispatch.explain_words import Setting  # noqa: PLC0415

        given = {"from_" if key == "from" else key: value for key, value in question.items()}
        message = given.pop("message", None)
        snapshot, facts = self.service.snapshot, self.running.identity
        try:
            arriving = arrive(Asked(**given), None if message is None else message.encode(), snapshot)
        except CommandError as error:
            (fault, *_) = error.faults
            raise OperationError(fault.what, fault.where, fault.remedy) from error
        looked_up: dict[str, Sequence[str]] = {}
        chance = Chance(0, int.from_bytes(os.urandom(8)))
        while True:
            account = explain(
                snapshot,
                arriving.datagram,
                arriving.source,
                arriving.arrival,
                names=self.names.get,
                chance=chance,
                calls=self.service.calls.active,
            )
            asked = account.outcome
            if not isinstance(asked, Resolve) or len(looked_up) == MAX_LOOKUPS_A_REQUEST:
                break
            found = await self.names.fetch(asked.host, asked.port, asked.transport)
            looked_up[asked.host] = [host_port(address) for address in found or ()]
        setting = Setting(
            listeners=[str(listener) for listener in snapshot.listeners],
            assumed=arriving.assumed,
            secret_path="",
            fingerprint=facts.secret_fingerprint,
            looked_up=looked_up,
            notes=(
                *self.limiting.note_on(arriving.source[0]),
                "a Call-ID of the last three minutes stays where it went, whatever is said here",
            ),
        )
        document: dict[str, Any] = json.loads(as_json(snapshot, account, setting))
        return document

    # What can be done

    async def set_word(self, set_id: int, name: str, word: Word, *, by: str) -> int:
        """Give destinations the operator's word; how many have it now."""
        numbers = self._numbers(set_id, name)
        cause = f"operator: {_DOING[word]} ({by})"
        await _one_by_one(numbers, lambda number: self.upkeep.vitals.set_word(number, word, cause))
        self.upkeep.publish()  # who is told that it is done must see no new call
        return len(numbers)

    async def wait_drained(self, set_id: int, name: str) -> None:
        """Return when these destinations have no call, and what belonged to the last one has been said."""
        numbers = self._numbers(set_id, name)
        calls = self.service.calls
        began = trio.current_time()

        def is_drained(number: int, now: float, seen: Mapping[int, float]) -> bool:
            if calls.active(number):
                return False
            quiet = now - seen.get(number, -math.inf)
            return quiet >= QUIET_S or now - max(began, calls.idle_since(number)) >= LINGER_S

        while True:
            now = trio.current_time()
            calls.expire(now)
            seen = (await in_slices(self.service.count())).last_seen
            if all(is_drained(number, now, seen) for number in numbers):
                return
            await trio.sleep(LOOK_S)

    async def reload(self, *, dry_run: bool = False, reset_state: bool = False, by: str) -> ReloadReport:
        """Read the list again, with `reset_state` its words and verdicts too.  Two at once take turns."""
        report = await self.upkeep.reload(self.nursery, dry_run=dry_run, by=by)
        if reset_state and report.done:
            cause = f"operator: reset ({by})"
            await _one_by_one(self.service.snapshot.numbers, lambda number: self.upkeep.vitals.reset((number,), cause))
        return report

    async def add(self, line: str, *, save: bool = False, by: str) -> ReloadReport:
        """Add the destination of one line; without `save` until the list is read again."""
        entry = _one_entry(line)

        def with_entry(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            own = next((each for each in entries if each.key == entry.key), None)
            if own is not None and save and all(entry.key != each.key for each in self.upkeep.listed):
                return tuple(entry if each is own else each for each in entries)  # it was added before, for now
            if own is not None:
                raise OperationError(
                    f"{entry.uri} is in set {entry.set_id} already",
                    line,
                    "take it out first, or change its line and reload",
                )
            return (*entries, entry)

        return await self._change(with_entry, (lambda text: with_line(text, line)) if save else None, by)

    async def remove(self, set_id: int, name: str, *, save: bool = False, by: str) -> ReloadReport:
        """Take a destination out; without `save` until the list is read again."""
        if name == ALL:
            raise OperationError("a set is not emptied", f"set {set_id}", "name one destination, or drain them all")
        keys = self._lines(set_id, name)

        def rest(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            return tuple(entry for entry in entries if entry.key not in keys)

        return await self._change(rest, (lambda text: _without(text, keys)) if save else None, by)

    async def _change(
        self,
        edit: Callable[[tuple[Entry, ...]], tuple[Entry, ...]],
        save: Callable[[bytes], bytes] | None,
        by: str,
    ) -> ReloadReport:
        try:
            return await self.upkeep.change(edit, self.nursery, save=save, by=by)
        except OSError as error:
            raise OperationError(
                f"the list cannot be saved, and nothing is changed: {error.strerror}",
                str(self.list_path),
                f"leave --save out, or {remedy_of(error, self.list_path.resolve())}",
            ) from error

    # Who is meant

    def _numbers(self, set_id: int, name: str) -> tuple[int, ...]:
        return tuple(self._named(set_id, name))

    def _named(self, set_id: int, name: str) -> dict[int, Destination]:
        snapshot = self.service.snapshot
        pool = snapshot.pools.get(set_id)
        if pool is None:
            known = ", ".join(map(str, snapshot.pools))
            raise OperationError(f"there is no set {set_id}", str(self.list_path), f"the sets are {known}")
        start, sought = snapshot.starts[set_id], spelling(name)
        found = {
            snapshot.numbers[start + place]: destination
            for place, destination in enumerate(pool.destinations)
            if name == ALL or name == host_port(destination.address) or is_entry(destination.entry, name, sought)
        }
        if not found:
            raise OperationError(f"no destination is called {name}", f"set {set_id}", "see sipdispatch ds list")
        return found

    def _lines(self, set_id: int, name: str) -> set[Key]:
        """The lines that are called so, also of a name that stands for no address now."""
        sought = spelling(name)
        keys = {each.key for each in self.upkeep.entries if each.set_id == set_id and is_entry(each, name, sought)}
        return keys or {destination.entry.key for destination in self._named(set_id, name).values()}


async def _one_by_one(numbers: Iterable[int], do: Callable[[int], object]) -> None:
    """Do it for each destination, and let the packets through in between: a tenth of a millisecond each adds up."""
    slices = Slices()
    for number in numbers:
        do(number)
        if slices.over:
            await slices.turn()


def _one_entry(line: str) -> Entry:
    entries, problems = parse_list(line.encode(), "line")
    for problem in problems:
        if problem.severity == "error":
            raise OperationError(problem.message, line, problem.hint)
    if len(entries) != 1 or "\n" in line.strip():
        raise OperationError("one destination is one line", line, "write it as in: 1 sip:192.0.2.11:5060 0 0 weight=50")
    return entries[0]


def _without(text: bytes, keys: set[Key]) -> bytes:
    entries, _ = parse_list(text, "list")
    return without_lines(text, {entry.line for entry in entries if entry.key in keys})
