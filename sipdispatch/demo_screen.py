"""What does a person see of the demo: a table that changes on a terminal, and one final table elsewhere?"""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Sequence

import attrs
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sipdispatch.demo_tally import Act, Tally, Target, wanted_share
from sipdispatch.output import say
from sipdispatch.printable import printable

LOG_LINES = 4
"""Of the proxy, under the table."""
PLAIN_WIDTH = 80


@attrs.define(kw_only=True)
class Scene:
    """What the table is made of.  `states` has the last word on each target for each act that has begun."""

    targets: Sequence[Target]
    killed: Target
    tally: Tally
    states: dict[tuple[Act, Target], str] = attrs.field(factory=dict)
    sentence: str = ""


def draw_table(scene: Scene) -> Table:
    """The calls of every act that has begun."""
    table = Table(box=SIMPLE, collapse_padding=True)
    for heading in ("when", "destination"):
        table.add_column(heading, no_wrap=True)
    for heading in ("weight", "share\nwanted", "calls", "share\ngot"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for act in Act:
        rows = [target for target in scene.targets if (act, target) in scene.states]
        for place, target in enumerate(rows):
            state, share = scene.states[act, target], scene.tally.share(act, target)
            table.add_row(
                "" if place else act.value,
                str(target),
                str(target.weight),
                f"{100 * wanted_share(scene.targets, target, act, scene.killed):.0f} %",
                str(scene.tally.answered[act, target.address]),
                "-" if share is None else f"{100 * share:.1f} %",
                Text(state, style="green" if state == "up" else "red"),
                end_section=place == len(rows) - 1,
            )
    return table


class Screen:
    """Standard output as a stage: `refresh` shows the scene as it is now, `note` what the proxy says meanwhile."""

    def __init__(self, scene: Scene, console: Console | None = None) -> None:
        """The table changes in place where the console (standard output) is a terminal that can do that."""
        console = Console(highlight=False) if console is None else console
        is_live = console.is_terminal and not console.is_dumb_terminal
        self._scene = scene
        self._notes: deque[Text] = deque(maxlen=LOG_LINES)
        self._live = Live(console=console, auto_refresh=False) if is_live else None
        self._running = False

    def open(self) -> None:
        """From now on the table is on the screen."""
        if self._live is not None:
            self._live.start()
            self._running = True

    def close(self) -> None:
        """Leave the table, as it is now, above what is printed next."""
        if self._live is not None and self._running:
            self._live.update(draw_table(self._scene), refresh=True)
            self._running = False
            self._live.stop()
        elif self._live is None:
            say(_as_plain_text(draw_table(self._scene)), newline=False)

    def abort(self) -> None:
        """Stop drawing, whatever has happened."""
        if self._live is not None and self._running:
            self._running = False
            self._live.stop()

    def act(self, sentence: str) -> None:
        """A new part of the show begins."""
        self._scene.sentence = sentence
        if self._live is None:
            say(sentence)
        self.refresh()

    def refresh(self) -> None:
        if self._live is None or not self._running:
            return
        tally = self._scene.tally
        count = (
            f"{tally.placed.total()} calls placed, {tally.complete} complete, {tally.in_progress} in progress, "
            f"{tally.lost} lost"
        )
        parts = [Text(self._scene.sentence, style="bold")] if self._scene.sentence else []
        self._live.update(Group(*parts, draw_table(self._scene), Text(count), *self._notes), refresh=True)

    def note(self, text: str, level: str) -> None:
        """Show a line of the proxy's log where it tears nothing."""
        line = f"proxy: {printable(text)}"
        if self._running:
            self._notes.append(Text(line, style="yellow" if level in ("warning", "error", "critical") else "dim"))
            self.refresh()
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - beside the output, as a log is


def _as_plain_text(table: Table) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    page = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    Console(file=page, width=PLAIN_WIDTH, color_system=None, force_terminal=False).print(table)
    page.seek(0)
    return "".join(f"{line.rstrip()}\n" for line in page)
