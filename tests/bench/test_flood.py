"""Does the bench of floods send what it says, and does it hide no lost call?"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from bench.flood import HEADINGS, Run, contenders, row
from bench.load import HERE, build
from sip.errors import SipError
from sip.message import Message
from sip.request import read_request
from tests.peers.need import require
from tests.peers.ports import free_port


def one_datagram(tmp_path: Path, kind: str) -> bytes:
    require("gcc")
    program = build(HERE / "sipflood.c", tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.settimeout(5)
        argv = [program, "127.0.0.1", proxy.getsockname()[1], "127.0.0.1", free_port(), "0.2", "1000", kind]
        said = subprocess.run(
            [str(word) for word in argv], capture_output=True, text=True, check=True, timeout=10
        ).stdout
        assert 64 <= int(said.split()[0].partition("=")[2]) <= 200
        return proxy.recv(8192)


def test_a_scanner_asks_properly_and_garbage_is_no_sip(tmp_path: Path) -> None:
    scanned = read_request(Message.parse(one_datagram(tmp_path, "s")))
    assert scanned.message.method == b"OPTIONS"
    with pytest.raises(SipError):
        read_request(Message.parse(one_datagram(tmp_path, "g")))


def test_the_losses_of_all_rounds_are_told() -> None:
    runs = [Run(flood=100, answered=10, lost=lost, p99_us=1500, cpu=0.5) for lost in (0, 3)]
    told = dict(zip(HEADINGS, row("mine", "garbage", runs), strict=True))
    assert (told["answered"], told["lost"], told["CPU"], told["99 % within, ms"]) == ("20", "3", "50%", "1.5")


def test_each_of_ours_is_measured_with_limits_too(tmp_path: Path) -> None:
    require("gcc")
    found = {proxy.name: proxy.command for proxy in contenders(tmp_path, [])}
    assert "null forwarder" not in found
    assert f"{tmp_path}/off.toml" in found["sipdispatch, pure Python"]
    assert f"{tmp_path}/off-limits.toml" in found["sipdispatch, pure Python, limits"]
    assert "[proxy.limits]" in (tmp_path / "off-limits.toml").read_text()
