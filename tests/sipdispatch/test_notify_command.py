"""Does `sipdispatch notify test` try what is configured, and say what came of it?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sipdispatch import notify_command
from sipdispatch.cli import main
from sipdispatch.notify_trial import Trial
from tests.sipdispatch.notice_servers import HttpServer, SmtpServer, listening, refused_port

PROXY = '[proxy]\nlisten = "192.0.2.10"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path


def configure(text: str) -> None:
    Path("sipdispatch.toml").write_text(PROXY + text)


def run(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, str, str]:
    status = main(["notify", "test", "--config", "sipdispatch.toml", *names])
    said = capsys.readouterr()
    return status, said.out, said.err


def hook(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f'[[hook]]\ncommand = ["{path}"]\n'


def test_all_succeed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web, post_office = HttpServer(), SmtpServer()
    with listening(web.serve) as port, listening(post_office.serve) as mail_port:
        configure(
            hook(folder, "page", f"cat >{folder}/out")
            + f'[[notify]]\nname = "chat"\nurl = "http://127.0.0.1:{port}/T0PSECRET"\n'
            + f'[[notify]]\nsmtp = "127.0.0.1:{mail_port}"\nfrom = "a@example.com"\nto = "b@example.com"\n'
            "starttls = false\n"
        )
        status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "page: ok: it has ended well",
        f"chat: ok: 127.0.0.1:{port}: 200 OK",
        f"email: ok: 127.0.0.1:{mail_port}: accepted",
    ]
    happening = json.loads((folder / "out").read_text())
    assert (happening["kind"], happening["after"], happening["sequence"]) == ("proxy", "test", 0)
    assert json.loads(web.requests[0].body)["test"] is True
    assert len(post_office.mails) == 1


def test_one_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = refused_port()
    configure(
        hook(folder, "page", "echo no modem >&2; exit 3")
        + hook(folder, "quiet", "exit 4")
        + f'[[notify]]\nurl = "http://127.0.0.1:{port}/T0PSECRET"\n'
    )
    status, out, err = run(capsys)
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "page: failed: exit status 3: no modem",
        "quiet: failed: exit status 4",
        f"json: failed: 127.0.0.1:{port}: connection refused",
    ]


def test_only_those_that_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = refused_port()
    configure(hook(folder, "page", "exit 0") + f'[[notify]]\nname = "chat"\nurl = "http://127.0.0.1:{port}/"\n')
    assert run(capsys, "page") == (0, "page: ok: it has ended well\n", "")
    assert run(capsys, "chat")[0] == 1
    assert run(capsys, "chat", "page")[1].startswith("page: ok")


def test_a_name_that_nobody_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(hook(folder, "page", "exit 0"))
    status, out, err = run(capsys, "pager")
    assert (status, out) == (2, "")
    assert err.startswith("sipdispatch: error: there is no hook or notifier pager\n")
    assert "did you mean page?" in err


def test_nobody_to_tell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure("")
    status, _, err = run(capsys)
    assert status == 2
    assert "there is nobody to tell" in err


def test_what_is_wrong_is_told_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure('[[notify]]\nurl = "ftp://x"\nevery = 5\n[[hook]]\n')
    status, _, err = run(capsys)
    assert status == 2
    assert err == (
        "sipdispatch: error: hook[0].command: is missing\n  where: sipdispatch.toml:6:1\n"
        '  to do: write it as in command = ["/usr/local/bin/page", "noc"]\n'
        "sipdispatch: error: notify[0].url: is not a URL of HTTP\n  where: sipdispatch.toml:4:7\n"
        '  to do: write it as in "https://hooks.example.com/sipdispatch"\n'
    )


@pytest.mark.parametrize("text", ["[[hook]\n", 'x = "\xff"\n'])
def test_a_file_that_is_not_toml(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("sipdispatch.toml").write_bytes(text.encode("latin-1"))
    status, _, err = run(capsys)
    assert status == 2
    assert "sipdispatch.toml:1:" in err


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys)
    assert status == 2
    assert "the file cannot be read: No such file or directory" in err


def test_without_a_verb_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify"]) == 2
    assert "test  " in capsys.readouterr().err


def test_a_verb_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify", "tset"]) == 2
    assert "no such command 'tset'" in capsys.readouterr().err


def test_a_line_of_the_result() -> None:
    assert str(Trial("a", succeeded=True, text="b")) == "a: ok: b"
    assert notify_command.FAILED == 1
