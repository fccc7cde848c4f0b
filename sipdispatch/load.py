"""What do a TOML file and the options of the command line say, and what is wrong with them?

Every mistake is told at once, with its key path and its line: whoever repairs a configuration at night wants one list,
not one error after another.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from sipdispatch.config import DEFAULT_CONFIG, DEFAULT_LIST, Config, ConfigProblem, Flags
from sipdispatch.consistency import Finding
from sipdispatch.structure import structure
from sipdispatch.toml_positions import KeyPath, Positions, positions

_FILE_LIMIT_BYTES: Final = 1 << 20

_PLACE = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_SYNTAX_HINTS: Final = (  # by the beginning of what the standard library says
    ("Invalid value", 'write text in quotes, as in algorithm = "weight"; true and false in lower case'),
    ("Expected '=' after a key", "write a line as key = value, a section as [proxy]"),
    ("Invalid statement", "write a line as key = value, a section as [proxy], a comment after #"),
    ("Expected newline or end of document", "write one key in a line, text in quotes, and a comment after #"),
    ("Cannot overwrite a value", "the key stands twice in its section: leave one of them out"),
    ("Cannot declare", "the section stands twice: put its keys together"),
    ("Unclosed array", "close the list with ]"),
    ("Unclosed inline table", "close the table with }, in the same line"),
    ("Unterminated string", "close the text with the quote that it began with"),
    ("Illegal character", "close the quotes in this line, or take the invisible character out"),
    ("Unescaped '\\' in a string", "write text with backslashes in single quotes"),
)

_OPTIONS: Final = (
    ("listen", "listen", "--listen"),
    ("list_path", "list", "--list"),
    ("set_id", "set", "--set"),
    ("algorithm", "algorithm", "--algorithm"),
    ("advertise", "advertise", "--advertise"),
)
"""Field of Flags, key of [proxy], option."""


@attrs.frozen(kw_only=True)
class Loaded:
    """What reading has given: `config` is None when one of the problems is an error.

    `list_path` is told whenever it is known, so that a list can be checked beside a wrong configuration.
    """

    config: Config | None
    problems: tuple[ConfigProblem, ...]
    list_path: Path | None = None
    placed: Callable[[Finding], ConfigProblem]
    """Gives a later finding about the same file its place in it."""


def load(
    path: Path | None,
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
) -> Config | tuple[ConfigProblem, ...]:
    """The configuration of a TOML file with the flags laid over it, or everything that is wrong with them.

    Without a path, flags alone are read.  `environ` and `uid` decide where state is kept; the process's own by default.
    Warnings are in `Config.warnings`; a tuple that is returned instead has at least one error, and the warnings too.
    """
    loaded = read_config(path, flags, environ=environ, uid=uid)
    return loaded.problems if loaded.config is None else loaded.config


def read_config(
    path: Path | None,
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    proxy_required: bool = True,
) -> Loaded:
    """The same as `load`, with more to say about a configuration that is wrong.

    Unless the proxy is required, a file for the agent alone is right; there is no `config` then, and no error.
    """
    flags = flags or Flags()
    nowhere = partial(place, path=path, places=Positions({}, {}), options={})
    text = "" if path is None else read_file(path)
    if isinstance(text, ConfigProblem):
        return Loaded(config=None, problems=(text,), placed=nowhere)
    try:
        tree, places = tomllib.loads(text), positions(text)
    except (ValueError, RecursionError) as error:
        return Loaded(config=None, problems=(syntax_problem(path, text, error),), placed=nowhere)
    options = _lay_over(tree, flags)
    if path is None:
        tree.setdefault("proxy", {})
    if isinstance(tree.get("proxy"), dict):
        state_dir = _default_state_dir(os.environ if environ is None else environ, os.geteuid() if uid is None else uid)
        _fill_in(tree["proxy"], path, state_dir)
    placed = partial(place, path=path, places=places, options=options)
    base = Path.cwd() if path is None else path.absolute().parent
    structured = structure(tree, base, proxy_required=proxy_required)
    problems = tuple(sorted((placed(finding) for finding in structured.findings), key=by_place))
    proxy, sections = structured.proxy, structured.sections
    config = None
    if proxy is not None and sections is not None:
        config = Config(path=path, proxy=proxy, sections=sections, flags=flags, warnings=problems)
    return Loaded(
        config=config,
        problems=problems,
        list_path=structured.list_path,
        placed=placed,
    )


def read_file(path: Path) -> str | ConfigProblem:
    """The text of the file; a byte order mark, which editors on Windows leave, is no part of it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        return ConfigProblem(
            path=str(path), message=f"the file cannot be read: {error.strerror}", hint="name a file that can be read"
        )
    if len(raw) > _FILE_LIMIT_BYTES:
        return ConfigProblem(
            path=str(path),
            message=f"the file is longer than {_FILE_LIMIT_BYTES} bytes",
            hint="name the configuration, a file of some dozen lines",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        return ConfigProblem(
            path=str(path),
            line=line,
            column=column,
            message=f"the byte 0x{raw[error.start]:02x} is not UTF-8",
            hint="save the file as UTF-8",
        )


def syntax_problem(path: Path | None, text: str, error: ValueError | RecursionError) -> ConfigProblem:
    """The one thing that the standard library says about a file that is not TOML, and what is probably meant."""
    if isinstance(error, RecursionError):
        return ConfigProblem(
            path=str(path), message="lists or tables are nested too deeply", hint="write fewer brackets"
        )
    found = _PLACE.fullmatch(str(error))
    message, line, column = (str(error), None, None) if found is None else found.groups()
    lines = text.rstrip().splitlines() or [""]
    return ConfigProblem(
        path=str(path),
        line=int(line or len(lines)),
        column=int(column or len(lines[-1]) + 1),
        message=f"this is not TOML: {message}" + ("" if line else " (at the end of the file)"),
        hint=next((hint for start, hint in _SYNTAX_HINTS if message.startswith(start)), "look at this line and above"),
    )


def _lay_over(tree: dict[str, Any], flags: Flags) -> dict[str, str]:
    """Put the options into the tree; returns the key of [proxy] that each of them has taken, and the option."""
    options: dict[str, str] = {}
    for field, key, option in _OPTIONS:
        value = getattr(flags, field)
        if value is None or value == ():
            continue
        section = tree.setdefault("proxy", {})
        if isinstance(section, dict):
            section[key] = _plain(field, value)
            options[key] = option
    return options


def _plain(field: str, value: Any) -> Any:
    """An option as it would stand in the file; a path starts where the command runs, not where the file is."""
    if field == "list_path" and value and not value.startswith(("~", "$")):
        return str(Path(value).absolute())
    return list(value) if isinstance(value, tuple) else value


def _fill_in(section: dict[str, Any], path: Path | None, state_dir: Path | None) -> None:
    """The defaults that depend on where the file is and who reads it."""
    section.setdefault("list", str(DEFAULT_LIST) if path is None else DEFAULT_LIST.name)
    if state_dir is not None:
        section.setdefault("state_dir", str(state_dir))
    folder = section.get("state_dir")
    section.setdefault("secret_file", str(Path(folder, "secret")) if isinstance(folder, str) else "secret")


def by_place(problem: ConfigProblem) -> tuple[bool, int, int, str]:
    """The order in which problems are told: those of the file in its order, then those of options."""
    return problem.option is not None, problem.line, problem.column, problem.key


def place(
    finding: Finding, *, path: Path | None, places: Positions, options: Mapping[str, str], section: str = "proxy"
) -> ConfigProblem:
    """A finding with its place in the file, or with the option that it came from; options are keys of `section`."""
    option = options.get(str(finding.at[1])) if len(finding.at) > 1 and finding.at[0] == section else None
    line, column = (places.key if finding.of_key else places.value)(finding.at)
    if path is None or option is not None:
        line = column = 0
    message, hint = finding.message, finding.hint
    if path is None and option is None and finding.at == ("proxy", "listen"):
        message = "there is no address to listen on"
        hint = f"give --listen udp:ADDRESS:5060, or --config FILE, as {DEFAULT_CONFIG}"
    elif option == "--listen" and hint.startswith("write {"):
        hint = "write the address, as in udp:192.0.2.10:5060, and the name with --advertise"
    return ConfigProblem(
        path="" if path is None else str(path),
        line=line,
        column=column,
        key=_key_text(finding.at),
        option=option,
        severity=finding.severity,
        message=message,
        hint=hint,
    )


def _key_text(at: KeyPath) -> str:
    """`("proxy", "listen", 0)` as `proxy.listen[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def _default_state_dir(environ: Mapping[str, str], uid: int) -> Path | None:
    """The folder that the service manager made (systemd.exec, StateDirectory=), else the system's or the user's own."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if uid == 0:
        return Path("/var/lib/sipdispatch")
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/"):  # XDG Base Directory Specification: a relative one is to be ignored
        return Path(xdg, "sipdispatch")
    home = environ.get("HOME", "")
    return Path(home, ".local", "state", "sipdispatch") if home.startswith("/") else None
