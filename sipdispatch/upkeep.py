"""How does the running proxy follow its list, the DNS and what is known of its destinations?

Whatever changes ends in one new snapshot, built beside the old one and swapped whole.  What fails changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Protocol

import attrs
import structlog
import trio

from dispatcher.algorithm import Kind
from dispatcher.assemble import assemble, by_set, rankings_of, sets_in_use, state_of, with_states
from dispatcher.departed import Departed
from dispatcher.destination import Destination, Entry
from dispatcher.listdiff import diff_lists
from dispatcher.listener import Listener
from dispatcher.names import FAMILIES
from dispatcher.problem import Problem, refuses
from dispatcher.recent import ids_by_set
from dispatcher.refresh import ListNames
from dispatcher.selection import Pool
from dispatcher.service import Service
from dispatcher.slices import in_slices
from dispatcher.slotbuild import make_pool_apart
from dispatcher.snapshot import Policy, Snapshot
from dispatcher.steps import Steps
from dispatcher.watch import Reading
from health.board import Change, Remembered, Verdict
from health.service import Service as Vitals
from health.target import Target
from sip.uri import host_port
from sipdispatch import listedit
from sipdispatch.config import Health, Proxy
from sipdispatch.errors import CommandError
from sipdispatch.listread import check_list, fingerprint_of, read_list, tell
from sipdispatch.operations import ReloadReport
from sipdispatch.preflight import find_misfits
from sipdispatch.reload_words import report_of
from sipdispatch.statefile import USUAL, Kept, absent_of, known
from sipdispatch.vitals import avoided_of, latencies_of, ramps_of, states_of, target_of

PUBLISH_S = 0.02
"""Between two snapshots of one list: when a whole rack dies, its servers do not make one each."""
LOOK_S = 0.5
"""How old a latency or the share of a slow start may be."""
_FILL_THE_SET = "to take the last one out, write flag 4 in its line, or: sipdispatch ds set-state d"


AtRest = Callable[[], AbstractContextManager[None]]
"""What is entered while the values of a list are made: nothing is to look for garbage among them."""


class Audience(Protocol):
    """Who wants to hear of what happens."""

    def changed(self, change: Change, destination: Destination) -> None:
        """A word or a verdict has changed."""

    def removed(self, number: int, destination: Destination) -> None:
        """A destination is no longer in the list."""

    def reloaded(self, text: str, *, done: bool) -> None:
        """The list was read again: whether it is in force, and what it changed or why it was refused."""


log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Upkeep:
    """Keeps the snapshot of one proxy.  `snapshot` is None until `follow_list` has made the first one.

    `vitals` watches the destinations; whoever runs the proxy lets it serve.  `kept` is what the last run has left.
    """

    def __init__(
        self,
        settings: Proxy,
        policy: Policy,
        keys: tuple[bytes, ...],
        listeners: Sequence[Listener],
        names: ListNames,
        *,
        health: Health | None = None,
        kept: tuple[Kept, ...] = (),
        audience: Audience | None = None,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.service: Service | None = None
        self.at_rest: AtRest = nullcontext
        self.vitals = Vitals(on_change=self._note_change, on_board=self._note_board)
        self._settings = settings
        self._health = health or Health()
        self._kept = kept
        self._audience = audience
        self._policy = policy
        self._keys = keys
        self._listeners = tuple(listeners)
        self._names = names
        self._entries: tuple[Entry, ...] = ()
        self._listed: tuple[Entry, ...] = ()
        self.known: Reading | None = None
        """The file as it was read or written last: who watches it need not have it read again."""
        self._fingerprint = ""
        self._pools: dict[int, Pool] = {}
        self._numbers: dict[int, tuple[int, ...]] = {}
        self._base: Snapshot | None = None
        self._destinations: dict[int, Destination] = {}
        self._board_changed = trio.Event()
        self._ramping = False
        self._chooses_by_latency = any(
            algorithm.kind is Kind.LATENCY
            for algorithm in (policy.algorithm, *(rule.algorithm for rule in policy.rules))
            if algorithm is not None
        )
        self._departed = Departed()
        self._version = 0
        self._following: trio.CancelScope | None = None
        self._building = trio.Lock()
        self._reloading = trio.Lock()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The list in force."""
        return self._entries

    @property
    def listed(self) -> tuple[Entry, ...]:
        """The list as it stands in the file, when it was read or written last."""
        return self._listed

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits by which two nodes can tell that they have the same list in force."""
        return self._fingerprint

    async def follow_list(self, entries: tuple[Entry, ...], nursery: trio.Nursery) -> None:
        """Use this list from now on: returns when its first snapshot is in force, then follows its names."""
        if self._following is None:
            self._listed = entries
        else:
            self._following.cancel()
        self._entries = entries
        self._following = await nursery.start(self._follow)

    async def _follow(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        own = [listener.address for listener in self._listeners]
        families = frozenset(listener.family for listener in self._listeners) & FAMILIES
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._keep_fresh, own, families)
                task_status.started(scope)

    async def _keep_fresh(
        self,
        own: list[tuple[str, int]],
        families: frozenset[int],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        path = str(self._settings.list_path)
        await self._names.keep_fresh(
            self._entries, self._rebuild, path=path, families=families, own=own, task_status=task_status
        )

    async def reload(self, nursery: trio.Nursery, *, dry_run: bool = False, by: str = "") -> ReloadReport:
        """Read the list again; a bad one leaves the old in force and says why.  Two at once take turns.

        `by` says who has asked.  Of a dry run nobody else hears.
        """
        async with self._reloading:
            with self.at_rest():
                return await self._reload(nursery, dry_run=dry_run, by=by)

    async def _reload(self, nursery: trio.Nursery, *, dry_run: bool, by: str) -> ReloadReport:
        path = self._settings.list_path
        if not dry_run:
            self.known = await trio.to_thread.run_sync(Reading.of, path)
        entries, problems = await read_list(path, self._settings)
        if dry_run:
            return await self._compare(entries, problems)
        await in_slices(tell.steps(problems))
        if entries is None:
            errors = [str(problem) for problem in problems if problem.severity == "error"]
            return self._refuse(errors[0], f"see: sipdispatch check {path}", problems, len(errors))
        report = await self._take_over(entries, problems, nursery, by=by)
        if report.done:
            self._listed = entries
        return report

    async def change(
        self,
        edit: Callable[[tuple[Entry, ...]], tuple[Entry, ...]],
        nursery: trio.Nursery,
        *,
        save: Callable[[bytes], bytes] | None = None,
        by: str = "",
    ) -> ReloadReport:
        """Use what `edit` makes of the list in force until the file is read again; what it raises changes nothing.

        With `save`, which makes the same change in its text, the file is changed too.  What was changed before without
        it stays in force; unless somebody else has edited the file since it was read, who wants all of it in force.
        Raises OSError when the file cannot be read or written; nothing is changed then, as when the list is refused.
        """
        async with self._reloading:
            with self.at_rest():
                return await self._change(edit, nursery, save=save, by=by)

    async def _change(
        self,
        edit: Callable[[tuple[Entry, ...]], tuple[Entry, ...]],
        nursery: trio.Nursery,
        *,
        save: Callable[[bytes], bytes] | None,
        by: str,
    ) -> ReloadReport:
        entries = edit(self._entries)
        asked = await self._compare(entries, await in_slices(self._misfits(entries)))
        if save is not None and not refuses(asked.problems):
            asked, entries = await self._save(save, entries)
        if refuses(asked.problems):  # that is an answer to who has asked; the file may be as good as it was
            return attrs.evolve(asked, dry_run=False, destinations=self._count())
        return await self._take_over(entries, tuple(asked.problems), nursery, by=by)

    def _misfits(self, entries: tuple[Entry, ...]) -> Steps[tuple[Problem, ...]]:
        """What keeps those of the entries that are new from being used by this proxy; they stand in no line yet."""
        new = (yield from diff_lists.steps(self._entries, entries)).added
        found = (yield from find_misfits.steps(self._settings, new)).lines
        return tuple(attrs.evolve(problem, line=0, column=0) for problem in found if problem.severity == "error")

    async def _save(
        self, edit: Callable[[bytes], bytes], entries: tuple[Entry, ...]
    ) -> tuple[ReloadReport, tuple[Entry, ...]]:
        """Edit the file, unless the report has an error; its problems are the new ones.  And what is to be in force."""
        path = self._settings.list_path
        text = await trio.to_thread.run_sync(path.read_bytes)
        edited = edit(text)
        before, known = await in_slices(check_list.steps(text, self._settings))
        listed, problems = await in_slices(check_list.steps(edited, self._settings))
        if listed is not None:
            told = {(problem.message, problem.hint) for problem in known}
            problems = tuple(problem for problem in problems if (problem.message, problem.hint) not in told)
        asked = await self._compare(listed, problems)
        if listed is not None and not refuses(asked.problems):
            if edited != text:
                self.known = await trio.to_thread.run_sync(listedit.save, path, edited)
            if before != self._listed:
                entries = listed
            self._listed = listed
        return asked, entries

    async def _compare(self, entries: tuple[Entry, ...] | None, problems: tuple[Problem, ...]) -> ReloadReport:
        """What taking a list over would change, and whether it could be; None has errors among its problems."""
        if entries is None:
            return ReloadReport(done=False, dry_run=True, destinations=self._count(), problems=problems)
        why = self._missing(entries)
        if why:
            problems = (*problems, self._problem(why, _FILL_THE_SET))
        difference = await in_slices(diff_lists.steps(self._entries, entries))
        report = await in_slices(report_of(difference, problems))
        return attrs.evolve(report, dry_run=True, destinations=len(entries))

    def _missing(self, entries: tuple[Entry, ...]) -> str:
        """A set in use that is not there any more, in words."""
        vanished = (sets_in_use(self._policy) & _sets(self._entries)) - _sets(entries)
        return f"set {min(vanished)} is in use and has no destination any more" if vanished else ""

    async def _take_over(
        self, entries: tuple[Entry, ...], problems: tuple[Problem, ...], nursery: trio.Nursery, *, by: str
    ) -> ReloadReport:
        why = self._missing(entries)
        if why:
            return self._refuse(why, f"{why}: {_FILL_THE_SET}", (*problems, self._problem(why, _FILL_THE_SET)))
        before, version = self._entries, self._version
        difference = await in_slices(diff_lists.steps(before, entries))
        await self.follow_list(entries, nursery)
        if self._version == version:
            await self.follow_list(before, nursery)  # or the next answer of the DNS would bring the refused list
            hint = "put right what the line before says, then send SIGHUP"
            return self._refuse("no snapshot of it can be made", hint, problems)
        text = f"{difference} ({by})" if by else str(difference)
        path = str(self._settings.list_path)
        log.info("the list was reloaded", path=path, change=text, destinations=self._count())
        if self._audience is not None:
            self._audience.reloaded(text, done=True)
        report = await in_slices(report_of(difference, problems))
        return attrs.evolve(report, done=True, destinations=self._count())

    def _refuse(self, why: str, hint: str, problems: tuple[Problem, ...], errors: int = 1) -> ReloadReport:
        """Say that the list was not reloaded."""
        path = str(self._settings.list_path)
        log.error("the list was not reloaded; the old one stays in force", path=path, errors=errors, hint=hint)
        if self._audience is not None:
            self._audience.reloaded(why, done=False)
        if not any(problem.severity == "error" for problem in problems):
            problems = (*problems, self._problem(why, hint))
        return ReloadReport(done=False, destinations=self._count(), problems=problems)

    def _problem(self, why: str, hint: str) -> Problem:
        """An error of the list as a whole."""
        return Problem(str(self._settings.list_path), 0, 0, severity="error", message=why, hint=hint)

    def kept(self) -> Iterator[Kept]:
        """What the next run should know of each destination, as of now; another thread may go through it."""
        remembered, destinations = self.vitals.remembered(), self._destinations
        return chain(
            self._kept,
            (
                Kept.of(destinations[number], item)
                for number, item in remembered.items()
                if number in destinations and (item != USUAL or self._begins_down(destinations[number]))
            ),
        )

    def _begins_down(self, destination: Destination) -> bool:
        """Whether it would wait for proof if it were new: then that it is up is worth remembering."""
        return self._health.start == "down" or state_of(destination).verdict is Verdict.DOWN

    async def follow_board(self) -> None:
        """Let those who choose know what is known of the destinations; never returns.

        Latencies, and the shares of those who start slowly, change all the time: they are looked at now and then.
        """
        while True:
            look_at = trio.current_time() + (LOOK_S if self._chooses_by_latency or self._ramping else math.inf)
            with trio.move_on_at(min(look_at, self._departed.next_lapse)):
                await self._board_changed.wait()
            self._board_changed = trio.Event()
            self.publish()
            await in_slices(self._forget_departed())
            await trio.sleep(PUBLISH_S)

    def _note_board(self) -> None:
        self._board_changed.set()

    def _note_change(self, change: Change) -> None:
        destination = self._destinations[change.number]
        facts = {
            "set": destination.entry.set_id,
            "destination": destination.entry.uri,
            "address": host_port(destination.address),
            "cause": change.cause,
        }
        if change.after == Verdict.DOWN.name.lower():
            log.warning("a destination is down", **facts)
        else:
            log.info("a destination has changed", before=change.before, after=change.after, **facts)
        if self._audience is not None:
            self._audience.changed(change, destination)

    async def _rebuild(self, destinations: tuple[Destination, ...], problems: tuple[Problem, ...]) -> None:
        """A new snapshot over these destinations; the heavy part is done elsewhere than on the packet path."""
        await in_slices(tell.steps(problems))
        try:
            with self.at_rest():
                await self._build(destinations)
        except Exception as error:
            # More addresses than a table can name, or no memory for a process or a thread; or a mistake of ours, which
            # costs a change and not the proxy.
            if self.snapshot is not None:
                reason = str(error) or type(error).__name__
                log.warning("the destinations were not taken over; the old ones stay in force", reason=reason)
            elif isinstance(error, ValueError | OSError):
                raise CommandError(
                    f"no snapshot of the list can be made: {error}", str(self._settings.list_path), "shorten the list"
                ) from error
            else:
                raise

    async def _build(self, destinations: tuple[Destination, ...]) -> None:
        async with self._building:
            pools: dict[int, Pool] = {}
            sets = by_set(destinations)
            for set_id, members in sets.items():
                pools[set_id] = await make_pool_apart(
                    set_id,
                    members,
                    self._keys[0],
                    rankings=rankings_of(self._policy, set_id),
                    known=self._pools.values(),
                )
            numbers = await in_slices(ids_by_set(sets))
            fingerprint = await in_slices(fingerprint_of.steps(self._entries))
            targets, remembered = await in_slices(self._targets(pools, numbers))
            by_number = {target.number: destination for target, destination in targets}
            self._destinations |= by_number
            await in_slices(self._forget_departed())
            self._note_departed(by_number)
            base = await in_slices(
                assemble.steps(
                    version=self._version + 1,
                    policy=self._policy,
                    keys=self._keys,
                    listeners=self._listeners,
                    pools=pools,
                    numbers=numbers,
                    departed=self._departed.destinations,
                )
            )

            def take_over() -> None:
                left = self.vitals.remembered(self._destinations.keys() - by_number.keys())
                gone = [Kept.of(self._destinations[number], item) for number, item in left.items()]
                self._kept = absent_of((*self._kept, *gone), by_number.values(), self._entries)
                self._fingerprint = fingerprint
                self._pools, self._numbers = pools, numbers
                self._version, self._base = base.version, base
                self.publish()

            if self.service is not None:
                await in_slices(self.service.prepare(base))
            # Who leaves is watched until nobody chooses by the old list any more: else it would pass for well.
            await self.vitals.replace_targets(
                [target for target, _ in targets],
                known=remembered,
                start=Verdict[self._health.start.upper()],
                on_added=take_over,
            )
            await in_slices(self._tell_removed(self._destinations.keys() - by_number.keys()))
            self._destinations = by_number

    def _tell_removed(self, numbers: Iterable[int]) -> Steps[None]:
        if self._audience is not None:
            for number in numbers:
                self._audience.removed(number, self._destinations[number])
                yield

    def _targets(
        self, pools: Mapping[int, Pool], numbers: Mapping[int, Sequence[int]]
    ) -> Steps[tuple[list[tuple[Target, Destination]], dict[int, Remembered]]]:
        """What is to be watched, and what the last run has left of it."""
        targets: list[tuple[Target, Destination]] = []
        remembered: dict[int, Remembered] = {}
        for set_id, pool in pools.items():
            for number, destination in zip(numbers[set_id], pool.destinations, strict=True):
                targets.append((target_of(number, destination, self._health), destination))
                yield
            remembered |= yield from known.steps(self._kept, pool.destinations, numbers[set_id])
        return targets, remembered

    def _note_departed(self, by_number: Mapping[int, Destination]) -> None:
        """Remember who leaves for as long as a request that was sent there may still be ringing."""
        gone = self._destinations.keys() - by_number.keys()
        self._departed.note({number: self._destinations[number] for number in gone}, trio.current_time())

    def _forget_departed(self) -> Steps[None]:
        """Forget who has left for so long, and what was counted of it unless it has come back."""
        for number in self._departed.lapse(trio.current_time()):
            if self.service is not None and number not in self._destinations:
                self.service.forget(number)
            yield

    def publish(self) -> None:
        """Let those who choose know at once what is known now."""
        if self._base is None:
            return
        board = self.vitals.board()
        ramps = ramps_of(board, trio.current_time(), self._health.slow_start)
        self._ramping = bool(ramps)
        before, self.snapshot = (
            self.snapshot,
            with_states(
                self._base,
                states_of(board),
                avoided_of(board),
                latency=latencies_of(board) if self._chooses_by_latency else {},
                ramp=ramps,
            ),
        )
        if self.service is not None:
            self.service.swap(self.snapshot)
        if self.snapshot.serving and before is not None and not before.serving:
            log.info("there is a destination for new work again")
        elif not self.snapshot.serving and (before is None or before.serving):
            log.error("no destination takes new work", answer=self._policy.no_destination or "panic: sent all the same")

    def _count(self) -> int:
        return sum(map(len, self._numbers.values()))


def _sets(entries: Iterable[Entry]) -> set[int]:
    return {entry.set_id for entry in entries}
