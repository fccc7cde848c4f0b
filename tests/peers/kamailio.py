"""How does a test run a real Kamailio with a configuration of its own?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.peers.namespace import Namespace
from tests.peers.need import require
from tests.peers.ports import is_bound
from tests.peers.program import PeerError, Program

PREAMBLE = """\
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
"""
"""One UDP worker in the foreground, known under no name but those of its listeners."""


class Kamailio:
    """A Kamailio with `configuration` (after PREAMBLE) while the block is open.

    `listen` are the addresses (host, port) it listens on over UDP; `modules` are loaded in their order, so that the
    configuration begins with its `modparam`s and routes.  `options` are those of its command line.  Files go to
    `directory`.
    """

    def __init__(
        self,
        configuration: str,
        *,
        listen: Sequence[tuple[str, int]],
        modules: Sequence[str] = (),
        options: Sequence[str] = (),
        directory: Path,
        namespace: Namespace | None = None,
    ) -> None:
        self._kamailio = require("kamailio")
        self._listen = listen
        self._options = options
        self._log = directory / "kamailio.out"
        self._namespace = namespace
        self._file = directory / "kamailio.cfg"
        # Its control sockets live in the run folder, and a unix socket's path holds 108 characters.
        self._run_folder = Path(tempfile.mkdtemp(prefix="kamailio-"))
        listeners = "".join(f"listen=udp:{f'[{host}]' if ':' in host else host}:{port}\n" for host, port in listen)
        loading = "".join(f'loadmodule "{module}.so"\n' for module in modules)
        self._file.write_text(PREAMBLE + listeners + loading + configuration)

    def __enter__(self) -> Self:
        run = self._run_folder
        memory = ["-m", "64", "-M", "8"]  # MiB, shared and per process
        folders: list[str | Path] = ["-w", run, "-Y", run, "-P", run / "pid"]
        argv: list[str | Path] = [self._kamailio, "-f", self._file, "-DD", "-E", *memory, *folders, *self._options]
        self._program = Program(argv, log=self._log, namespace=self._namespace)
        try:
            self._program.until(self._listens, "Kamailio listens")
        except PeerError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()
        shutil.rmtree(self._run_folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._program.pid

    def log(self) -> str:
        """What it has said so far."""
        return self._program.output()

    def _listens(self) -> bool:
        return all(is_bound(host, port, pid=self.pid) for host, port in self._listen)
