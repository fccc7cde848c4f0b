"""Does the real Asterisk start, answer SIP and its console?"""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.peers.asterisk import Asterisk
from tests.peers.ports import free_port

pytestmark = pytest.mark.peers


def options(host: str, port: int) -> bytes:
    """An OPTIONS that asks for the answer where it came from."""
    bracketed = f"[{host}]" if ":" in host else host
    return (
        f"OPTIONS sip:s@{bracketed}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {bracketed};rport;branch=z9hG4bK-1\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:test@{bracketed}>;tag=1\r\nTo: <sip:s@{bracketed}>\r\nCall-ID: 1\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_asterisk_answers_options_and_its_console(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        Asterisk(host, free_port(host), directory=tmp_path) as asterisk,
        socket.socket(family, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(5.0)
        client.bind((host, 0))
        client.sendto(options(host, asterisk.port), (host, asterisk.port))
        assert re.match(rb"SIP/2\.0 \d{3} ", client.recv(65536))
        endpoints = asterisk.cli("pjsip show endpoints")
        assert "8005" in endpoints
        assert "8006" in endpoints
        assert asterisk.contacts() == []
        pid = asterisk.pid
    assert not Path(f"/proc/{pid}").exists()
