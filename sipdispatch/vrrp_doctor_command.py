"""What does `sipdispatch vrrp doctor` look at, and how does it end?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from sipdispatch.config import DEFAULT_CONFIG
from sipdispatch.errors import CommandError
from sipdispatch.output import say
from sipdispatch.settings_options import fault_of

LIMIT_BYTES: Final = 4 * 1024 * 1024


@click.command(name="doctor")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    metavar="FILE",
    help=f"The TOML file of this node; {DEFAULT_CONFIG} by default.",
)
@click.option("--listen", type=click.FloatRange(0.1, 3600), metavar="SECONDS", help="Listen for so long.")
@click.option(
    "--peer-status",
    "documents",
    type=click.Path(path_type=Path, allow_dash=True),
    multiple=True,
    metavar="FILE",
    help="What status --json, or vrrp status --json, says on the other node; - is standard input.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document instead of a table.")
def command(*, config: Path, listen: float | None, documents: tuple[Path, ...], json_wanted: bool) -> int:
    """Look for what makes pairs fail.

    Exit status: 0 all is fine, 1 something was found, 2 the node cannot be looked at.
    """
    from sipdispatch import doctor_finding, doctor_round  # noqa: PLC0415 - trio and netlink: not for --help
    from sipdispatch.screen import standard_output  # noqa: PLC0415 - the same
    from sipdispatch.vrrp_load import load_agent  # noqa: PLC0415 - the same
    from sipdispatch.vrrp_run import require_privileges  # noqa: PLC0415 - the same

    theirs: dict[str, Any] = {}
    for path in documents:
        theirs |= _read_status(path)
    loaded = load_agent(config)
    if isinstance(loaded, tuple):
        raise CommandError.of(*(fault_of(problem) for problem in loaded if problem.severity == "error"))
    require_privileges()
    findings = doctor_round.examine(loaded, listen=listen, theirs=theirs)
    say(doctor_finding.as_json(findings) if json_wanted else doctor_finding.as_text(findings, standard_output()))
    return doctor_finding.exit_status(findings)


def _read_status(path: Path) -> dict[str, Any]:
    """A document of `sipdispatch status --json` or `sipdispatch vrrp status --json`; raises CommandError."""
    hint = "write it with sipdispatch status --json, or sipdispatch vrrp status --json, on the other node"
    try:
        with click.open_file(str(path), "rb") as file:
            document = json.loads(file.read(LIMIT_BYTES))
    except OSError as error:
        raise CommandError(f"the file cannot be read: {error.strerror}", str(path), hint) from error
    except (ValueError, RecursionError):
        raise CommandError("this is not JSON", str(path), hint) from None
    known = {key: document[key] for key in ("proxy", "vrrp") if isinstance(document, dict) and key in document}
    if not known:
        raise CommandError("this is no status of a proxy or an agent", str(path), hint)
    return known
