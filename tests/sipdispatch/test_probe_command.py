"""The command as people run it: options, mistakes, files, several targets, Ctrl-C and a reader that goes away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sip.message import Message
from sipdispatch.cli import main
from tests.health.answerer import Answerer, answers_every, asks_for_a_password, says
from tests.peers.ports import free_port
from tests.sipdispatch.probing import ROOT, probe

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server() -> Iterator[Answerer]:
    with Answerer(says()) as running:
        yield running


def run(*arguments: str | Path) -> int:
    """In this process: no start to wait for."""
    return main(["probe", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "what", "where"),
    [
        ([], "there is no target", "the command line"),
        (["--no-such"], "there is no option --no-such", "sipdispatch probe"),
        (["-t", "sctp", "a"], "'sctp' is not one of", "sipdispatch probe, option --transport"),
        (["-t", "tls", "a"], "tls cannot be probed: this version speaks UDP and TCP", "TARGET a"),
        (["a b"], "a b is no target: Malformed SIP URI", "TARGET a b"),
        (["-4", "-6", "a"], "-4 and -6 contradict each other", "sipdispatch probe"),
        (["-6", "--source", "192.0.2.1", "a"], "-6 and an IPv4 --source contradict each other", "sipdispatch probe"),
        (["--source", "a", "b"], "a is not a numeric address", "--source a"),
        (["-p", "sip:a@b", "c"], "sip:a@b is not HOST or HOST:PORT", "sipdispatch probe, option --proxy"),
        (
            ["-m", "invite", "a"],
            "invite belongs to a call, and a probe makes none",
            "sipdispatch probe, option --method",
        ),
        (["-m", "A B", "a"], "no legal request comes of it: Malformed method", "the request to a"),
        (["-H", "nocolon", "a"], "no legal request comes of it: Header field without a colon", "the request to a"),
        (["-H", "Via: x", "a"], "no legal request comes of it: Header field that the probe makes itself", "to a"),
        (["--from", "me", "a"], "no legal request comes of it: Malformed URI", "the request to a"),
        (["--ua", "a\nb", "a"], "no legal request comes of it: Line end in a header field", "the request to a"),
        (["-W", "soon", "a"], "soon is not a duration", "sipdispatch probe, option -W"),
        (["-W", "0", "a"], "0 is out of range", "sipdispatch probe, option -W"),
        (["--t1", "500", "a"], "500 is out of range", "sipdispatch probe, option --t1"),
        (["-i", "-1", "a"], "-1 is not a duration", "sipdispatch probe, option -i"),
        (["-D", "x", "a"], "x is not a duration", "sipdispatch probe, option -D"),
        (["-c", "-1", "a"], "-1 is not in the range x>=0", "sipdispatch probe, option --count"),
        (["--ok", "2yy", "a"], "2yy is not a status code", "sipdispatch probe, option --ok"),
        (["--ok", "200", "--any-reply", "a"], "--any-reply and --ok contradict each other", "sipdispatch probe"),
        (["--match", "Server", "a"], "Server is not NAME=REGEX", "sipdispatch probe, option --match"),
        (["--grep", "(", "a"], "( is not a regular expression", "sipdispatch probe, option --grep"),
        (["--rise", "2", "a"], "--rise says nothing without --until", "sipdispatch probe"),
        (["--fall", "2", "a"], "--fall says nothing without --until", "sipdispatch probe"),
        (["--warn", "x=1", "a"], "there is no threshold x", "sipdispatch probe, option --warn"),
        (["--crit", "cert=14d", "a"], "certificates are not looked at", "sipdispatch probe, option --crit"),
        (["--json", "-q", "a"], "--quiet and --json contradict each other", "sipdispatch probe"),
        (["a", "--sipsak"], "--sipsak is not the first option", "sipdispatch probe"),
        (["@/nowhere"], "the targets cannot be read: No such file or directory", "/nowhere"),
        (["--body", "/nowhere", "a"], "the file cannot be read: No such file or directory", "--body /nowhere"),
        (["-f", "/nowhere", "a"], "the file cannot be read: No such file or directory", "-f /nowhere"),
        (["-f", "/dev/null", "a"], "the file is no SIP request: Nothing in it", "-f /dev/null"),
        (["-f", "/dev/zero", "a"], "the file is longer than 65535 bytes", "-f /dev/zero"),
        (["-f", "/dev/null", "-m", "INFO", "a"], "a request from a file is sent as it is written", "option --file"),
        (["--auth-file", "/nowhere", "a"], "the file cannot be read", "--auth-file /nowhere"),
        (["--auth-file", "/dev/null", "a"], "there is no user:password in the file", "--auth-file /dev/null"),
        (["\udcff"], "\\udcff is no target: not UTF-8", "TARGET \\udcff"),
    ],
)
def test_a_mistake_is_told_with_what_where_and_what_to_do(
    arguments: list[str], what: str, where: str, capsys: Capture
) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    first, second, third = told.err.splitlines()
    assert first.startswith(f"sipdispatch: error: {what}")
    assert second.startswith("  where: ")
    assert second.endswith(where)
    assert third.startswith("  to do: ")


def test_a_plugin_tells_its_mistakes_as_unknown(capsys: Capture) -> None:
    for arguments, line in (
        (
            ("--nagios", "-t", "tls", "a"),
            "SIP UNKNOWN - tls cannot be probed: this version speaks UDP and TCP (TARGET a; ",
        ),
        (("--nagios", "--no-such", "a"), "SIP UNKNOWN - No such option"),
        (("--nagios",), "SIP UNKNOWN - there is no target"),
    ):
        assert run(*arguments) == 3
        told = capsys.readouterr()
        assert told.out.startswith(line)
        assert told.out.count("\n") == 1
        assert told.err == ""


@pytest.mark.parametrize(
    ("arguments", "line", "fault"),
    [
        (["--source", "192.0.2.77"], "local ", "the source cannot be used: Cannot assign requested address"),
        (["--source", "::1"], "dns ", "no address is known: it has no IPv6 address"),
        (["--iface", "nosuch0"], "local ", "the interface cannot be used: No such device"),
    ],
)
def test_a_fault_on_this_side_is_told_after_the_line(
    arguments: list[str], line: str, fault: str, server: Answerer, capsys: Capture
) -> None:
    assert run(*arguments, server.place) == 2
    told = capsys.readouterr()
    assert told.out.startswith(line)
    assert told.err.startswith(f"sipdispatch: error: {fault}\n  where: ")
    assert run("-q", *arguments, server.place) == 2
    assert capsys.readouterr() == ("", "")
    assert run("--nagios", *arguments, server.place) == 3
    told = capsys.readouterr()
    assert told.out.startswith("SIP UNKNOWN - ")
    assert told.err == ""


def test_a_name_that_nobody_knows(capsys: Capture) -> None:
    assert run("-W", "1", "no such name".replace(" ", "-") + ".invalid") == 2
    told = capsys.readouterr()
    assert told.out.startswith("dns ")
    assert told.err.startswith("sipdispatch: error: no address is known: ")


def test_a_name_of_this_machine_and_a_family(server: Answerer, capsys: Capture) -> None:
    port = server.address[1]
    assert run("-4", f"localhost:{port}") == 0
    assert f"from=127.0.0.1:{port} " in capsys.readouterr().out
    assert server.heard[0].startswith(f"OPTIONS sip:localhost:{port} SIP/2.0\r\n".encode())
    assert run("--no-srv", "-p", server.place, "sip:pbx.example.com") == 0
    assert server.heard[1].startswith(b"OPTIONS sip:pbx.example.com SIP/2.0\r\n")


def test_the_request_is_what_the_options_say(server: Answerer, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"hello")
    assert (
        run(
            *("-m", "MESSAGE", "-s", "8006", "--from", "sip:me@example.com", "--to", "sip:you@example.com"),
            *("--max-forwards", "3", "-H", "X-One: 1", "-H", "Subject: \u00e9", "--body", body, "--ua", "mine"),
            server.place,
        )
        == 0
    )
    message = Message.parse(server.heard[0])
    assert message.start == f"MESSAGE sip:8006@{server.place} SIP/2.0".encode()
    for name, value in {
        b"to": b"<sip:you@example.com>",
        b"max-forwards": b"3",
        b"x-one": b"1",
        b"subject": "\u00e9".encode(),
        b"user-agent": b"mine",
        b"content-type": b"text/plain",
    }.items():
        assert message.value(name) == value
    assert message.body == b"hello"
    assert run("--body", body, "-H", "c: application/sdp", server.place) == 0
    assert b"text/plain" not in server.heard[1]


def test_a_request_from_a_file_and_from_standard_input(server: Answerer, tmp_path: Path) -> None:
    text = "OPTIONS sip:8006@example.com SIP/2.0\nFrom: <sip:a@example.com>\nTo: <sip:8006@example.com>\nX-Mine: 1\n"
    file = tmp_path / "request.sip"
    file.write_text(text)
    assert run("-f", file, server.place) == 0
    assert probe("-f", "-", server.place, text=text).code == 0
    assert [b"\r\nX-Mine: 1\r\n" in request for request in server.heard] == [True, True]


def test_a_password_that_everybody_can_read_is_refused(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "auth"
    file.write_text("8005:secret\n")
    file.chmod(0o644)
    with Answerer(asks_for_a_password()) as server:
        assert run("--auth-file", file, server.place) == 2
        assert "everybody can read the password" in capsys.readouterr().err
        file.chmod(0o640)
        assert run("--auth-file", file, server.place) == 0
        file.write_text("8005\n")
        assert run("--auth-file", file, server.place) == 2


def test_what_the_answer_must_say(server: Answerer, capsys: Capture) -> None:
    assert run("--match", "Server=^small$", "--grep", "^CSeq: 1 OPTIONS$", server.place) == 0
    assert run("--match", "Server=^large$", server.place) == 32
    assert capsys.readouterr().out.endswith("  NO MATCH\n")


def test_several_targets_side_by_side(server: Answerer, capsys: Capture) -> None:
    closed = f"127.0.0.1:{free_port()}"
    assert run(server.place, closed) == 3
    lines = sorted(capsys.readouterr().out.splitlines())
    assert len(lines) == 2
    assert any(line.startswith(f"{server.place}: 200 OK") for line in lines)
    assert any(line.startswith(f"{closed}: refused") for line in lines)


def test_the_answer_is_shown_when_asked_for(server: Answerer, capsys: Capture) -> None:
    assert run("-v", server.place) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"received from {server.place}\nSIP/2.0 200 OK\n")
    assert run("-vvv", server.place) == 0
    assert capsys.readouterr().out.startswith(f"sent to {server.place}\nOPTIONS sip:")


def test_for_programs(server: Answerer, capsys: Capture) -> None:
    assert run("--json", "-c", "2", "-i", "0", server.place) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["targets"][0]["summary"]["ok"] == 2
    assert run("--jsonl", "-c", "2", "-i", "0", server.place) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    assert run("--prom", server.place) == 0
    assert "sipdispatch_probe_up{" in capsys.readouterr().out
    assert run("--nagios", server.place) == 0
    assert capsys.readouterr().out.startswith("SIP OK - 200 OK in ")
    assert run("--nagios", f"127.0.0.1:{free_port()}") == 2
    assert capsys.readouterr().out.startswith("SIP CRITICAL - refused: ")
    assert run("-q", server.place) == 0
    assert capsys.readouterr().out == ""


def test_retransmissions_can_be_a_warning(capsys: Capture) -> None:
    with Answerer(answers_every(2)) as server:
        assert run("--t1", "10ms", "--warn", "retrans=0", server.place) == 1
        assert "warning: retrans 1 > 0" in capsys.readouterr().out
        assert run("--t1", "10ms", "--nagios", "--warn", "retrans=0", server.place) == 1
        assert capsys.readouterr().out.startswith("SIP WARNING - ")


def test_until_it_is_up(server: Answerer, capsys: Capture) -> None:
    assert run("--until", "up", "-i", "0", server.place) == 0
    assert "2 sent, 2 answered (2 ok)" in capsys.readouterr().out
    assert run("--until", "down", "-c", "3", "-i", "0", server.place) == 1
    assert run("--until", "down", "--fall", "1", f"127.0.0.1:{free_port()}") == 0


# --------------------------------------------------------------------------------------------------------------------
# How it is ended from outside


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sipdispatch", "probe", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_prints_the_statistics(server: Answerer, number: signal.Signals, code: int) -> None:
    with started("-c", "0", "-i", "0.01", server.place) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("PROBE ")
        assert running.stdout.readline().startswith("200 OK ")
        running.send_signal(number)
        rest, complaints = running.communicate(timeout=30)
    assert running.returncode == code
    assert complaints == ""
    last = rest.splitlines()[-3:]
    assert last[0] == f"--- {server.place} statistics ---"
    assert ", 0.0% loss, 0 retransmissions, 0 stray replies" in last[1]
    assert last[2].startswith("rtt min/avg/max/mdev = ")


def test_ctrl_c_completes_the_document(server: Answerer) -> None:
    with started("-c", "0", "-i", "0.01", "--json", server.place) as running:
        while len(server.heard) < 3:
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    document = json.loads(out)
    assert (document["status"], document["interrupted"], running.returncode) == (130, True, 130)
    assert document["targets"][0]["summary"]["ok"] >= 2


def test_a_reader_that_goes_away_ends_it_quietly(server: Answerer) -> None:
    with started("-c", "0", "-i", "0.01", "--jsonl", server.place) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith("{")
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(30) == 141
