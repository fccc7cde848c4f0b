"""Does SIPp call SIPp, and do both count the same?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.sipp import answer, call
from tests.peers.sipsak import sipsak

pytestmark = pytest.mark.peers


def test_twenty_calls_are_counted_by_both_ends(tmp_path: Path) -> None:
    with answer("127.0.0.1", directory=tmp_path) as server:
        server.until_listening()
        client = call(("127.0.0.1", server.port), calls=20, rate=100, address="127.0.0.1", directory=tmp_path)
        counted = server.stop()
    assert (client.created, client.successful, client.failed, client.current) == (20, 20, 0, 0)
    assert (counted.created, counted.failed, counted.unexpected, counted.out_of_call) == (20, 0, 0, 0)
    assert server.errors() == ""


def test_calls_to_nobody_fail(tmp_path: Path) -> None:
    options = ["-max_retrans", "1", "-timer_resol", "1"]
    client = call(("127.0.0.1", 9), calls=2, rate=100, address="127.0.0.1", directory=tmp_path, options=options)
    assert (client.created, client.successful, client.failed) == (2, 0, 2)


def test_sipsak_is_answered_by_a_server_and_by_nobody_else(tmp_path: Path) -> None:
    with answer("127.0.0.1", directory=tmp_path) as server:
        server.until_listening()
        answered = sipsak("-vv", "-s", f"sip:s@127.0.0.1:{server.port}")
    assert answered.code == 0, answered.output
    assert "200 OK" in answered.output
    assert sipsak("-s", f"sip:s@127.0.0.1:{server.port}").code == 3
