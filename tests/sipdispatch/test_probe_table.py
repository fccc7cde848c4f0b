"""Every way in which a server can answer or not: what `probe` says, how it ends, and what sipsak makes of the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from tests.health.answerer import (
    Answerer,
    Script,
    another_call_id,
    asks_for_a_password,
    half_an_answer,
    only_100,
    says,
    silent,
)
from tests.peers.asterisk import Asterisk
from tests.peers.kamailio import Kamailio
from tests.peers.namespace import Namespace, Network
from tests.peers.ports import free_port
from tests.peers.sipsak import sipsak
from tests.sipdispatch.probing import Ended, probe

SHORT = ("-W", "300ms")
SHORT_SIPSAK = ("-D", "1", "-Z", "300")


@attrs.frozen(kw_only=True)
class Row:
    """A server, and what is expected; PLACE stands for its HOST:PORT."""

    name: str
    server: Script | None
    """None: a port where nobody listens."""
    transport: Literal["udp", "tcp"] = "udp"
    code: int
    text: str
    sipsak: int
    """Its exit status."""
    nagios: Literal["ok", "failure"] = "failure"
    """What ours prints for Nagios in sipsak's words."""


def over_tcp(row: Row, **changed: Any) -> Row:
    return attrs.evolve(row, name=f"{row.name} over TCP", transport="tcp", **changed)


GOOD = Row(
    name="200",
    server=says(),
    code=0,
    text='200 OK  from=PLACE seq=1 rtt=N ms server="small"',
    sipsak=0,
    nagios="ok",
)
SILENT = Row(
    name="silent",
    server=silent,
    code=3,
    text="timeout  to=PLACE seq=1 after N ms: no answer in 300 ms",
    sipsak=3,
)
REFUSED = Row(
    name="refused",
    server=None,
    code=3,
    text="refused  to=PLACE seq=1 after N ms: the other side has no socket on that port",
    sipsak=3,
)
TABLE = (
    GOOD,
    over_tcp(GOOD),
    Row(
        name="404",
        server=says(404, "Not Found"),
        code=1,
        text='404 Not Found  from=PLACE seq=1 rtt=N ms server="small"  NOT OK',
        sipsak=1,
    ),
    Row(
        name="503",
        server=says(503, "Service Unavailable"),
        code=1,
        text='503 Service Unavailable  from=PLACE seq=1 rtt=N ms server="small"  NOT OK',
        sipsak=1,
    ),
    SILENT,
    over_tcp(SILENT),
    REFUSED,
    over_tcp(REFUSED, sipsak=2),  # a correction: a refusal is the other side's
    Row(
        name="only 100",
        server=only_100,
        code=3,
        text="timeout  to=PLACE seq=1 after N ms: only 100 Trying in 300 ms",
        sipsak=3,
    ),
    Row(
        name="another Call-ID",
        server=another_call_id,
        code=3,
        text="mismatch  to=PLACE seq=1 after N ms: no answer in 300 ms, only strays: another Call-ID",
        sipsak=0,  # takes any 200
    ),
    Row(
        name="noise",
        server=lambda *_: [b"noise\r\n\r\n"],
        code=3,
        text="malformed  to=PLACE seq=1 after N ms: no answer in 300 ms, only what is no SIP message",
        sipsak=1,
    ),
    Row(
        name="closed in the middle of the answer",
        server=half_an_answer,
        transport="tcp",
        code=3,
        text="connect  to=PLACE seq=1 after N ms: the server closed the connection in the middle of the answer",
        sipsak=2,  # corrected as well: the connection was there, the answer was not
    ),
    Row(
        name="401",
        server=asks_for_a_password(),
        code=1,
        text='401 Unauthorized  from=PLACE seq=1 rtt=N ms server="small"  NOT OK',
        sipsak=0,  # answers with an empty password, which this server takes
        nagios="ok",
    ),
)


@pytest.fixture(params=TABLE, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def place(row: Row) -> Iterator[str]:
    if row.server is None:
        yield f"127.0.0.1:{free_port()}"
    else:
        with Answerer(row.server) as server:
            yield server.place


def test_what_is_said_and_how_it_ends(row: Row, place: str) -> None:
    ended = probe(*SHORT, "-t", row.transport, place)
    assert ended.shape.replace(place, "PLACE") == row.text + "\n"
    assert (ended.code, ended.err) == (row.code, "")


def test_in_sipsaks_words(row: Row, place: str) -> None:
    ended = probe("--sipsak", *SHORT_SIPSAK, "-E", row.transport, "-N", "-s", f"sip:s@{place}")
    code = {"ok": 0, "failure": 2}[row.nagios]
    assert ended == Ended(code, f"SIP {row.nagios}\n", "")


@pytest.mark.peers
def test_what_sipsak_makes_of_it(row: Row, place: str) -> None:
    theirs = sipsak(*SHORT_SIPSAK, "-E", row.transport, "-s", f"sip:s@{place}")
    ours = probe("--sipsak", *SHORT_SIPSAK, "-E", row.transport, "-s", f"sip:s@{place}")
    assert theirs.code == row.sipsak, theirs.output
    assert (ours.out, ours.err) == ("", "")
    assert ours.code == (0 if row.name == "401" else row.code)


def test_a_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("# who\n8005:secret\n")
    file.chmod(0o600)
    with Answerer(asks_for_a_password(b"SHA-256")) as server:
        ended = probe("--auth-file", file, server.place)
    assert ended.code == 0
    assert ended.shape.startswith("200 OK ")


# --------------------------------------------------------------------------------------------------------------------
# Real servers


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with Asterisk("127.0.0.1", free_port(), directory=tmp_path_factory.mktemp("asterisk")) as running:
        yield running


@pytest.mark.peers
def test_a_stock_asterisk_refuses_strangers_and_is_alive(asterisk: Asterisk) -> None:
    target = f"127.0.0.1:{asterisk.port}"
    strict, lenient = probe(target), probe("--any-reply", target)
    assert (strict.code, lenient.code) == (1, 0)
    assert strict.shape.startswith("401 Unauthorized  from=")
    assert lenient.shape.startswith("401 Unauthorized  from=")
    assert 'server="Asterisk PBX ' in lenient.out
    assert probe("--ok", "2xx,401,404", "-q", target) == Ended(0, "", "")
    # A password that is not accepted is an answer to us, and a fault of its own to sipsak.
    assert (probe("--sipsak", "-s", f"sip:{target}").code, sipsak("-s", f"sip:{target}").code) == (1, 2)


@pytest.mark.peers
@pytest.mark.parametrize(("password", "code"), [("8005", 0), ("wrong", 1)])
def test_asterisk_checks_the_password(asterisk: Asterisk, password: str, code: int, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text(f"8005:{password}\n")
    file.chmod(0o600)
    target = f"sip:100@127.0.0.1:{asterisk.port}"
    ended = probe("--auth-file", file, "--from", "sip:8005@127.0.0.1", target)
    assert ended.code == code, ended
    assert ended.out.startswith("200 OK" if code == 0 else "401 Unauthorized")


@pytest.mark.peers
def test_kamailio_answers_as_configured(tmp_path: Path) -> None:
    port = free_port()
    busy_one = 'if ($rU == "busy") { sl_send_reply("503", "Nobody there"); exit; }'
    route = f'request_route {{ {busy_one} sl_send_reply("200", "Fine"); }}\n'
    with Kamailio(route, listen=[("127.0.0.1", port)], modules=["sl", "pv"], directory=tmp_path):
        fine, busy = (probe(f"sip:{user}@127.0.0.1:{port}") for user in ("s", "busy"))
        theirs = [sipsak("-s", f"sip:{user}@127.0.0.1:{port}").code for user in ("s", "busy")]
    assert [fine.code, busy.code] == theirs == [0, 1]
    assert fine.shape.startswith(f'200 Fine  from=127.0.0.1:{port} seq=1 rtt=N ms server="kamailio')
    assert busy.shape.startswith(f"503 Nobody there  from=127.0.0.1:{port} ")
    assert busy.shape.endswith("  NOT OK\n")


# --------------------------------------------------------------------------------------------------------------------
# A packet filter on the way

FILTERED = (
    ("drop", "timeout  to=192.0.2.2:5060 seq=1 after N ms: no answer in 300 ms\n"),
    ("reject with icmp host-unreachable", "unreachable  to=192.0.2.2:5060 seq=1 after N ms: No route to host\n"),
    ("reject with icmp admin-prohibited", "unreachable  to=192.0.2.2:5060 seq=1 after N ms: No route to host\n"),
    (
        "reject with icmp port-unreachable",
        "refused  to=192.0.2.2:5060 seq=1 after N ms: the other side has no socket on that port\n",
    ),
)


@pytest.fixture
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with Network() as network:
        here, there = network.host("here"), network.host("there")
        network.wire(here, "192.0.2.1/24", there, "192.0.2.2/24")
        here.ip("address", "add", "fe80::1/64", "dev", "eth0", "nodad")
        there.ip("address", "add", "fe80::2/64", "dev", "eth0", "nodad")
        yield here, there


@pytest.mark.peers
@pytest.mark.parametrize(("rule", "text"), FILTERED, ids=[rule for rule, _ in FILTERED])
def test_an_address_behind_a_packet_filter(hosts: tuple[Namespace, Namespace], rule: str, text: str) -> None:
    here, there = hosts
    there.nft(f"table ip f {{\nchain input {{\ntype filter hook input priority 0\nip protocol udp {rule}\n}}\n}}\n")
    ended = probe(*SHORT, "192.0.2.2", namespace=here)
    assert (ended.code, ended.shape, ended.err) == (3, text, "")
    theirs = sipsak(*SHORT_SIPSAK, "-s", "sip:s@192.0.2.2", namespace=here)
    assert theirs.code == probe("--sipsak", *SHORT_SIPSAK, "-s", "sip:s@192.0.2.2", namespace=here).code == 3


@pytest.mark.peers
def test_a_link_local_address_takes_its_interface(hosts: tuple[Namespace, Namespace]) -> None:
    here, _ = hosts
    ended = probe("--iface", "eth0", "[fe80::2]:5060", namespace=here)
    assert (ended.code, ended.shape) == (
        3,
        "refused  to=[fe80::2]:5060 seq=1 after N ms: the other side has no socket on that port\n",
    )
    lost = probe("[fe80::2]:5060", namespace=here)
    assert lost.code == 2
    assert lost.err.startswith("sipdispatch: error: the request cannot be sent: Invalid argument\n")


@pytest.mark.peers
def test_no_route_and_a_filter_of_our_own(hosts: tuple[Namespace, Namespace]) -> None:
    here, _ = hosts
    lost = probe("198.51.100.1", namespace=here)
    assert (lost.code, lost.shape) == (
        3,
        "unreachable  to=198.51.100.1:5060 seq=1 after N ms: Network is unreachable\n",
    )
    here.nft("table ip f {\nchain output {\ntype filter hook output priority 0\nip protocol udp drop\n}\n}\n")
    stopped = probe("192.0.2.2", namespace=here)
    assert stopped.code == 2
    assert stopped.shape == "local  to=192.0.2.2:5060 seq=1 after N ms: Operation not permitted\n"
    assert "to do: look at the routes, the packet filter" in stopped.err
