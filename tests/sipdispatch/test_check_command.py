"""Does `sipdispatch check` find what is wrong, and say so for people and for programs?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from sipdispatch.check_command import as_json, as_text, check, command, exit_status

GOOD = "1 sip:192.0.2.20 0 0 weight=50\n1 sip:192.0.2.21 0 0 weight=50\n"
DOUBTFUL = "1 sip:192.0.2.20 2\n"
WRONG = "1 sip:192.0.2.20 -1\n1 192.0.2.20:x\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def put(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


# --------------------------------------------------------------------------------------------------------------------
# Lists


@pytest.mark.usefixtures("folder")
def test_a_good_list() -> None:
    assert run(put("a.list", GOOD)) == (0, "1 file checked: no problems\n")


@pytest.mark.usefixtures("folder")
def test_a_doubtful_list() -> None:
    code, output = run(put("a.list", DOUBTFUL))
    assert code == 1
    assert output.startswith("a.list:1:18: warning: ")
    assert output.endswith("\n1 file checked: 1 warning\n")


@pytest.mark.usefixtures("folder")
def test_a_wrong_list() -> None:
    code, output = run(put("a.list", WRONG))
    assert code == 2
    assert output.startswith("a.list:1:18: error: ")
    assert output.count("\n") == output.count(": error: ") + output.count(": warning: ") + 1


@pytest.mark.usefixtures("folder")
def test_several_files_are_counted_together() -> None:
    code, output = run(put("a.list", GOOD), put("b.list", DOUBTFUL), put("c.list", DOUBTFUL))
    assert code == 1
    assert output.endswith("3 files checked: 2 warnings\n")


@pytest.mark.usefixtures("folder")
def test_a_file_is_checked_once_however_it_is_named() -> None:
    put("a.list", DOUBTFUL)
    os.symlink("a.list", "b.list")  # noqa: PTH211
    assert run("a.list", "./a.list", "b.list")[1].endswith("1 file checked: 1 warning\n")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["missing.list", "missing", "missing.toml"])
def test_a_file_that_is_not_there_is_told_and_the_others_are_checked(name: str) -> None:
    code, output = run(name, put("b.list", DOUBTFUL))
    assert code == 2
    assert output.startswith(
        f"{name}: error: the file cannot be read: No such file or directory; name a file that can be read\nb.list:1:18:"
    )


def test_a_folder_is_no_list(folder: Path) -> None:
    assert run(str(folder)) == (
        2,
        (
            f"{folder}: error: the file cannot be read: Is a directory; name a file that can be read\n"
            "1 file checked: 1 error\n"
        ),
    )


# --------------------------------------------------------------------------------------------------------------------
# Lists and configurations told apart


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.toml", GOOD, "toml"),
        ("a.list", "[proxy]\n", "list"),
        ("a.conf", "# a comment\n\n  [proxy]\n", "toml"),
        ("a.conf", "[[proxy.route]]\n", "toml"),
        ("a", 'listen = "192.0.2.10"\n', "toml"),
        ("a", "proxy.set=1\n", "toml"),
        ("a", "# a comment\n" + GOOD, "list"),
        ("a", "sip:192.0.2.20 weight=50\n", "list"),
        ("a", "1 sip:[2001:db8::1] 0 0 weight=1", "list"),
        ("a", "", "list"),
        ("a", "# nothing\n", "list"),
    ],
)
def test_what_a_file_is(name: str, text: str, kind: str) -> None:
    (checked, *_) = check((Path(put(name, text)),))
    assert checked.kind == kind


@pytest.mark.usefixtures("folder")
def test_a_pipe_is_a_list_and_is_read_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, GOOD.encode())
    os.close(writing)
    try:
        (checked,) = check((Path(f"/dev/fd/{reading}"),))
    finally:
        os.close(reading)
    assert (checked.kind, checked.destinations, checked.problems) == ("list", 2, ())


# --------------------------------------------------------------------------------------------------------------------
# Configurations


def test_a_configuration_takes_its_list_with_it(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\n')
    put("dispatcher.list", GOOD)
    assert run("sipdispatch.toml") == (0, "2 files checked: no problems\n")
    assert run("sipdispatch.toml", "dispatcher.list") == (0, "2 files checked: no problems\n")
    assert run("dispatcher.list", "sipdispatch.toml") == (0, "2 files checked: no problems\n")
    put("dispatcher.list", DOUBTFUL)
    code, output = run("sipdispatch.toml")
    assert code == 1
    assert output.startswith(f"{folder}/dispatcher.list:1:18: warning: ")


def test_a_list_is_checked_beside_a_wrong_configuration(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "eth0"\nlist = "a.list"\n')
    put("a.list", WRONG)
    code, output = run("sipdispatch.toml")
    assert code == 2
    assert output.startswith("sipdispatch.toml:2:10: error: proxy.listen: ")
    assert f"\n{folder}/a.list:1:18: error: " in output


def test_a_list_that_is_named_and_not_there(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\n')
    assert run("sipdispatch.toml") == (
        2,
        (
            f"{folder}/dispatcher.list: error: the file cannot be read: No such file or directory;"
            " name a file that can be read\n2 files checked: 1 error\n"
        ),
    )


def test_a_configuration_that_does_not_fit_its_list(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nalgorithm = "random"\nset = 3\n')
    put("dispatcher.list", GOOD + "2 sip:192.0.2.10\n")
    code, output = run("sipdispatch.toml")
    assert code == 2
    assert output.splitlines() == [
        (
            "sipdispatch.toml:3:13: warning: proxy.algorithm: random keeps a call's messages together by memory only:"
            " a transaction that is under way when the other node takes over may be lost; write a keyed algorithm such"
            " as weight, unless you can live with that"
        ),
        (
            f"sipdispatch.toml:4:7: error: proxy.set: set 3 has no destination in {folder}/dispatcher.list;"
            " write a set that is there (1, 2), or fill this one"
        ),
        (
            f"{folder}/dispatcher.list:3:1: error: sip:192.0.2.10 is this proxy itself: every call would come back"
            " until it is refused with 482; write the server's own address"
        ),
        "2 files checked: 2 errors, 1 warning",
    ]


def test_one_list_of_two_configurations_has_the_problems_of_both(folder: Path) -> None:
    put("dispatcher.list", "1 sip:192.0.2.10\n1 sip:192.0.2.11\n")
    put("a.toml", '[proxy]\nlisten = "192.0.2.10"\n')
    put("b.toml", '[proxy]\nlisten = "192.0.2.11"\n')
    lines = run("a.toml", "b.toml")[1].splitlines()
    assert [line.partition(" is this")[0] for line in lines] == [
        f"{folder}/dispatcher.list:1:1: error: sip:192.0.2.10",
        f"{folder}/dispatcher.list:2:1: error: sip:192.0.2.11",
        "3 files checked: 2 errors",
    ]


@pytest.mark.usefixtures("folder")
def test_a_configuration_named_twice_is_checked_once() -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nset = 9\n')
    put("dispatcher.list", GOOD)
    assert run("sipdispatch.toml", "./sipdispatch.toml")[1].endswith("2 files checked: 1 error\n")


def test_a_secret_that_would_be_refused(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\n')
    put("dispatcher.list", GOOD)
    secret = folder / "state" / "secret"
    secret.parent.mkdir()
    secret.write_text(bytes(range(32)).hex())
    secret.chmod(0o600)
    assert run("sipdispatch.toml") == (0, "2 files checked: no problems\n")
    secret.chmod(0o644)
    assert run("sipdispatch.toml") == (
        2,
        (
            f"{secret}: error: the secret can be read or changed by other users: its mode is 0644;"
            f" chmod 600 {secret} (and make a new one if somebody may have read it)\n2 files checked: 1 error\n"
        ),
    )


@pytest.mark.usefixtures("folder")
def test_a_fast_path_that_is_wanted_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    put("dispatcher.list", GOOD)
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nfastpath = "on"\n')
    monkeypatch.setattr("dispatcher.fastpath.WHY_NOT", "the fast path is not built")
    assert run("sipdispatch.toml") == (
        1,
        (
            "sipdispatch.toml:3:12: warning: proxy.fastpath: on this machine the proxy would not start: the fast path"
            ' is not built; install a Rust toolchain and build it, or write "auto"\n2 files checked: 1 warning\n'
        ),
    )
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nfastpath = "auto"\n')
    assert run("sipdispatch.toml")[0] == 0
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nfastpath = "on"\n')
    monkeypatch.setattr("dispatcher.fastpath.WHY_NOT", "")
    assert run("sipdispatch.toml")[0] == 0


def test_checking_makes_no_secret(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\n')
    put("dispatcher.list", GOOD)
    run("sipdispatch.toml")
    assert sorted(path.name for path in folder.iterdir()) == ["dispatcher.list", "sipdispatch.toml"]


# --------------------------------------------------------------------------------------------------------------------
# For programs


def test_the_document(folder: Path) -> None:
    put("sipdispatch.toml", '[proxy]\nlisten = "192.0.2.10"\nset = 3\n')
    put("dispatcher.list", "1 sip:192.0.2.20 2\n")
    code, output = run("--json", "sipdispatch.toml")
    document = json.loads(output)
    assert code == document["status"] == 2
    (problem,) = document["files"][1]["problems"]
    assert document == {
        "version": 1,
        "status": 2,
        "errors": 1,
        "warnings": 1,
        "files": [
            {
                "path": "sipdispatch.toml",
                "kind": "toml",
                "destinations": 0,
                "errors": 1,
                "warnings": 0,
                "problems": [
                    {
                        "key": "proxy.set",
                        "path": "sipdispatch.toml",
                        "line": 3,
                        "column": 7,
                        "severity": "error",
                        "message": f"set 3 has no destination in {folder}/dispatcher.list",
                        "hint": "write a set that is there (1), or fill this one",
                    }
                ],
            },
            {
                "path": f"{folder}/dispatcher.list",
                "kind": "list",
                "destinations": 1,
                "errors": 0,
                "warnings": 1,
                "problems": [problem],
            },
        ],
    }
    assert problem.keys() == {"key", "path", "line", "column", "severity", "message", "hint"}
    assert (problem["key"], problem["line"], problem["severity"]) == ("", 1, "warning")


@pytest.mark.usefixtures("folder")
def test_text_and_document_agree() -> None:
    checked = check([Path(put("a.list", WRONG)), Path(put("b.list", DOUBTFUL))])
    document = json.loads(as_json(checked))
    lines = as_text(checked).splitlines()
    assert len(lines) == document["errors"] + document["warnings"] + 1
    assert exit_status(checked) == document["status"] == 2


@pytest.mark.usefixtures("folder")
def test_the_document_has_no_line_for_people() -> None:
    code, output = run(put("a.list", GOOD), "--json")
    assert code == 0
    assert json.loads(output)["files"][0]["destinations"] == 2
