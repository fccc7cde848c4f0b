"""What does `sipdispatch vrrp import` do with a keepalived.conf?"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final, TypedDict, Unpack

import click

from sipdispatch.errors import CommandError, Fault
from sipdispatch.keepalived_import import Imported, VirtualRouter, priority_of, translate, virtual_routers
from sipdispatch.keepalived_read import Document, Fate, Remark, UnreadableError, read_keepalived
from sipdispatch.output import say
from sipdispatch.toml_text import TextTable, toml_text

CARRIED_OVER: Final = 0
SOME_LEFT_OUT: Final = 1
LIMIT_BYTES: Final = 4 * 1024 * 1024


class ImportOptions(TypedDict):
    """What click hands over."""

    file: Path
    output: Path | None
    instance: str | None
    node: str | None
    other: Path | None


@click.command(name="import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write this file; it must be new."
)
@click.option("--instance", metavar="NAME", help="The vrrp_instance or vrrp_sync_group, if there are several.")
@click.option("--node", metavar="NAME", help="What keepalived is told with -i, for lines that begin with @.")
@click.option(
    "--other",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The other node's keepalived.conf, to keep the order of priorities below 100.",
)
def command(**options: Unpack[ImportOptions]) -> int:
    """Write the configuration that stands for a keepalived.conf.

    What could not be carried over, what means something else now and what is left to do is told on standard error, each
    with its line.

    Exit status: 0 all was carried over, 1 something was left out, 2 the file cannot be read.
    """
    imported, others = _imported(options)
    text = _text(options["file"], imported, alone=not others)
    check_result(text, options["file"])
    if options["output"] is None:
        say(text, newline=False)
    else:
        _write(options["output"], text)
    remarks = (*imported.remarks, *_left_routers(others, wanted=options["instance"]))
    for remark in sorted(remarks, key=lambda each: each.line):
        click.echo(_line(options["file"], remark), err=True)
    click.echo(_summary(imported, remarks), err=True)
    return SOME_LEFT_OUT if any(remark.fate is Fate.LEFT_OUT for remark in remarks) else CARRIED_OVER


def _imported(options: ImportOptions) -> tuple[Imported, tuple[VirtualRouter, ...]]:
    """The result, and the virtual routers that are not in it; raises CommandError."""
    path, other = options["file"], options["other"]
    document = _read(path, options["node"])
    try:
        routers = virtual_routers(document)
        router = _chosen(routers, options["instance"], path)
        theirs = None if other is None else _other_priority(other, router)
        imported = translate(document, router, other_priority=theirs)
    except UnreadableError as error:
        raise _fault(path, error) from None
    if router is not routers[0]:
        imported = _beside(imported)
    return imported, tuple(each for each in routers if each is not router)


def _read(path: Path, node: str | None) -> Document:
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise CommandError(
            f"the file cannot be read: {error.strerror}", str(path), "name keepalived's configuration"
        ) from error
    try:
        return read_keepalived(text, node=node)
    except UnreadableError as error:
        raise _fault(path, error) from None


def _chosen(routers: tuple[VirtualRouter, ...], wanted: str | None, path: Path) -> VirtualRouter:
    if wanted is None:
        return routers[0]
    for router in routers:
        if router.is_called(wanted):
            return router
    names = ", ".join(router.name for router in routers)
    raise CommandError(f"there is no vrrp_instance or vrrp_sync_group {wanted}", str(path), f"write one of {names}")


def _other_priority(path: Path, router: VirtualRouter) -> int:
    """That of the virtual router in the other node's file; raises CommandError."""
    try:
        for theirs in virtual_routers(_read(path, None)):
            if theirs.is_called(router.name) or any(theirs.is_called(each.value) for each in router.instances):
                return priority_of(theirs)
    except UnreadableError as error:
        raise _fault(path, error) from None
    raise CommandError(f"there is no vrrp_instance {router.name}", str(path), "name the other node's file")


def _fault(path: Path, error: UnreadableError) -> CommandError:
    return CommandError(error.message, f"{path}:{error.line}" if error.line else str(path), error.hint)


def _beside(imported: Imported) -> Imported:
    """With a control socket of its own: a second agent runs beside that of the first virtual router."""
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in imported.router.name)
    socket = f"/run/sipdispatch-vrrp-{name}/vrrp.sock"
    remark = Remark(
        imported.router.line,
        Fate.TO_DO,
        f"vrrp_instance {imported.router.name}",
        f"each virtual router has an agent of its own: start it beside the others, as sipdispatch-vrrp@{name}; "
        f"its control socket is {socket}",
    )
    return Imported(
        imported.router,
        (*imported.tables, TextTable("vrrp.control", {"socket": socket})),
        tuple(sorted((*imported.remarks, remark), key=lambda each: each.line)),
    )


def _left_routers(others: tuple[VirtualRouter, ...], *, wanted: str | None) -> tuple[Remark, ...]:
    """Those that nobody has asked for and that would be forgotten."""
    if wanted is not None:
        return ()
    return tuple(
        Remark(
            each.line,
            Fate.LEFT_OUT,
            f"{'vrrp_instance' if each.group is None else 'vrrp_sync_group'} {each.name}",
            f"it is another virtual router, and an agent has one: import it with --instance {each.name}",
        )
        for each in others
    )


def _text(path: Path, imported: Imported, *, alone: bool) -> str:
    where = "" if alone else f", {imported.router.name}"
    return f"# From {' '.join(path.name.split())}{where}, by sipdispatch vrrp import.\n\n{toml_text(imported.tables)}"


def check_result(text: str, path: Path) -> None:
    """Raise CommandError if our own reader would refuse the result."""
    from sipdispatch.sections import read_sections  # noqa: PLC0415 - slow, and not for --help

    _, found = read_sections(tomllib.loads(text), Path("/"))
    wrong = [finding for finding in found if finding.severity == "error"]
    if wrong:
        hint = "correct it in keepalived.conf, if keepalived takes it at all"
        raise CommandError.of(
            *(Fault(f"{'.'.join(map(str, each.at))}: {each.message}; {each.hint}", str(path), hint) for each in wrong)
        )


def _write(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError("the file is there already", str(path), "name another one, or remove it") from None
    except OSError as error:
        raise CommandError(
            f"the file cannot be written: {error.strerror}", str(path), "name a file in a folder that you may write to"
        ) from error


def _line(path: Path, remark: Remark) -> str:
    where = f"{path}:{remark.line}" if remark.line else str(path)
    return " ".join(f"{where}: {remark.fate.value}: {remark.what}: {remark.why}".split())


def _summary(imported: Imported, remarks: tuple[Remark, ...]) -> str:
    counts = [(fate, sum(remark.fate is fate for remark in remarks)) for fate in Fate]
    told = ", ".join(f"{count} {fate.value}" for fate, count in counts if count)
    return f"{imported.router.name}: {told or 'all carried over'}"
