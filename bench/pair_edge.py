"""How is one node of the example pair started, with its proxy and its agent, and how is it struck?

The configuration is the one that operators copy, deploy/pair, with sockets and files in a folder of the run.  The two
nodes have the same list and the same secret, and know nothing else of each other but what the adverts say.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sipdispatch.control_client import ControlClient
from sipdispatch.errors import CommandError
from tests.e2e.proxy import ROOT, Proxy
from tests.peers.namespace import Namespace
from tests.peers.program import Program

EXAMPLE: Final = ROOT / "deploy/pair"
LIST: Final = (EXAMPLE / "dispatcher.list").read_text()
PREEMPT: Final = "after 2s"
"""The example's minute would be a minute of every try."""
_BEHIND_THE_LIST: Final = 'list = "dispatcher.list"\n'


class Edge:
    """Node `label`, A or B, with both programs running while the block is open; `interval` seconds between adverts."""

    def __init__(self, label: str, host: Namespace, directory: Path, *, interval: float) -> None:
        directory.mkdir(parents=True)
        self._directory, self._host = directory, host
        self.agent_socket = directory / "vrrp.sock"
        text = (EXAMPLE / f"edge-{label.lower()}" / "sipdispatch.toml").read_text()
        for given, ours in {
            '"/run/sipdispatch/control.sock"': f'"{directory / "control.sock"}"',
            '"/run/sipdispatch-vrrp/vrrp.sock"': f'"{self.agent_socket}"',
            '"/etc/sipdispatch/maintenance"': f'"{directory / "maintenance"}"',
            'interval = "100ms"': f'interval = "{1000 * interval:g}ms"',
            'preempt = "after 60s"': f'preempt = "{PREEMPT}"',
        }.items():
            assert given in text, given
            text = text.replace(given, ours)
        settings = text.partition(_BEHIND_THE_LIST)[2]
        listen = tomllib.loads(text)["proxy"]["listen"]
        self.proxy = Proxy(listen, LIST, directory=directory, settings=settings, probing=True, namespace=host)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.proxy)
            self.start_agent()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._each(signal.SIGCONT)
        self._agent.stop()
        self._stack.__exit__(kind, error, trace)

    def start_agent(self) -> None:
        """Start the agent, again after it was killed."""
        argv = [sys.executable, "-m", "sipdispatch", "vrrp", "run", "-c", str(self.proxy.config_file)]
        self._agent = Program(argv, log=self._directory / "agent.log", namespace=self._host, directory=ROOT)

    def kill_agent(self) -> None:
        """End it without a chance to do anything."""
        self._agent.signal(signal.SIGKILL)
        self._agent.wait(5.0)

    def freeze(self) -> None:
        """Neither of the programs runs any more."""
        self._each(signal.SIGSTOP)

    def thaw(self) -> None:
        """Both go on."""
        self._each(signal.SIGCONT)

    def ask(self, method: str) -> dict[str, Any]:
        """What the agent answers to a method of its control socket; CommandError when it does not."""
        with ControlClient(self.agent_socket, "agent") as client:
            answer: dict[str, Any] = client.call(method)
            return answer

    def role(self) -> str:
        """`active`, `backup` or `initialize`; empty when the agent cannot be asked."""
        with contextlib.suppress(CommandError):
            return str(self.ask("vrrp.status")["state"])
        return ""

    def logs(self) -> str:
        """What both programs have said."""
        return f"{self.proxy.output()}\n{self._agent.output()}"

    def _each(self, number: signal.Signals) -> None:
        for program in (self._agent, self.proxy.program):
            with contextlib.suppress(ProcessLookupError):
                program.signal(number)
