"""What happens where a peer is missing, and which ports are given?"""

from __future__ import annotations

import socket

import pytest

from tests.peers import need
from tests.peers.ports import FIRST, LAST, free_port, is_bound


def test_a_missing_program_skips_the_test_and_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(need, "SEARCHED", "/nonexistent")
    with pytest.raises(pytest.skip.Exception, match="apt-get install sip-tester"):
        need.require("sipp")


def test_a_missing_program_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(need, "SEARCHED", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="apt-get install sip-tester"):
        need.require("sipp")


def test_the_packages_of_all_missing_programs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(need, "SEARCHED", "/nonexistent")
    assert {"sip-tester", "kamailio", "libc6-dev"} <= set(need.missing_packages())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
def test_a_free_port_is_bound_by_nobody_until_it_is(host: str) -> None:
    port = free_port(host)
    assert FIRST <= port <= LAST
    assert not is_bound(host, port)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, port))
        assert is_bound(host, port)
    assert free_port(host) != port
