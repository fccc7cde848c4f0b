"""Does the proxy start where it should, and say plainly why where it cannot?"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sip.uri import Address
from tests.dispatcher.dns_server import DnsServer
from tests.e2e.proxy import Proxy, command, fail_to_start, keep_secret
from tests.e2e.traffic import POLL_SECONDS, address_of, answer, line_of, make_roomy, number_of, read_all, request, udp
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require_root
from tests.peers.ports import free_port
from tests.peers.program import wait_until

PROXY = "127.0.0.10"
GOOD_LIST = "1 sip:127.0.0.21 0 0 weight=50\n"
VIP = "192.0.2.1"

WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root, but bound by the permissions of files as everybody is."""


def faults(output: str) -> list[tuple[str, str]]:
    """(what, where) of each error in the form of the command line; every one has a remedy."""
    lines = [
        line for line in output.splitlines() if line.startswith(("sipdispatch: error: ", "  where: ", "  to do: "))
    ]
    assert len(lines) % 3 == 0, output
    return [
        (what.removeprefix("sipdispatch: error: "), where.removeprefix("  where: "))
        for what, where, _ in zip(*[iter(lines)] * 3, strict=True)
    ]


def start_in_vain(
    directory: Path, listen: Sequence[str], list_text: str = GOOD_LIST, *, wrapper: Sequence[str] = (), config: str = ""
) -> list[tuple[str, str]]:
    """Start a proxy that must refuse to; its errors.  A state with a secret is there unless it has been made before."""
    state, list_file, toml = directory / "state", directory / "dispatcher.list", directory / "sipdispatch.toml"
    if not state.exists():
        keep_secret(state)
    list_file.write_text(list_text)
    toml.write_text(config)
    argv = command(listen, list_file, config=toml if config else None)
    return faults(fail_to_start(argv, state=state, log=directory / "proxy.log", wrapper=wrapper))


def mounted(state: Path, options: str, fill: str = "true") -> list[str]:
    """A wrapper that gives the state directory a file system of its own, which nobody else sees."""
    require_root("a file system of its own")
    script = f'mount -t tmpfs -o {options} tmpfs "{state}"; {fill}; exec "$@"'
    return ["unshare", "--mount", "sh", "-ec", script, "sh"]


# --------------------------------------------------------------------------------------------------------------------
# What keeps it from starting


def test_a_second_proxy_and_whatever_else_is_in_the_way_are_named(tmp_path: Path) -> None:
    first = f"udp:{PROXY}:{free_port(PROXY)}"
    with Proxy([first], GOOD_LIST, directory=tmp_path / "first") as proxy, udp(PROXY, free_port(PROXY)) as other:
        second = f"udp:{PROXY}:{address_of(other)[1]}"
        refused = start_in_vain(tmp_path, [first, second])
        pid = proxy.program.pid
        assert proxy.program.returncode is None
    assert refused[0][0].startswith("another sipdispatch proxy (")
    assert refused[0][0].endswith(f"pid {pid}) already listens here")
    assert refused[1][0].startswith("the address is already in use by ")
    assert refused[1][0].endswith(f"(pid {os.getpid()})")
    assert [where for _, where in refused] == [first, second]


def test_every_mistake_of_the_list_is_told(tmp_path: Path) -> None:
    text = (
        "1 sip:127.0.0.21 0 0 weight=fifty\n\nsip:127.0.0.22\n1 sip:127.0.0.23:99999\n1 sip:127.0.0.24 0 0 weight=10\n"
    )
    refused = start_in_vain(tmp_path, [f"udp:{PROXY}:{free_port(PROXY)}"], text)
    assert refused == [
        ("weight is a whole number from 0 to 2147483647, not 'fifty'", f"{tmp_path}/dispatcher.list:1:29"),
        ("set id is missing (Kamailio puts the destination into set 0 or skips the line)",
         f"{tmp_path}/dispatcher.list:3:1"),
        ("port must be 1 to 65535, not 99999", f"{tmp_path}/dispatcher.list:4:18"),
    ]  # fmt: skip


def test_every_mistake_of_the_configuration_is_told(tmp_path: Path) -> None:
    config = '[proxy]\nlisten = "127.0.0.10:5999"\nalgorythm = "weight"\nset = "1"\nlog_level = "loud"\n'
    assert start_in_vain(tmp_path, [], config=config) == [
        ("proxy.algorythm: there is no such key", f"{tmp_path}/sipdispatch.toml:3:1"),
        ('proxy.set: must be a whole number, not text ("1")', f"{tmp_path}/sipdispatch.toml:4:7"),
        ('proxy.log_level: "loud" is not known here', f"{tmp_path}/sipdispatch.toml:5:13"),
    ]


@pytest.mark.parametrize(
    ("mode", "text", "wrapper", "what"),
    [
        (0o644, "", (), "the secret can be read or changed by other users: its mode is 0644"),
        (0o600, "hello\n", (), "the secret is not written in hexadecimal digits"),
        (0o000, "", WITHOUT_OVERRIDE if os.geteuid() == 0 else (), "the secret cannot be read: Permission denied"),
    ],
)
def test_a_secret_that_cannot_be_used(tmp_path: Path, mode: int, text: str, wrapper: Sequence[str], what: str) -> None:
    secret = tmp_path / "state" / "secret"
    keep_secret(secret.parent)
    if text:
        secret.write_text(text)
    secret.chmod(mode)
    ((told, where),) = start_in_vain(tmp_path, [f"udp:{PROXY}:{free_port(PROXY)}"], wrapper=wrapper)
    assert told == what
    assert where.startswith(str(secret))


@pytest.mark.parametrize(
    ("options", "fill", "what"),
    [
        ("size=4k", 'dd if=/dev/zero of="{state}/full" 2>/dev/null || true', "No space left on device"),
        ("ro", "true", "Read-only file system"),
    ],
)
def test_a_first_start_without_a_place_for_the_secret(tmp_path: Path, options: str, fill: str, what: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    wrapper = mounted(state, options, fill.format(state=state))
    refused = start_in_vain(tmp_path, [f"udp:{PROXY}:{free_port(PROXY)}"], wrapper=wrapper)
    assert refused == [(f"no secret can be made: {what}", str(state / "secret"))]


# --------------------------------------------------------------------------------------------------------------------
# What does not


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    """A host of its own, with nothing but loopback."""
    with Network() as network:
        yield network.host("edge")


def test_a_virtual_address_need_not_be_there_and_works_when_it_comes(host: Namespace, tmp_path: Path) -> None:
    with (
        inside(host, "127.0.0.31") as client,
        inside(host, "127.0.0.21") as server,
        Proxy([f"udp:{VIP}:5060"], line_of(server), directory=tmp_path, namespace=host),
    ):
        host.ip("address", "add", f"{VIP}/32", "dev", "lo")
        assert call(client, (VIP, 5060), [server], 3) == {0: 3}


def test_names_in_the_list_are_found_in_the_hosts_file_and_in_the_dns(host: Namespace, tmp_path: Path) -> None:
    """A name of the hosts file, one with SRV records and one with two addresses: five servers in three lines."""
    hosts, resolv_conf = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.21 pbx-one\n")
    resolv_conf.write_text("nameserver 127.0.0.1\n")
    script = f'mount --bind "{hosts}" /etc/hosts; mount --bind "{resolv_conf}" /etc/resolv.conf; exec "$@"'
    dns = DnsServer()
    dns.add("_sip._udp.pbx.example", "SRV", "0 1 6022 two.pbx.example.", "0 1 6023 three.pbx.example.")
    for name, address in (("two.pbx.example", "127.0.0.22"), ("three.pbx.example", "127.0.0.23")):
        dns.add(name, "A", address)
    dns.add("farm.example", "A", "127.0.0.24", "127.0.0.25")
    with ExitStack() as stack:
        servers = [stack.enter_context(inside(host, f"127.0.0.{20 + place}", 6020 + place)) for place in (1, 2, 3)]
        servers += [stack.enter_context(inside(host, f"127.0.0.{last}", 6024)) for last in (24, 25)]
        client = stack.enter_context(inside(host, "127.0.0.31"))
        stack.enter_context(answering(dns, stack.enter_context(inside(host, "127.0.0.1", 53))))
        proxy = stack.enter_context(
            Proxy(
                [f"udp:{PROXY}:5060"],
                "1 sip:pbx-one:6021\n1 sip:pbx.example\n1 sip:farm.example:6024\n",
                directory=tmp_path / "proxy",
                settings='algorithm = "round-robin"',
                namespace=host,
                wrapper=["unshare", "--mount", "sh", "-ec", script, "sh"],
            )
        )
        had = call(client, (PROXY, 5060), servers, 10)
        (ready,) = proxy.log("ready")
    assert had == dict.fromkeys(range(5), 2)
    assert ready["destinations"] == 5


@contextmanager
def inside(host: Namespace, address: str, port: int = 0) -> Iterator[socket.socket]:
    """A socket in the host."""
    with host.udp(address, port) as sock:
        make_roomy(sock)
        yield sock


@contextmanager
def answering(dns: DnsServer, sock: socket.socket) -> Iterator[None]:
    """Let a name server answer at a socket."""
    over = threading.Event()

    def answer_all() -> None:
        while not over.is_set():
            if select.select((sock,), (), (), POLL_SECONDS)[0]:
                for wire, source in read_all(sock):
                    reply = dns.answer(wire, "udp")
                    assert reply is not None
                    sock.sendto(reply, source)

    thread = threading.Thread(target=answer_all)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def call(client: socket.socket, proxy: Address, servers: Sequence[socket.socket], count: int) -> Mapping[int, int]:
    """Send so many requests, see each answered once, and say how many each server had."""
    had: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    for number in range(count):
        client.sendto(request(number, address_of(client), "sip:bob@example.com"), proxy)

    def all_answered() -> bool:
        for place, server in enumerate(servers):
            for raw, source in read_all(server):
                had[place] += 1
                server.sendto(answer(raw), source)
        answered.update(number_of(raw) for raw, _ in read_all(client))
        return answered == Counter(range(count))

    wait_until(all_answered, "every request is answered")
    return had
