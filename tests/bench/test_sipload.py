"""Does the load generator send what it is told to, and does it count what comes back?"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import attrs
import pytest

from bench.load import HERE, Load, Shape, build
from sip.message import Message
from sip.request import read_request
from tests.peers.need import require
from tests.peers.ports import free_port


@pytest.fixture(scope="module")
def sipload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gcc")
    return build(HERE / "sipload.c", tmp_path_factory.mktemp("sipload"))


def sent(sipload: Path, shape: Shape, *, answers: int = 0) -> tuple[list[bytes], Load]:
    """The INVITEs of a short run with one in flight, of which the first few are answered, and what it counts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.settimeout(5)
        port = str(proxy.getsockname()[1])
        mine = str(free_port("127.0.0.1"))
        argv = [sipload, "127.0.0.1", port, "127.0.0.1", mine, "0.3", "1", "0", str(shape.size), shape.letters]
        with subprocess.Popen([str(part) for part in argv], stdout=subprocess.PIPE, text=True) as process:
            got = []
            for number in range(answers + 1):
                data, client = proxy.recvfrom(8192)
                got.append(data)
                if number < answers:
                    proxy.sendto(b"SIP/2.0 200 OK\r\n" + data.partition(b"\r\n")[2], client)
            return got, Load.parse(process.communicate()[0])


@pytest.mark.parametrize(
    "shape", [Shape(), Shape(compact=True), Shape(nat=True), Shape(compact=True, nat=True)], ids=str
)
@pytest.mark.parametrize("size", [0, 400, 1200, 4000])
def test_an_invite_has_the_size_and_the_shape(sipload: Path, size: int, shape: Shape) -> None:
    (data,), _ = sent(sipload, attrs.evolve(shape, size=size))
    assert len(data) == (size or len(data))
    assert (b"\r\nv: " in data, b"\r\nVia: " in data) == (shape.compact, not shape.compact)
    request = read_request(Message.parse(data))
    assert request.message.method == b"INVITE"
    assert len(request.message.body) == int(request.message.value(b"content-length") or b"")
    assert (b"@192.168." in (request.message.value(b"contact") or b"")) is shape.nat


def test_a_proxy_that_does_not_answer_yet_is_not_buried(sipload: Path) -> None:
    _, load = sent(sipload, Shape())
    assert load.sent <= 2  # one in flight, and another when that has been given up


def test_each_has_a_number_of_its_own_and_the_answers_count(sipload: Path) -> None:
    got, load = sent(sipload, Shape(), answers=3)
    assert len(set(got)) == 4
    assert (load.got, load.bad, load.lost) == (3, 0, load.sent - 3)
