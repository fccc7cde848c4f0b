"""A target is read in each of its forms, and what the options say of all of them is put in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from health.probe import Aim
from sipdispatch import probe_target
from sipdispatch.errors import CommandError
from sipdispatch.probe_target import Aiming, read_host_port, read_targets


def target(text: str, **aiming: object) -> Aim:
    (aim,) = read_targets([text], Aiming(**aiming))  # type: ignore[arg-type]
    assert aim.label == text
    return aim


@pytest.mark.parametrize(
    ("text", "uri", "host", "port"),
    [
        ("192.0.2.1", "sip:192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:5062", "sip:192.0.2.1:5062", "192.0.2.1", 5062),
        ("pbx.Example.com:5062", "sip:pbx.Example.com:5062", "pbx.example.com", 5062),
        ("localhost", "sip:localhost", "localhost", None),
        ("localhost:5062", "sip:localhost:5062", "localhost", 5062),
        ("2001:db8::1", "sip:[2001:db8::1]", "2001:db8::1", None),
        ("[2001:DB8::1]:5062", "sip:[2001:DB8::1]:5062", "2001:db8::1", 5062),
        ("sip:a@b.example:5062;x=y", "sip:a@b.example:5062;x=y", "b.example", 5062),
        ("SIP:b.example", "SIP:b.example", "b.example", None),
        ("sip:b.example;maddr=192.0.2.7", "sip:b.example;maddr=192.0.2.7", "192.0.2.7", None),
    ],
)
def test_the_forms_of_a_target(text: str, uri: str, host: str, port: int | None) -> None:
    assert target(text) == Aim(uri=uri, host=host, port=port, label=text)


def test_what_the_options_add() -> None:
    assert target("a.example", transport="tcp").uri == "sip:a.example;transport=tcp"
    assert target("localhost:5060;transport=tcp").transport == "tcp"
    assert target("sip:a.example;transport=TCP", transport="tcp").uri == "sip:a.example;transport=TCP"
    assert target("sip:a.example;transport=udp", transport="udp").transport == "udp"
    assert target("a.example:5062", user="ping").uri == "sip:ping@a.example:5062"
    assert target("sip:x@a.example", user="ping").uri == "sip:x@a.example"
    proxied = target("a.example", proxy=("192.0.2.9", 5070))
    assert (proxied.uri, proxied.host, proxied.port) == ("sip:a.example", "192.0.2.9", 5070)
    assert target("a.example", srv=False).port == 5060
    assert target("a.example", srv=True).port is None


@pytest.mark.parametrize(
    ("text", "aiming", "what"),
    [
        ("", {}, " is no target: Malformed SIP URI"),
        ("a b", {}, "a b is no target: Malformed SIP URI"),
        ("a.example:0", {}, "a.example:0 is no target: Port out of range in URI"),
        ("mailto:a@b", {}, "mailto:a@b is no target: Malformed SIP URI"),
        ("\udcff", {}, "\udcff is no target: not UTF-8"),
        ("sips:a.example", {}, "tls cannot be probed: this version speaks UDP and TCP"),
        ("sip:a.example;transport=ws", {}, "ws cannot be probed: this version speaks UDP and TCP"),
        ("a.example", {"transport": "wss"}, "wss cannot be probed: this version speaks UDP and TCP"),
        ("sip:a;transport=tcp", {"transport": "udp"}, "the target says tcp and -t says udp"),
        ("192.0.2.1", {"srv": True}, "192.0.2.1 is not looked up by SRV records"),
        ("a.example:5060", {"srv": True}, "a.example is not looked up by SRV records"),
    ],
)
def test_what_is_no_target(text: str, aiming: dict[str, object], what: str) -> None:
    with pytest.raises(CommandError) as caught:
        target(text, **aiming)
    fault = caught.value.faults[0]
    assert (fault.what, fault.where) == (what, f"TARGET {text}")


def test_a_file_has_a_target_a_line(tmp_path: Path) -> None:
    file = tmp_path / "targets"
    file.write_text("# all\n192.0.2.1   # the first\n\n  sip:a#b@192.0.2.2\n")
    aims = read_targets(["192.0.2.9", f"@{file}", "192.0.2.8"], Aiming())
    assert [aim.host for aim in aims] == ["192.0.2.9", "192.0.2.1", "192.0.2.2", "192.0.2.8"]
    file.write_text("192.0.2.1\na b\n")
    with pytest.raises(CommandError) as caught:
        read_targets([f"@{file}"], Aiming())
    assert caught.value.faults[0].where == f"{file}:2"


def test_targets_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("192.0.2.1\n192.0.2.2\n"))
    assert len(read_targets(["@-"], Aiming())) == 2


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "/nowhere"):
        with pytest.raises(CommandError, match="the targets cannot be read"):
            read_targets([f"@{name}"], Aiming())
    file = tmp_path / "targets"
    file.write_bytes(b"\xff")
    with pytest.raises(CommandError, match="it is not text in UTF-8"):
        read_targets([f"@{file}"], Aiming())
    file.write_text("# nobody\n")
    with pytest.raises(CommandError, match="there is no target"):
        read_targets([f"@{file}"], Aiming())
    monkeypatch.setattr(probe_target, "MAX_TARGETS", 2)
    with pytest.raises(CommandError, match="there are more than 2 targets"):
        read_targets(["a", "b", "c"], Aiming())


def test_a_host_and_its_port() -> None:
    assert read_host_port("a.example", "here") == ("a.example", None)
    assert read_host_port("[::1]:5070", "here") == ("::1", 5070)
    assert read_host_port("::1", "here") == ("::1", None)
    for text in ("a@b", "a;x=y", "sip:a?b=c"):
        with pytest.raises(CommandError, match="is not HOST or HOST:PORT"):
            read_host_port(text, "here")
