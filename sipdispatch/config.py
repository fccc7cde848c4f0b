"""What has the operator decided?

A tree of frozen values: one that exists is legal, complete (defaults filled in, paths absolute) and has been read by
`sipdispatch.load` from a TOML file, from the options of the command line, or from both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from dispatcher.algorithm import DEFAULT, Algorithm
from dispatcher.fastpath import Wish
from dispatcher.limits import LimitPolicy
from dispatcher.listener import Listener
from dispatcher.problem import Severity
from dispatcher.rules import Network, Rule
from sip.uri import Address
from sipdispatch.notice_settings import Hook, Notify
from sipdispatch.vrrp_settings import Vrrp

DEFAULT_CONFIG = Path("/etc/sipdispatch/sipdispatch.toml")
"""Where the manual and the packaged unit have the file; it is read only when it is named."""
DEFAULT_LIST = Path("/etc/sipdispatch/dispatcher.list")
"""The list when no TOML file is given; with one, it is `dispatcher.list` beside that."""

ForceRport = Literal["nat", "always", "never"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]
Start = Literal["up", "down"]

MIB = 1 << 20


@attrs.frozen(kw_only=True)
class ConfigProblem:
    """One thing that is wrong (error) or doubtful (warning) in a TOML file or an option.

    `key` is the key path (`proxy.listen[0]`), `option` the option of the command line that gave the value, or None.
    `path` is the TOML file, "" when there is none; `line` and `column` count from 1, and are 0 where they are unknown.
    """

    path: str = ""
    line: int = 0
    column: int = 0
    key: str = ""
    option: str | None = None
    severity: Severity = "error"
    message: str
    hint: str = ""

    @property
    def where(self) -> str:
        """The place, for people: `file:line:column`, or the option."""
        if self.option is not None:
            return f"option {self.option}"
        if not self.path:
            return "command line"
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key and self.option is None else ""
        text = f"{self.where}: {self.severity}: {key}{self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def to_json(self) -> dict[str, str | int]:
        """The same facts as plain values: the keys of `dispatcher.problem.Problem.to_json` and `key`."""
        return {
            "path": f"option {self.option}" if self.option is not None else self.path,
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
            "key": self.key,
            "message": self.message,
            "hint": self.hint,
        }


@attrs.frozen(kw_only=True)
class Flags:
    """The options of the command line that stand for keys of the file; None and () mean: not given."""

    listen: tuple[str, ...] = ()
    list_path: str | None = None
    set_id: int | None = None
    algorithm: str | None = None
    advertise: str | None = None


@attrs.frozen(kw_only=True)
class Proxy:
    """The section `[proxy]`; the manual page of sipdispatch.toml says what each key means.

    A Listener may be a wildcard, which the proxy expands at its start; an `advertise` of the section is already in its
    one listener.  `no_destination` is a status code or "panic"; `retry_after` is seconds, `recent_choices` entries,
    the buffers are bytes.  `server_header` "" leaves the header out.  `workers` are threads of the fast path, None for
    one a core.
    """

    listen: tuple[Listener, ...]
    list_path: Path
    secret_file: Path
    state_dir: Path
    set_id: int = 1
    algorithm: Algorithm = DEFAULT
    aor_domain: bool = False
    domains: tuple[str, ...] = ()
    core_networks: tuple[Network, ...] = ()
    rewrite_host: bool = False
    force_rport: ForceRport = "nat"
    no_destination: int | Literal["panic"] = 503
    retry_after: int = 5
    recent_choices: int = 262_144
    receive_buffer: int = 8 * MIB
    send_buffer: int = 8 * MIB
    server_header: str = "sipdispatch"
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    fastpath: Wish = "auto"
    workers: int | None = None
    routes: tuple[Rule, ...] = ()
    limits: LimitPolicy = attrs.field(factory=LimitPolicy)


@attrs.frozen(kw_only=True)
class Health:
    """The section `[health]`: what a line of the list does not say of its own probes.

    `interval`, `timeout` and `slow_start` are seconds; `rise` and `fall` count probes in a row.  `source` has at most
    one address of each family; `reply_codes` None: any final answer but 408, 500, 502, 503 and 504 is a sign of life.
    """

    enabled: bool = True
    interval: float = 1.0
    timeout: float = 0.5
    rise: int = 2
    fall: int = 2
    source: tuple[str, ...] = ()
    from_uri: str | None = None
    reply_codes: frozenset[int] | None = None
    start: Start = "up"
    """The verdict on a destination that is new."""
    slow_start: float = 0.0
    """How long a destination that comes back takes to have its whole share again; 0: at once."""


@attrs.frozen(kw_only=True)
class Control:
    """The section `[control]`: who may steer the running proxy, and where; `socket` None is the default place.

    `owner` and `group` are names or numbers, None for those of the process.
    """

    enabled: bool = True
    socket: Path | None = None
    owner: str | None = None
    group: str | None = None


@attrs.frozen(kw_only=True)
class Http:
    """The section `[http]`: where metrics and status are served; without it nowhere."""

    listen: Address


@attrs.frozen(kw_only=True)
class Sections:
    """The sections beside `[proxy]`."""

    health: Health = Health()
    control: Control = Control()
    http: Http | None = None
    vrrp: Vrrp | None = None
    hooks: tuple[Hook, ...] = ()
    notifiers: tuple[Notify, ...] = ()


@attrs.frozen(kw_only=True)
class Config:
    """Everything the operator has decided; `path` is the TOML file, None without one.

    `flags` are the options that were laid over it: reading the file again with them gives the same tree unless the
    file has changed.  `warnings` are the doubtful things found while reading; whoever starts the proxy logs them.
    """

    path: Path | None
    proxy: Proxy
    sections: Sections = Sections()
    flags: Flags = Flags()
    warnings: tuple[ConfigProblem, ...] = ()

    @property
    def of_proxy(self) -> tuple[Proxy, Sections]:
        """What the proxy goes by: all but [vrrp], which is the agent's."""
        return self.proxy, attrs.evolve(self.sections, vrrp=None)


@attrs.frozen(kw_only=True)
class VrrpFlags:
    """The options of `sipdispatch vrrp run` that stand for keys of [vrrp]; None and () mean: not given."""

    interface: str | None = None
    vrid: int | None = None
    priority: int | None = None
    addresses: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    version: int | None = None
    interval: str | None = None
    preempt: str | None = None


@attrs.frozen(kw_only=True)
class VrrpConfig:
    """What the agent goes by: its own section, and of the others what concerns it.

    `control` is the proxy's socket, which the agent may watch.  The section [proxy] may be wrong or missing.
    """

    path: Path | None
    vrrp: Vrrp
    control: Control = Control()
    hooks: tuple[Hook, ...] = ()
    notifiers: tuple[Notify, ...] = ()
    flags: VrrpFlags = VrrpFlags()
    warnings: tuple[ConfigProblem, ...] = ()
