"""Does `sipdispatch explain` read configuration, list, secret and message as it should, and say what is wrong there?"""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from dispatcher import slotbuild
from dispatcher.choice import Chance
from dispatcher.resolver import Resolver
from dispatcher.selection import Groups
from sipdispatch import secret
from sipdispatch.cli import main
from sipdispatch.config import Config
from sipdispatch.explain import explain as account_for
from sipdispatch.explain_offline import Secrets, read_secrets, snapshot_at_start
from sipdispatch.explain_request import Asked, arrive
from sipdispatch.load import load
from sipdispatch.proxy import serve
from sipdispatch.secret import SecretError
from tests.dispatcher.world import PHONE, VIP, VIP6, Node, make_snapshot, reply_to, request
from tests.peers.ports import free_port

SECRET = "f1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff01"
LIST = "1 sip:192.0.2.21 0 0 weight=50\n1 sip:192.0.2.22 0 0 weight=50\n"
TOML = '[proxy]\nlisten = ["udp:192.0.2.10:5060"]\nstate_dir = "state"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("dispatcher.list").write_text(LIST)
    Path("sipdispatch.toml").write_text(TOML)
    Path("state").mkdir()
    Path("state/secret").write_text(SECRET)
    Path("state/secret").chmod(0o600)
    return tmp_path


_tables: dict[Groups, bytes] = {}


@pytest.fixture(autouse=True)
def known_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same slot table is not built again for each test."""
    build = slotbuild.build_apart

    async def remembered(groups: Groups) -> bytes:
        if groups not in _tables:
            _tables[groups] = await build(groups)
        return _tables[groups]

    monkeypatch.setattr(slotbuild, "build_apart", remembered)


Explain = Callable[..., tuple[int, str, str]]


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Explain:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["explain", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_call_id(explain: Explain, folder: Path) -> None:
    fingerprint = secret.fingerprint(bytes.fromhex(SECRET))
    assert explain("--config", "sipdispatch.toml", "--call-id", "a84b4c76e66710@pc33") == (
        0,
        (
            "message     INVITE sip:192.0.2.10:5060 SIP/2.0\n"
            "Call-ID     a84b4c76e66710@pc33\n"
            "source      203.0.113.1:5060 (assumed; --source says otherwise)\n"
            "listener    udp:192.0.2.10:5060\n"
            "side        edge: neither a destination's address nor in core_networks\n"
            "way         dispatched: a request from the edge goes to a destination of the list\n"
            "set         1: 2 destinations\n"
            "algorithm   weight\n"
            "key         a84b4c76e66710@pc33 (the Call-ID)\n"
            "slot        32954 of 65536\n"
            "candidates   1. sip:192.0.2.21  up  weight 50  takes it\n"
            "             2. sip:192.0.2.22  up  weight 50  comes next when those before it cannot\n"
            "outcome     forwarded to 192.0.2.21:5060 (sip:192.0.2.21), from udp:192.0.2.10:5060\n"
            f"secret      {fingerprint}, of {folder}/state/secret\n"
            "note        the running proxy, which is not asked, keeps a Call-ID of the last three\n"
            "            minutes where it went, and avoids a destination that has just refused\n"
        ),
        "",
    )


def test_the_document(explain: Explain, folder: Path) -> None:
    status, output, errors = explain("--config", "sipdispatch.toml", "--json", "--method", "REGISTER")
    assert (status, errors) == (0, "")
    document = json.loads(output)
    assert list(document) == [
        "version", "message", "source", "listener", "routes", "way", "choice", "outcome", "assumed", "looked_up",
        "secret", "notes",
    ]  # fmt: skip
    assert document["version"] == 1
    assert document["message"] == {
        "kind": "request",
        "start": "REGISTER sip:192.0.2.10:5060 SIP/2.0",
        "call_id": "explain",
        "fault": None,
    }
    assert document["source"] == {
        "address": "203.0.113.1:5060",
        "side": "edge",
        "reason": "neither a destination's address nor in core_networks",
    }
    assert document["way"]["kind"] == "dispatched"
    choice = document["choice"]
    assert list(choice) == ["rule", "set", "algorithm", "used", "key", "slot", "panic", "candidates"]
    assert (choice["key"], choice["algorithm"], choice["used"]) == ("explain", "weight", "weight")
    assert list(choice["candidates"][0]) == [
        "uri", "address", "state", "letters", "weight", "rweight", "priority", "latency", "calls", "ramp", "chosen",
        "reason",
    ]  # fmt: skip
    assert [choice["candidates"][0][key] for key in ("latency", "calls", "ramp")] == [None, 0, 255]
    assert choice["candidates"][0]["letters"] == "AX"
    outcome = document["outcome"]
    assert list(outcome) == ["kind", "address", "listener", "destination", "status", "drop", "refusal", "reason"]
    assert outcome["kind"] == "forward"
    assert outcome["destination"] == choice["candidates"][0]["uri"]
    assert document["assumed"] == ["call_id", "source"]
    assert document["secret"]["path"] == str(folder / "state" / "secret")


def test_options_stand_in_place_of_the_file(explain: Explain) -> None:
    Path("other.list").write_text("7 sip:192.0.2.77\n")
    options = ("--listen", "192.0.2.1:5090", "--list", "other.list", "--set", "7", "--algorithm", "aor")
    status, output, _ = explain("--config", "sipdispatch.toml", *options, "--call-id", "x", "--json")
    assert status == 0
    document = json.loads(output)
    assert document["listener"] == "udp:192.0.2.1:5090"
    assert (document["choice"]["set"], document["choice"]["algorithm"]) == (7, "aor")
    assert document["outcome"]["address"] == "192.0.2.77:5060"


def test_a_message_from_a_file_and_from_standard_input(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    datagram = request(uri="sip:8006@192.0.2.10")
    Path("invite.sip").write_bytes(datagram)
    status, from_file, _ = explain("--config", "sipdispatch.toml", "invite.sip")
    assert status == 0
    assert "source      198.51.100.7:40001 (as its top Via says; --source says otherwise)\n" in from_file
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(datagram)))
    assert explain("--config", "sipdispatch.toml", "-") == (0, from_file, "")


def test_a_source_and_a_listener_that_are_said(explain: Explain) -> None:
    Path("sipdispatch.toml").write_text(TOML.replace('"]', '", "udp:192.0.2.11:5060", "udp:[2001:db8::a]:5060"]'))
    options = ("--config", "sipdispatch.toml", "--call-id", "x")
    output = explain(*options, "--source", "192.0.2.21", "--listener", "udp:192.0.2.11:5060")[1]
    assert (
        "source      192.0.2.21:5060\nlistener    udp:192.0.2.11:5060\nside        core: the address of sip:" in output
    )
    output = explain(*options, "--source", "2001:db8::7")[1]
    assert "listener    udp:[2001:db8::a]:5060 (the first of its family; --listener says otherwise)\n" in output
    output = explain(*options, "--listener", "[2001:db8::a]:5060")[1]
    assert "source      [2001:db8::1]:5060 (assumed; --source says otherwise)\n" in output


def test_a_source_that_nobody_has_named_is_a_stranger(explain: Explain) -> None:
    Path("dispatcher.list").write_text("1 sip:203.0.113.1\n")
    assert "source      198.51.100.1:5060 (assumed" in explain("--config", "sipdispatch.toml", "--call-id", "x")[1]


def test_everybody_may_be_core(explain: Explain) -> None:
    Path("sipdispatch.toml").write_text(
        TOML + 'core_networks = ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"]\n'
    )
    output = explain("--config", "sipdispatch.toml", "--call-id", "x")[1]
    assert "side        core: in 203.0.113.0/24 of core_networks\n" in output


@pytest.mark.parametrize(
    ("algorithm", "compared"),
    [("latency", "how soon servers answer"), ("call-load", "how many calls servers have"), ("weight", None)],
)
def test_what_only_the_running_proxy_measures_is_said(explain: Explain, algorithm: str, compared: str | None) -> None:
    output = explain("--config", "sipdispatch.toml", "--algorithm", algorithm, "--call-id", "x")[1]
    note = f"{algorithm} compares {compared}, which only the running proxy knows: it may choose another"
    assert (note in " ".join(output.split())) is (compared is not None)


def test_a_name_of_the_list_that_is_in_the_hosts_file(explain: Explain) -> None:
    Path("dispatcher.list").write_text("1 sip:localhost:5080\n")
    output = explain("--config", "sipdispatch.toml", "--call-id", "x")[1]
    assert " 1. sip:localhost:5080 at 127.0.0.1:5080  up  no weight  takes it\n" in output


def test_a_next_hop_that_is_a_name_is_looked_up(explain: Explain) -> None:
    options = ("--config", "sipdispatch.toml", "--call-id", "x", "--uri", "sip:8006@localhost:5070")
    status, output, errors = explain(*options, "--source", "192.0.2.21")
    assert (status, errors) == (0, "")
    assert "looked up   localhost: 127.0.0.1:5070\n" in output
    assert "outcome     forwarded to 127.0.0.1:5070, from udp:192.0.2.10:5060\n" in output


# --------------------------------------------------------------------------------------------------------------------
# The secret


def test_without_a_secret_none_is_made_and_it_says_so(explain: Explain, folder: Path) -> None:
    Path("state/secret").unlink()
    Path("state").rmdir()
    status, output, errors = explain("--config", "sipdispatch.toml", "--call-id", "x")
    assert (status, errors) == (0, "")
    assert "\nsecret " not in output
    joined = " ".join(output.split())
    assert f"there is no secret in {folder}/state/secret, so a throw-away one was used" in joined
    assert not Path("state").exists()


def test_an_answer_that_hangs_on_no_secret_needs_no_note(explain: Explain) -> None:
    Path("state/secret").unlink()
    Path("options.sip").write_bytes(request("OPTIONS", "sip:192.0.2.10"))
    assert "throw-away" not in explain("--config", "sipdispatch.toml", "options.sip")[1]
    message, _ = Node(make_snapshot(("192.0.2.21", 5060))).forward(request(), PHONE)
    Path("reply.sip").write_bytes(reply_to(message))
    assert "throw-away" in explain("--config", "sipdispatch.toml", "reply.sip")[1]
    Path("options.sip").write_bytes(request("OPTIONS", "sip:192.0.2.10", extra=("Route: <sip:AAAA@192.0.2.10;lr>",)))
    assert "throw-away" in explain("--config", "sipdispatch.toml", "options.sip")[1]


def test_a_secret_that_others_can_read_is_refused(explain: Explain) -> None:
    Path("state/secret").chmod(0o644)
    status, output, errors = explain("--config", "sipdispatch.toml", "--call-id", "x")
    assert (status, output) == (2, "")
    assert errors.startswith("sipdispatch: error: the secret can be read or changed by other users: its mode is 0644\n")


def test_a_secret_that_we_may_not_read(monkeypatch: pytest.MonkeyPatch, explain: Explain) -> None:
    def refuse(path: Path) -> tuple[bytes, ...]:
        raise SecretError("the secret cannot be read: Permission denied", str(path), "chown") from PermissionError()

    monkeypatch.setattr(secret, "read", refuse)
    status, _, errors = explain("--config", "sipdispatch.toml", "--call-id", "x")
    assert status == 2
    assert errors.endswith("  to do: run this as the user that the proxy runs as, or as root\n")


# --------------------------------------------------------------------------------------------------------------------
# What is wrong


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [],
            (
                "there is no message to explain",
                "sipdispatch explain",
                "write a FILE with a message (- for standard input), or say --call-id TEXT",
            ),
        ),
        (
            ["a.sip", "--call-id", "x"],
            (
                "the message is in the file, and the options would make another one",
                "sipdispatch explain a.sip",
                "leave out the file, or --call-id, --method, --uri, --from and --to",
            ),
        ),
        (
            ["gone.sip"],
            (
                "the message cannot be read: No such file or directory",
                "gone.sip",
                "name a file that can be read, or - for standard input",
            ),
        ),
        (
            ["--call-id", "a b"],
            (
                "this makes no legal request: Malformed Call-ID",
                "option --call-id",
                "write a method as INVITE, URIs as sip:8006@example.com, a Call-ID without blanks",
            ),
        ),
        (
            ["--call-id", "a\r\nX: y", "--uri", "sip:a@b"],
            ("'a\\r\\nX: y' cannot stand in a message", "option --call-id", "write one line of text"),
        ),
        (["--uri", " "], ("' ' cannot stand in a message", "option --uri", "write one line of text")),
        (
            ["--call-id", "x", "--from", "<sip:a", "--to", "b"],
            (
                "this makes no legal request: Malformed address",
                "option --call-id, --from, --to",
                "write a method as INVITE, URIs as sip:8006@example.com, a Call-ID without blanks",
            ),
        ),
        *(
            (
                ["--call-id", "x", "--source", source],
                (
                    f"{source!r} is no address",
                    "option --source",
                    "write one as 198.51.100.7, 198.51.100.7:5060 or [2001:db8::7]:5060",
                ),
            )
            for source in ("pbx", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:65536", ":5060", "[2001:db8::7]x", "")
        ),
        (
            ["--call-id", "x", "--source", "[2001:db8::7]:5060"],
            (
                "there is no IPv6 listener for a message from 2001:db8::7",
                "option --source",
                "write an address of a family that the proxy listens on",
            ),
        ),
        (
            ["--call-id", "x", "--source", "2001:db8::7", "--listener", "192.0.2.10"],
            (
                "a message from 2001:db8::7 cannot arrive on udp:192.0.2.10:5060",
                "options --source and --listener",
                "write addresses of one family",
            ),
        ),
        (
            ["--call-id", "x", "--listener", "192.0.2.11"],
            ("the proxy does not listen on 192.0.2.11:5060", "option --listener", "write one of udp:192.0.2.10:5060"),
        ),
        (
            ["--call-id", "x", "--set", "9", "--list", "gone.list"],
            (
                "the list cannot be read: No such file or directory",
                "FOLDER/gone.list",
                "name a readable file with list in [proxy] or with --list",
            ),
        ),
        (
            ["--call-id", "x", "--algorithm", "weigt"],
            ("weigt is not the name of an algorithm", "option --algorithm", "did you mean weight?"),
        ),
    ],
)
def test_what_is_said(arguments: list[str], expected: tuple[str, str, str], explain: Explain, folder: Path) -> None:
    what, where, remedy = expected
    assert explain("--config", "sipdispatch.toml", *arguments) == (
        2,
        "",
        f"sipdispatch: error: {what}\n  where: {where.replace('FOLDER', str(folder))}\n  to do: {remedy}\n",
    )


def test_a_file_without_carriage_returns(explain: Explain) -> None:
    Path("invite.sip").write_bytes(request(body="v=0\r\n").replace(b"\r\n", b"\n"))
    output = " ".join(explain("--config", "sipdispatch.toml", "invite.sip")[1].split())
    assert "answered with 400 Bad Request - Content-Length larger than the body" in output
    assert "note the file has line feeds only" in output
    Path("invite.sip").write_bytes(request(cseq_method="BYE"))
    assert "line feeds only" not in explain("--config", "sipdispatch.toml", "invite.sip")[1]


def test_a_file_that_is_too_long(explain: Explain) -> None:
    Path("long.sip").write_bytes(request(body="x" * 70000))
    assert "fault       Message Too Large\n" in explain("--config", "sipdispatch.toml", "long.sip")[1]


@pytest.mark.parametrize(
    ("source", "listener", "place"),
    [("192.0.2.7", None, 0), ("2001:db8::7", None, 1), (None, "2001:db8::1", 1), ("udp:192.0.2.7:7", None, 0)],
)
def test_the_listener_has_the_family_of_the_source(source: str | None, listener: str | None, place: int) -> None:
    snapshot = make_snapshot(listeners=(VIP, VIP6))
    arriving = arrive(Asked(call_id="x", source=source, listener=listener), None, snapshot)
    assert arriving.arrival == place


def test_a_reply_and_rubbish_say_nothing_of_their_source() -> None:
    snapshot = make_snapshot()
    message, _ = Node(make_snapshot(("192.0.2.21", 5060))).forward(request(), PHONE)
    for datagram in (reply_to(message), b"rubbish", b"A sip:b SIP/2.0\r\n\r\n", request(via="laptop.local")):
        assert arrive(Asked(file="-"), datagram, snapshot).source == ("203.0.113.1", 5060)


# --------------------------------------------------------------------------------------------------------------------
# Against the running proxy


def test_the_running_proxy_does_what_is_explained() -> None:
    """Forty calls over loopback: each reaches the server that the explanation names first."""
    port = free_port()
    Path("dispatcher.list").write_text(f"1 sip:127.0.0.2:{port} 0 0 weight=3\n1 sip:127.0.0.3:{port} 0 0 weight=2\n")
    Path("sipdispatch.toml").write_text(
        f'[proxy]\nlisten = "127.0.0.1:{port}"\nstate_dir = "state"\nreceive_buffer = "128KiB"\n'
        "[health]\nenabled = false\n"
    )
    config = load(Path("sipdispatch.toml"))
    assert isinstance(config, Config)
    trio.run(_call_and_compare, config, port)


async def _call_and_compare(config: Config, port: int) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heavy,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as light,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        heavy.bind(("127.0.0.2", port))
        light.bind(("127.0.0.3", port))
        phone.bind(("127.0.0.1", 0))
        source = phone.getsockname()
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, config)
            secrets = read_secrets(config)
            assert secrets == Secrets((bytes.fromhex(SECRET),), throw_away=False)
            snapshot = await snapshot_at_start(config, secrets.values, Resolver())
            said: list[tuple[str, int]] = []
            for number in range(40):
                datagram = request(
                    uri=f"sip:8006@127.0.0.1:{port}", via=f"127.0.0.1:{source[1]}", call_id=f"{number}@phone"
                )
                account = account_for(snapshot, datagram, source, 0, names=lambda *_: None, chance=Chance(0, 0))
                assert account.choice is not None
                said.append(account.choice.candidates[0].destination.address)
                phone.sendto(datagram, ("127.0.0.1", port))
                server = heavy if said[-1][0] == "127.0.0.2" else light
                with trio.fail_after(30):
                    await trio.lowlevel.wait_readable(server)
                assert f"Call-ID: {number}@phone\r\n".encode() in server.recv(65535)
            nursery.cancel_scope.cancel()
        assert set(said) == {("127.0.0.2", port), ("127.0.0.3", port)}
