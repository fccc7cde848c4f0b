"""Does every command end the way a shell and a person expect, whatever happens in it?"""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from sipdispatch import cli
from sipdispatch.cli import COMMANDS, group, main
from sipdispatch.command_group import CommandEntry
from sipdispatch.errors import CommandError, Fault

ROOT = Path(__file__).parents[2]
GOOD = "1 sip:192.0.2.20\n"


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | object], list[str]]:
    """Give the program a command that raises or returns something; the answer is its command line."""

    def add(outcome: BaseException | object) -> list[str]:
        def callback() -> object:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = ModuleType("sipdispatch_test_command")
        module.__dict__["command"] = click.Command("try", callback=callback)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "try", CommandEntry(module.__name__, "Try."))
        return ["try"]

    return add


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sipdispatch", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = start(*arguments, **environment)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


# --------------------------------------------------------------------------------------------------------------------
# Help, version, commands


def test_without_a_command_help_goes_to_standard_error_and_the_status_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: sipdispatch [OPTIONS] [COMMAND]")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_goes_to_standard_output_and_names_every_command(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    output = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"\n  {name} " in output
        assert entry.summary in output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_line_in_the_list_is_the_first_of_the_commands_own_help(name: str) -> None:
    ctx = click.Context(group)
    command = group.get_command(ctx, name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").split("\n")[0] == COMMANDS[name].summary
    assert CliRunner().invoke(group, [name, "--help"]).exit_code == 0


def test_a_module_without_a_command_is_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "try", CommandEntry("sipdispatch.broken", "Try."))
    broken = ModuleType("sipdispatch.broken")
    broken.__dict__["command"] = None
    monkeypatch.setitem(sys.modules, "sipdispatch.broken", broken)
    with pytest.raises(TypeError, match="is not a click command"):
        group.get_command(click.Context(group), "try")
    assert group.get_command(click.Context(group), "banana") is None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("sipdispatch ")
    assert output.endswith(f"Python {sys.version.split()[0]})\n")


def test_version_and_check_do_not_wait_for_the_proxy(tmp_path: Path) -> None:
    path = tmp_path / "a.list"
    path.write_text(GOOD)
    program = (
        "import sys\n"
        "from sipdispatch.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(*(name for name in ('trio', 'structlog', 'dns', 'cattrs') if name in sys.modules))\n"
    )
    for arguments, allowed in ((["--version"], ""), (["--help"], ""), (["check", str(path)], "cattrs")):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == allowed


# --------------------------------------------------------------------------------------------------------------------
# What the caller can put right


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["chek"], ("there is no command chek", "sipdispatch", "did you mean check?")),
        (["banana"], ("there is no command banana", "sipdispatch", f"write one of {', '.join(COMMANDS)}")),
        (
            ["--banana"],
            ("there is no option --banana", "sipdispatch", "run sipdispatch --help for what can be written"),
        ),
        (["--verison"], ("there is no option --verison", "sipdispatch", "did you mean --version?")),
        (["check"], ("FILE... is missing", "sipdispatch check", "write sipdispatch check [OPTIONS] FILE...")),
        (["check", "--jsn", "x"], ("there is no option --jsn", "sipdispatch check", "did you mean --json?")),
        (["proxy", "--lisst"], ("there is no option --lisst", "sipdispatch proxy", "did you mean --list?")),
        (
            ["proxy", "--set"],
            ("option --set needs a value", "sipdispatch proxy", "run sipdispatch proxy --help for what can be written"),
        ),
        (
            ["proxy", "--set", "x"],
            (
                "'x' is not a valid integer",
                "sipdispatch proxy, option --set",
                "run sipdispatch proxy --help for what can be written",
            ),
        ),
        (
            ["completion", "tcsh"],
            (
                "'tcsh' is not one of 'bash', 'zsh', 'fish'",
                "sipdispatch completion, SHELL",
                "run sipdispatch completion --help for what can be written",
            ),
        ),
        (
            ["proxy", "x"],
            (
                "got unexpected extra argument (x)",
                "sipdispatch proxy",
                "run sipdispatch proxy --help for what can be written",
            ),
        ),
    ],
)
def test_what_is_said_of_a_wrong_command_line(
    arguments: list[str], expected: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"{Fault(*expected)}\n"
    assert captured.out == ""


def test_a_value_for_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json=1", "x"]) == 2
    assert "--json" in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["status", "--socket", "{}"], "you may not use the control socket of the proxy"),
        (["status", "--config", "{}"], "the file cannot be read: Permission denied"),
        (["notify", "test", "--config", "{}"], "the file cannot be read: Permission denied"),
        (["proxy", "--config", "{}"], "the file cannot be read: Permission denied"),
        (["check", "{}"], "the file cannot be read: Permission denied"),
    ],
)
def test_what_one_may_not_read_is_told_by_whoever_reads_it(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forbidden(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = tmp_path / "a.toml"
    path.write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(io, "open", forbidden)
    monkeypatch.setattr("sipdispatch.control_client._reach", forbidden)
    assert main([word.format(path) for word in arguments]) == 2
    assert expected in "".join(capsys.readouterr())


def test_a_fault_is_three_lines_whatever_is_in_it() -> None:
    assert str(Fault("a\nb", "c\r\nd", " e\tf ")) == "sipdispatch: error: a b\n  where: c d\n  to do: e f"
    assert (
        str(Fault("\x1b[2J", "\x9b", "\u202e")).split()
        == "sipdispatch: error: \\x1b[2J where: \\x9b to do: \\u202e".split()
    )


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (CommandError("a", "b", "c"), [Fault("a", "b", "c")]),
        (CommandError.of(Fault("a", "b", "c"), Fault("d", "e", "f")), [Fault("a", "b", "c"), Fault("d", "e", "f")]),
        (
            ExceptionGroup(
                "a nursery", [CommandError("a", "b", "c"), ExceptionGroup("", [CommandError("d", "e", "f")])]
            ),
            [Fault("a", "b", "c"), Fault("d", "e", "f")],
        ),
        (
            BaseExceptionGroup("a nursery", [KeyboardInterrupt(), CommandError("a", "b", "c")]),
            [Fault("a", "b", "c")],
        ),
        (
            click.ClickException("Could not open it."),
            [Fault("could not open it", "sipdispatch try", "run sipdispatch try --help for what can be written")],
        ),
        (
            click.BadParameter("It is wrong."),
            [
                Fault(
                    "invalid value: It is wrong",
                    "sipdispatch try",
                    "run sipdispatch try --help for what can be written",
                )
            ],
        ),
    ],
)
def test_errors_that_the_caller_can_put_right(
    ends: Callable[[object], list[str]],
    outcome: BaseException,
    expected: list[Fault],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(ends(outcome)) == 2
    assert capsys.readouterr().err == "".join(f"{fault}\n" for fault in expected)


def test_an_error_prints_its_faults() -> None:
    assert str(CommandError("a", "b", "c")) == "sipdispatch: error: a\n  where: b\n  to do: c"


# --------------------------------------------------------------------------------------------------------------------
# Other ends


@pytest.mark.parametrize(("outcome", "status"), [(None, 0), (0, 0), (3, 3), ("text", 0)])
def test_what_a_command_returns_is_the_status(
    ends: Callable[[object], list[str]], outcome: object, status: int
) -> None:
    assert main(ends(outcome)) == status


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (7, 7), ("text", 1)])
def test_system_exit_keeps_its_status(ends: Callable[[object], list[str]], code: int | str | None, status: int) -> None:
    assert main(ends(SystemExit(code))) == status


@pytest.mark.parametrize(
    "outcome",
    [KeyboardInterrupt(), click.Abort(), BaseExceptionGroup("", [KeyboardInterrupt()]), EOFError()],
    ids=["ctrl-c", "abort", "nursery", "ctrl-d"],
)
def test_an_interrupt_is_quiet(
    ends: Callable[[object], list[str]], outcome: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ends(outcome)) == 130
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(
    "outcome",
    [
        ValueError("too\nbad"),
        ExceptionGroup("a nursery", [ValueError("too bad"), CommandError("a", "b", "c")]),
    ],
)
def test_a_mistake_of_ours_is_one_line_and_status_70(
    ends: Callable[[object], list[str]],
    outcome: Exception,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "sipdispatch: internal error: ValueError: too bad; please report it, with what SIPDISPATCH_DEBUG=1 shows\n"
    assert main(ends(outcome)) == 70
    assert capsys.readouterr().err == line
    monkeypatch.setenv("SIPDISPATCH_DEBUG", "1")
    assert main(ends(outcome)) == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith(line)


def test_a_closed_pipe_is_quiet(ends: Callable[[object], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ends(ExceptionGroup("", [BrokenPipeError()]))) == 141
    assert capsys.readouterr().err == ""


def test_an_error_that_cannot_be_printed_keeps_its_status(
    ends: Callable[[object], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", closed)
    monkeypatch.setattr(cli, "_flush", lambda: None)
    assert main(ends(CommandError("a", "b", "c"))) == 2


# --------------------------------------------------------------------------------------------------------------------
# Real processes


def test_a_real_command_line(tmp_path: Path) -> None:
    path = tmp_path / "a.list"
    path.write_text(GOOD)
    assert run("check", str(path)) == (0, "1 file checked: no problems\n", "")
    assert run("chek")[0] == 2
    assert run("proxy") == (
        2,
        "",
        (
            "sipdispatch: error: proxy.listen: there is no address to listen on\n"
            "  where: command line\n"
            "  to do: give --listen udp:ADDRESS:5060, or --config FILE, as /etc/sipdispatch/sipdispatch.toml\n"
        ),
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"], ["check", "missing.list"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        process = subprocess.Popen(
            [sys.executable, "-m", "sipdispatch", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--version"], ["completion", "bash"], ["check", "missing.list"]])
def test_a_full_disk_is_told(arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sipdispatch", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "sipdispatch: error: the output cannot be written: No space left on device\n"
        "  where: standard output\n"
        "  to do: free some space there, or send the output somewhere else\n"
    )


def test_what_a_command_has_merely_buffered_is_told_too() -> None:
    program = (
        "import click, sys, types\n"
        "from sipdispatch import cli, command_group\n"
        "sys.modules['printer'] = types.SimpleNamespace(command=click.Command('try', callback=lambda: print('x')))\n"
        "cli.COMMANDS['try'] = command_group.CommandEntry('printer', 'Try.')\n"
        "sys.exit(cli.main(['try']))\n"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("sipdispatch: error: the output cannot be written: No space left on device\n")


def test_closed_streams_are_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "a.list"
    path.write_text(GOOD)
    shell = f'"$1" -m sipdispatch check {path} >&-; echo $?; "$1" -m sipdispatch chek 2>&-; echo $?'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n2\n"


def test_a_terminal_without_the_letters_gets_their_codes(tmp_path: Path) -> None:
    path = tmp_path / "\u0436.list"
    path.write_text("x\n")
    status, output, errors = run("check", str(path), PYTHONIOENCODING="latin-1")
    assert (status, errors) == (2, "")
    assert "/\\u0436.list:1:1: error: " in output


def test_ctrl_c_ends_a_running_command_quietly(tmp_path: Path) -> None:
    """The command waits for a list out of a pipe that nobody writes to."""
    pipe = tmp_path / "pipe.list"
    os.mkfifo(pipe)
    # Tests that were started in the background may have SIGINT ignored, and whatever they start would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start("check", str(pipe))
    signal.signal(signal.SIGINT, before)
    with pipe.open("wb"):  # opens when the command has opened its end
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == ""


def test_the_module_runs_as_the_program_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sipdispatch.__main__ as m, sipdispatch.cli as c; assert m.main is c.main"],
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0
