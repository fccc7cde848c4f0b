"""What do a TOML file and the options of `sipdispatch vrrp run` say to the agent, and what is wrong with them?

Only what concerns the agent keeps it from starting: with a mistake in [proxy] the proxy does not start, and the address
must not depend on that.
"""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path
from typing import Any, Final

from sipdispatch.config import DEFAULT_CONFIG, ConfigProblem, VrrpConfig, VrrpFlags
from sipdispatch.consistency import Finding
from sipdispatch.load import by_place, place, read_file, syntax_problem
from sipdispatch.sections import read_sections
from sipdispatch.structure import unknown_sections
from sipdispatch.toml_positions import positions

OPTIONS: Final = {
    "interface": "--interface",
    "vrid": "--vrid",
    "priority": "--priority",
    "addresses": "--address",
    "peers": "--peer",
    "version": "--protocol",
    "interval": "--interval",
    "preempt": "--preempt",
}
"""Field of VrrpFlags and key of [vrrp], option."""
_OF_PROXY: Final = ("proxy", "health", "http")


def load_agent(path: Path | None, flags: VrrpFlags | None = None) -> VrrpConfig | tuple[ConfigProblem, ...]:
    """What the agent goes by, or everything that is wrong with it; warnings are in `VrrpConfig.warnings`."""
    flags = flags or VrrpFlags()
    text = "" if path is None else read_file(path)
    if isinstance(text, ConfigProblem):
        return (text,)
    try:
        tree, places = tomllib.loads(text), positions(text)
    except (ValueError, RecursionError) as error:
        return (syntax_problem(path, text, error),)
    options = _lay_over(tree, flags)
    sections, found = read_sections(tree, Path.cwd() if path is None else path.absolute().parent)
    found = [finding for finding in (*unknown_sections(tree), *found) if not set(finding.at[:1]) & set(_OF_PROXY)]
    if "vrrp" not in tree and not found:
        found.append(_no_section(path))
    placed = partial(place, path=path, places=places, options=options, section="vrrp")
    problems = tuple(sorted((_of_option(placed(finding)) for finding in found), key=by_place))
    if sections.vrrp is None or any(problem.severity == "error" for problem in problems):
        return problems
    return VrrpConfig(
        path=path,
        vrrp=sections.vrrp,
        control=sections.control,
        hooks=sections.hooks,
        notifiers=sections.notifiers,
        flags=flags,
        warnings=problems,
    )


def _lay_over(tree: dict[str, Any], flags: VrrpFlags) -> dict[str, str]:
    """Put the options into the tree; returns the key of [vrrp] that each of them has taken, and the option."""
    given = {key: option for key, option in OPTIONS.items() if getattr(flags, key) not in (None, ())}
    if given:
        section = tree.setdefault("vrrp", {})
        if isinstance(section, dict):
            for key in given:
                value = getattr(flags, key)
                section[key] = list(value) if isinstance(value, tuple) else value
    return given


def _no_section(path: Path | None) -> Finding:
    if path is None:
        return Finding(
            (),
            "nothing says which address moves",
            f"give --interface eth0 --vrid 51 --address 192.0.2.100/24, or --config FILE, as {DEFAULT_CONFIG}",
        )
    return Finding(
        (), "there is no section [vrrp]", "write the line [vrrp], and below it interface, vrid and addresses"
    )


def _of_option(problem: ConfigProblem) -> ConfigProblem:
    """What is missing on the command line is an option."""
    if problem.path or problem.option or problem.message != "is missing":
        return problem
    key = problem.key.removeprefix("vrrp.")
    return ConfigProblem(
        option=OPTIONS.get(key), message=f"the option {OPTIONS[key]} is missing", hint=f"give {OPTIONS[key]}"
    )
