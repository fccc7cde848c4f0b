"""A script written for sipsak finds its options, its silence, its texts and its statuses again."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from sip.message import Message
from sipdispatch.cli import main
from sipdispatch.probe_sipsak import command
from tests.health.answerer import Answerer, Script, answers_every, asks_for_a_password, only_100, reply, says, silent
from tests.peers.need import require
from tests.peers.ports import free_port
from tests.peers.sipsak import sipsak

Capture = pytest.CaptureFixture[str]


def run(*arguments: str | Path) -> int:
    return main(["probe", "--sipsak", *map(str, arguments)])


@pytest.fixture
def server() -> Iterator[Answerer]:
    with Answerer(says()) as running:
        yield running


def max_forwards(request: bytes) -> int:
    return int(Message.parse(request).value(b"max-forwards") or b"")


def proxies(number: int, *fields: bytes) -> Script:
    """So many proxies on the way to a server."""

    def answer(request: bytes, _number: int) -> Sequence[bytes]:
        if max_forwards(request) < number:
            return [reply(request, 483, "Too Many Hops", *fields)]
        return [reply(request)]

    return answer


def test_silence_is_golden(server: Answerer, capsys: Capture) -> None:
    uri = f"sip:s@{server.place}"
    assert run("-s", uri) == 0
    assert run("-s", f"sip:s@127.0.0.1:{free_port()}") == 3
    assert capsys.readouterr() == ("", "")
    assert server.heard[0].startswith(f"OPTIONS {uri} SIP/2.0\r\n".encode())


def test_it_says_more_the_more_is_asked_for(capsys: Capture) -> None:
    def script(request: bytes, number: int) -> Sequence[bytes]:
        return [] if number == 1 else [reply(request, 100, "Trying"), reply(request)]

    outputs = []
    for option in ("-v", "-vv", "-vvv"):
        with Answerer(script) as server:
            assert run(option, "-Z", "20", "-s", f"sip:s@{server.place}") == 0
        outputs.append(capsys.readouterr().out)
    assert [text.count("SIP/2.0 200 OK\n") for text in outputs] == [1, 2, 2]
    assert [text.count("** timeout, sending again **") for text in outputs] == [0, 1, 0]
    assert [text.count("request:\nOPTIONS sip:s@") for text in outputs] == [0, 0, 2]
    assert "   provisional received; still waiting for a final response" in outputs[1]
    assert re.search(
        r"^\*\* reply received after [0-9.]+ ms \*\*\n   SIP/2.0 200 OK\n   final received\n", outputs[1], re.MULTILINE
    )
    with Answerer(silent) as server:
        assert run("-v", "-D", "1", "-Z", "50", "-s", f"sip:s@{server.place}") == 3
    assert capsys.readouterr().out == "*** giving up, no answer in 50 ms\n"


@pytest.mark.parametrize(
    ("script", "options", "code", "text"),
    [
        (says(), (), 0, "SIP ok"),
        (says(404, "Not Found"), (), 2, "SIP failure"),
        (silent, ("-D", "1"), 2, "SIP failure"),
        (answers_every(2), ("-W", "1"), 0, "SIP ok"),
        (answers_every(2), ("-W", "0"), 1, "SIP warning"),
        (says(), ("-q", "large"), 2, "SIP failure"),
    ],
)
def test_the_texts_and_statuses_for_nagios(
    script: Script, options: Sequence[str], code: int, text: str, capsys: Capture
) -> None:
    with Answerer(script) as server:
        assert run("-N", "-Z", "50", *options, "-s", f"sip:s@{server.place}") == code
    assert capsys.readouterr().out == text + "\n"


def test_a_fault_on_this_side_is_a_failure_for_nagios_and_told(capsys: Capture) -> None:
    assert run("-N", "-D", "1", "-s", "sip:s@no-such.invalid") == 2
    told = capsys.readouterr()
    assert told.out == "SIP failure\n"
    assert told.err.startswith("sipdispatch: error: no address is known: ")


def test_without_nagios_a_warning_changes_nothing(capsys: Capture) -> None:
    with Answerer(answers_every(2)) as server:
        assert run("-W", "0", "-Z", "20", "-s", f"sip:s@{server.place}") == 0


def test_what_the_answer_must_say_in_any_case_of_letters(server: Answerer) -> None:
    assert run("-q", "^SERVER: s(m|x)all", "-s", f"sip:s@{server.place}") == 0
    assert run("-q", "large", "-s", f"sip:s@{server.place}") == 32


def test_timings_are_shortest_longest_average(server: Answerer, capsys: Capture) -> None:
    assert run("-A", "5", "-s", f"sip:s@{server.place}") == 0
    match = re.fullmatch(r"([0-9.]+)/([0-9.]+)/([0-9.]+) ms\n", capsys.readouterr().out)
    assert match is not None
    shortest, longest, average = map(float, match.groups())
    assert shortest <= average <= longest
    assert len(server.heard) == 5


def test_timings_of_nobody_are_not_printed(capsys: Capture) -> None:
    assert run("-A", "2", "-s", f"sip:s@127.0.0.1:{free_port()}") == 3
    assert capsys.readouterr().out == ""


def test_the_way_to_a_server(capsys: Capture) -> None:
    with Answerer(proxies(2, b'Warning: 392 192.0.2.7:5060 "Too many hops"')) as server:
        assert run("-T", "-s", f"sip:s@{server.place}") == 0
        assert [max_forwards(request) for request in server.heard] == [0, 1, 2]
    shown = re.sub(r"\([0-9.]+ ms\)", "(N ms)", capsys.readouterr().out)
    assert shown == (
        "0: 192.0.2.7:5060 (N ms) SIP/2.0 483 Too Many Hops\n"
        "1: 192.0.2.7:5060 (N ms) SIP/2.0 483 Too Many Hops\n"
        "2: small (N ms) SIP/2.0 200 OK\n"
    )


def test_the_way_ends_where_nobody_answers_or_where_it_is_too_long(capsys: Capture) -> None:
    with Answerer(lambda request, number: [] if number > 1 else [reply(request, 483, "Too Many Hops")]) as server:
        assert run("-T", "-D", "1", "-Z", "50", "-s", f"sip:s@{server.place}") == 3
    assert capsys.readouterr().out.splitlines()[1] == "1: no answer in 50 ms"
    with Answerer(proxies(99)) as server:
        assert run("-T", "-m", "3", "-s", f"sip:s@{server.place}") == 1
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_hop_without_a_name(capsys: Capture) -> None:
    with Answerer(lambda request, _: [reply(request).replace(b"\r\nServer: small", b"")]) as server:
        assert run("-T", "-s", f"sip:s@{server.place}") == 0
    assert capsys.readouterr().out.startswith("0: ?? (")


def test_where_it_goes_and_comes_from(server: Answerer) -> None:
    port, local = server.address[1], free_port()
    assert run("-r", str(port), "-s", "sip:s@127.0.0.1") == 0
    assert run("-p", server.place, "-s", "sip:s@pbx.example.com") == 0
    assert run("-l", str(local), "-s", f"sip:s@{server.place}") == 0
    assert run("-k", "127.0.0.9", "-H", "front.example.com", "-m", "7", "-s", f"sip:s@{server.place}") == 0
    assert run("-E", "TCP", "-j", r"X-One: 1\r\nX-Two: 2\n", "-s", f"sip:s@{server.place}") == 0
    first, second, third, fourth, fifth = server.heard
    assert first.startswith(b"OPTIONS sip:s@127.0.0.1 SIP/2.0\r\n")
    assert second.startswith(b"OPTIONS sip:s@pbx.example.com SIP/2.0\r\n")
    assert f"127.0.0.1:{local};branch=".encode() in third
    assert b"Via: SIP/2.0/UDP front.example.com:" in fourth
    assert max_forwards(fourth) == 7
    assert b"Via: SIP/2.0/TCP " in fifth
    assert b"\r\nX-One: 1\r\nX-Two: 2\r\n" in fifth


def test_a_local_port_over_ipv6() -> None:
    with Answerer(says(), "::1") as server:
        port = free_port("::1")
        assert run("-l", str(port), "-s", f"sip:s@{server.place}") == 0
        assert f"[::1]:{port};branch=".encode() in server.heard[0]


@pytest.mark.parametrize(
    ("options", "user"),
    [
        ((), b"s"),
        (("-u", "bob", "-a", "secret"), b"bob"),
        (("-u", "bob", "-J", "00112233445566778899aabbccddeeff"), b"bob"),
    ],
)
def test_a_challenge_is_always_met(options: Sequence[str], user: bytes) -> None:
    with Answerer(asks_for_a_password()) as server:
        assert run(*options, "-s", f"sip:s@{server.place}") == 0
        assert b'username="' + user + b'"' in server.heard[1]


REQUEST = """\
INFO sip:$user$@$dsthost$:$port$ SIP/2.0
From: <sip:a@$srchost$>
To: <sip:$user$@$dsthost$>
X-Mark: $replace$ $other$
"""


def test_a_request_from_a_file_is_filled_in(server: Answerer, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "request"
    file.write_text(REQUEST)
    uri = f"sip:bob@{server.place}"
    assert run("-G", "-g", "here", "-H", "front", "-f", file, "-s", uri) == 0
    request = server.heard[0]
    assert request.startswith(f"INFO sip:bob@{server.place} SIP/2.0\r\n".encode())
    for line in (b"From: <sip:a@front>;tag=", b"To: <sip:bob@127.0.0.1>\r\n", b"X-Mark: here $other$\r\n"):
        assert b"\r\n" + line in request
    assert run("-G", "-f", file, "-s", uri) == 2
    assert "nothing says what $srchost$ is" in capsys.readouterr().err


def test_a_request_with_its_own_via(server: Answerer, tmp_path: Path) -> None:
    file = tmp_path / "request"
    data = (
        b"OPTIONS sip:s SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK-1;rport\r\nFrom: sip:a;tag=1\r\nTo: sip:s\r\n"
        b"Call-ID: own\r\nCSeq: 5 OPTIONS\r\n\r\n"
    )
    file.write_bytes(data)
    assert run("-i", "-f", file, "-s", f"sip:s@{server.place}") == 0
    assert server.heard == [data]


def test_options_without_effect_are_taken(server: Answerer) -> None:
    options = ["-d", "-L", "-n", "-S", "-w", "-x", "60", "-C", "sip:a@b", "-c", "sip:a@b", "-O", "render"]
    options += ["-B", "text", "-o", "10", "-P", "2", "-K", "1"]
    assert run(*options, "-s", f"sip:s@{server.place}") == 0


def test_long_names_are_taken(server: Answerer) -> None:
    options = ["--timeout-factor", "4", "--timer-t1", "500", "--max-fowards=5", "--transport=udp", "--verbose"]
    assert run(*options, "--sip-uri", f"sip:s@{server.place}") == 0
    assert max_forwards(server.heard[0]) == 5


def test_the_version(capsys: Capture) -> None:
    assert run("-V") == 0
    assert capsys.readouterr().out.startswith("sipdispatch ")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "there is no server to ask"),
        (["-s", "127.0.0.1"], "127.0.0.1 is no sip: URI"),
        (["-s", "sips:127.0.0.1"], "sips:127.0.0.1 is no sip: URI"),
        (["-s", "sip:a b"], "sip:a b is no target: Malformed SIP URI"),
        (["-E", "tls", "-s", "sip:a"], "tls cannot be probed: this version speaks UDP and TCP"),
        (["-U", "-s", "sip:a"], "-U is of a mode that this program does not have: it registers"),
        (["-I", "-s", "sip:a"], "-I is of a mode that this program does not have: it makes calls"),
        (["-M", "-s", "sip:a"], "-M is of a mode that this program does not have: it sends messages to itself"),
        (["-F", "-s", "sip:a"], "-F is of a mode that this program does not have: it floods"),
        (["-R", "-s", "sip:a"], "-R is of a mode that this program does not have: it sends random bytes"),
        (["--tls-ca-cert", "x", "-s", "sip:a"], "--tls-ca-cert is of a mode that this program does not have"),
        (["-q", "(", "-s", "sip:127.0.0.1"], "(?i)( is not a regular expression"),
        (["-k", "host", "-s", "sip:127.0.0.1"], "host is not a numeric address"),
        (["-j", "nocolon", "-s", "sip:127.0.0.1"], "no legal request comes of it: Header field without a colon"),
        (["-Y"], "there is no option -Y"),
    ],
)
def test_a_mistake_is_told_and_ends_with_2(arguments: list[str], what: str, capsys: Capture) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"sipdispatch: error: {what}")
    assert len(told.err.splitlines()) == 3


def test_ctrl_c(capsys: Capture) -> None:
    def script(request: bytes, number: int) -> Sequence[bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return only_100(request, number)

    with Answerer(script) as server:
        assert run("-N", "-s", f"sip:s@{server.place}") == 130
    assert capsys.readouterr().out == ""


@pytest.mark.peers
def test_every_option_of_sipsak_is_known() -> None:
    require("sipsak")
    described = sipsak("--help").output
    theirs = set(re.findall(r"^  (--[a-z0-9-]+)", described, re.MULTILINE)) - {"--help"}
    ours = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    assert theirs - ours == set()
    assert len(theirs) > 35


def test_every_option_is_in_the_manual() -> None:
    page = (Path(__file__).parents[2] / "docs/sipdispatch-probe.md").read_text(encoding="utf-8")
    section = page.split("## In place of sipsak\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    described = set(re.findall(r"-[A-Za-z](?![A-Za-z-])", "".join(rows)))
    short = {
        option
        for each in command.params
        if isinstance(each, click.Option)
        for option in each.opts
        if re.fullmatch("-[A-Za-z]", option)
    }
    assert described == short


@pytest.mark.peers
@pytest.mark.parametrize("options", [("-N",), ("-N", "-q", "large"), ("-q", "SMALL"), ("-v",), ("-A", "3")])
def test_both_say_the_same_to_a_good_answer(server: Answerer, options: Sequence[str], capsys: Capture) -> None:
    theirs = sipsak(*options, "-s", f"sip:s@{server.place}")
    code = run(*options, "-s", f"sip:s@{server.place}")
    ours = capsys.readouterr().out

    def comparable(text: str) -> list[str]:
        """Without numbers, what is made up anew each time, and what goes to standard error."""
        lines = re.sub(r"[0-9]+\.[0-9]{3}", "N", text).replace("\r", "").splitlines()
        own = re.compile(r"(?i)via|from|call-id|error|warning")
        return [line.replace("<", "").replace(">", "") for line in lines if line and not own.match(line)]

    assert code == theirs.code
    assert comparable(ours) == comparable(theirs.output)
