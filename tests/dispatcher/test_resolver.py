"""Names looked up in a hosts file and from a real name server on loopback."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import dns.resolver
import pytest
import trio
import trio.testing

import dispatcher.dnsclient  # noqa: F401 - loaded before, so that no jumping clock runs ahead of the thread that does it
from dispatcher.names import Answer, Failure, FailureKind, Srv, lookup
from dispatcher.resolver import Resolver, UnresolvedError
from tests.dispatcher.dns_server import DnsServer, serving


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """A clock that jumps when nothing has happened for 20 ms: loopback TCP needs a moment of real time."""
    return trio.testing.MockClock(autojump_threshold=0.02)


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with serving() as running:
        yield running


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


@pytest.fixture
def resolver(server: DnsServer, hosts: Path) -> Resolver:
    return Resolver(nameservers=[server.address], hosts=hosts)


def write(path: Path, text: str, *, at: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(at, at))


def remove(path: Path) -> None:
    path.unlink()


def make_folder(path: Path) -> None:
    path.mkdir()


async def addresses(resolver: Resolver, host: str, port: int | None = None) -> tuple[tuple[str, int], ...]:
    return (await resolver.resolve(host, port, "udp")).addresses


async def failure(resolver: Resolver, host: str, port: int | None = None) -> FailureKind:
    with pytest.raises(UnresolvedError) as caught:
        await resolver.resolve(host, port, "udp")
    assert str(caught.value) == f"{caught.value.asked}: {caught.value.failure.kind.sentence}"
    return caught.value.failure.kind


async def test_a_port_means_addresses_only(server: DnsServer, resolver: Resolver) -> None:
    server.add("_sip._udp.pbx.example", "SRV", "1 1 5099 other.example.")
    server.add("pbx.example", "A", "192.0.2.2", "192.0.2.1", ttl_s=50)
    server.add("pbx.example", "AAAA", "2001:db8::1", ttl_s=40)
    assert await resolver.resolve("PBX.example.", 5062, "udp") == Answer(
        addresses=(("192.0.2.1", 5062), ("192.0.2.2", 5062), ("2001:db8::1", 5062)), ttl_s=40
    )
    assert sorted(server.names_asked()) == ["pbx.example A", "pbx.example AAAA"]


async def test_several_targets_of_service_records(server: DnsServer, resolver: Resolver) -> None:
    server.add("_sip._udp.pbx.example", "SRV", "20 1 5062 c.example.", "10 5 5060 A.Example.", "10 9 5061 b.example.")
    server.add("a.example", "A", "192.0.2.1")
    server.add("b.example", "A", "192.0.2.2", "192.0.2.3", ttl_s=30)
    server.add("c.example", "AAAA", "2001:db8::3")
    answer = await resolver.resolve("pbx.example", None, "udp")
    assert answer.addresses == (("192.0.2.2", 5061), ("192.0.2.3", 5061), ("192.0.2.1", 5060), ("2001:db8::3", 5062))
    assert answer.srv == (
        Srv(10, 9, 5061, "b.example"),
        Srv(10, 5, 5060, "a.example"),
        Srv(20, 1, 5062, "c.example"),
    )
    assert answer.ttl_s == 30
    assert server.names_asked()[0] == "_sip._udp.pbx.example SRV"


async def test_without_service_records_the_default_port_and_their_denials_ttl(
    server: DnsServer, resolver: Resolver
) -> None:
    server.denial_ttl_s = 20
    server.add("pbx.example", "A", "192.0.2.1", ttl_s=3000)
    assert await resolver.resolve("pbx.example", None, "udp") == Answer(addresses=(("192.0.2.1", 5060),), ttl_s=20)
    server.add("_sip._udp.pbx.example", "TXT", "here, but not as SRV")
    assert await addresses(resolver, "pbx.example") == (("192.0.2.1", 5060),)


async def test_a_service_that_is_not_offered(server: DnsServer, resolver: Resolver) -> None:
    server.add("_sip._udp.pbx.example", "SRV", "0 0 0 .")
    server.add("pbx.example", "A", "192.0.2.1")
    assert await failure(resolver, "pbx.example") is FailureKind.NOT_OFFERED


async def test_the_transport_chooses_the_service(server: DnsServer, resolver: Resolver) -> None:
    server.add("_sips._tcp.pbx.example", "SRV", "0 0 5061 a.example.")
    server.add("a.example", "A", "192.0.2.1")
    assert (await resolver.resolve("pbx.example", None, "TLS")).addresses == (("192.0.2.1", 5061),)


async def test_a_name_with_ipv6_only(server: DnsServer, resolver: Resolver) -> None:
    server.add("six.example", "AAAA", "2001:db8::2", "2001:db8::1")
    assert await addresses(resolver, "six.example") == (("2001:db8::1", 5060), ("2001:db8::2", 5060))


async def test_an_alias_is_followed_and_its_ttl_counts(server: DnsServer, resolver: Resolver) -> None:
    server.add("alias.example", "CNAME", "second.example.", ttl_s=25)
    server.add("second.example", "CNAME", "real.example.")
    server.add("real.example", "A", "192.0.2.7", ttl_s=600)
    server.add("real.example", "AAAA", "2001:db8::7", ttl_s=600)
    assert await resolver.resolve("alias.example", 5060, "udp") == Answer(
        addresses=(("192.0.2.7", 5060), ("2001:db8::7", 5060)), ttl_s=25
    )


async def test_an_alias_of_a_service_target(server: DnsServer, resolver: Resolver) -> None:
    server.add("_sip._udp.pbx.example", "SRV", "0 0 5070 alias.example.")
    server.add("alias.example", "CNAME", "real.example.")
    server.add("real.example", "A", "192.0.2.7")
    assert await addresses(resolver, "pbx.example") == (("192.0.2.7", 5070),)


async def test_an_endless_alias_is_a_failure(server: DnsServer, resolver: Resolver) -> None:
    server.add("loop.example", "CNAME", "loop.example.")
    assert not (await resolver_failure(resolver, "loop.example")).kind.is_answer


async def resolver_failure(resolver: Resolver, host: str) -> Failure:
    outcome = await resolver.ask(lookup(host, 5060, "udp"))
    assert isinstance(outcome, Failure)
    return outcome


async def test_a_truncated_answer_is_fetched_over_tcp(server: DnsServer, resolver: Resolver) -> None:
    many = [f"192.0.2.{number}" for number in range(1, 31)]
    server.add("many.example", "A", *many)
    assert await addresses(resolver, "many.example", 5060) == tuple((host, 5060) for host in many)
    assert ("many.example", "A", "tcp") in server.asked


async def test_a_ttl_is_kept_in_bounds(server: DnsServer, resolver: Resolver) -> None:
    server.denial_ttl_s = 100_000
    server.add("brief.example", "A", "192.0.2.1", ttl_s=0)
    server.add("long.example", "A", "192.0.2.1", ttl_s=86400)
    assert (await resolver.resolve("brief.example", 5060, "udp")).ttl_s == 5
    assert (await resolver.resolve("long.example", 5060, "udp")).ttl_s == 3600
    server.denial_ttl_s = 0
    assert (await resolver.resolve("long.example", None, "udp")).ttl_s == 5


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("absent.example", FailureKind.NO_SUCH_NAME),
        ("empty.example", FailureKind.NO_ADDRESS),
        ("zero.example", FailureKind.UNUSABLE),
        ("broken.example", FailureKind.SERVER_FAILURE),
        ("192.0.2.256", FailureKind.BAD_NAME),
        ("a..b", FailureKind.BAD_NAME),
        ("h\xf6st", FailureKind.BAD_NAME),
        ("%00", FailureKind.BAD_NAME),
    ],
)
async def test_names_without_an_address(server: DnsServer, resolver: Resolver, host: str, kind: FailureKind) -> None:
    server.add("empty.example", "TXT", "nothing")
    server.add("zero.example", "A", "0.0.0.0")
    server.broken.add("broken.example")
    assert await failure(resolver, host) is kind
    assert await failure(resolver, host, 5060) is kind


async def test_a_failing_service_query_is_not_taken_for_no_records(server: DnsServer, resolver: Resolver) -> None:
    server.add("pbx.example", "A", "192.0.2.1")
    server.broken.add("_sip._udp.pbx.example")
    outcome = await resolver.ask(lookup("pbx.example", None, "udp"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.SERVER_FAILURE
    assert "SERVFAIL" in outcome.detail


@pytest.mark.parametrize(("broken", "missing", "host"), [("AAAA", 6, "192.0.2.1"), ("A", 4, "2001:db8::1")])
async def test_one_family_that_fails_leaves_the_other(
    server: DnsServer, resolver: Resolver, broken: str, missing: int, host: str
) -> None:
    server.add("pbx.example", "A", "192.0.2.1")
    server.add("pbx.example", "AAAA", "2001:db8::1")
    server.broken.add(("pbx.example", broken))
    answer = await resolver.resolve("pbx.example", 5060, "udp")
    assert answer.addresses == ((host, 5060),)
    assert answer.missing == {missing}
    assert answer.failure == Failure(FailureKind.SERVER_FAILURE)


async def test_a_numeric_host_asks_nobody(server: DnsServer, resolver: Resolver) -> None:
    assert await addresses(resolver, "2001:DB8::1", 5070) == (("2001:db8::1", 5070),)
    assert server.asked == []


async def test_a_silent_server_takes_the_whole_time_out_and_no_longer(
    patient_clock: trio.testing.MockClock, server: DnsServer, hosts: Path
) -> None:
    resolver = Resolver(nameservers=[server.address], hosts=hosts, timeout_s=4)
    server.mute = True
    start = trio.current_time()
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.TIMEOUT
    assert trio.current_time() - start <= 4
    assert len(server.asked) >= 4, "each question is put again"


async def test_a_silent_family_leaves_time_for_the_other(
    patient_clock: trio.testing.MockClock, server: DnsServer, resolver: Resolver
) -> None:
    server.add("pbx.example", "A", "192.0.2.1")
    server.silent.add(("pbx.example", "AAAA"))
    answer = await resolver.resolve("pbx.example", 5060, "udp")
    assert answer.addresses == (("192.0.2.1", 5060),)
    assert answer.missing == {6}


async def test_silence_at_every_step_still_ends(
    patient_clock: trio.testing.MockClock, server: DnsServer, resolver: Resolver
) -> None:
    server.add("_sip._udp.pbx.example", "SRV", *(f"1 1 5060 t{number}.example." for number in range(8)))
    server.silent.update(f"t{number}.example" for number in range(8))
    start = trio.current_time()
    assert await failure(resolver, "pbx.example") is FailureKind.TIMEOUT
    assert trio.current_time() - start <= 5


async def test_a_wall_clock_that_is_set_forward_is_a_time_out(
    monkeypatch: pytest.MonkeyPatch, server: DnsServer, resolver: Resolver
) -> None:
    """Which dnspython takes its own time-outs from."""
    hours = itertools.count(step=3600)
    monkeypatch.setattr(dns.resolver, "time", SimpleNamespace(time=lambda: next(hours)))
    server.add("pbx.example", "A", "192.0.2.1")
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.TIMEOUT


async def test_the_hosts_file_is_read_first(server: DnsServer, resolver: Resolver, hosts: Path) -> None:
    write(hosts, "192.0.2.1 pbx.example pbx\n2001:db8::1 pbx.example\n", at=10**18)
    server.add("_sip._udp.pbx.example", "SRV", "1 1 5099 other.example.")
    expected = (("192.0.2.1", 5060), ("2001:db8::1", 5060))
    assert await resolver.resolve("pbx.example", None, "udp") == Answer(addresses=expected, ttl_s=5)
    assert await addresses(resolver, "PBX") == expected[:1]
    assert server.asked == []


async def test_a_service_target_may_be_in_the_hosts_file(server: DnsServer, resolver: Resolver, hosts: Path) -> None:
    write(hosts, "192.0.2.1 a.example\n", at=10**18)
    server.add("_sip._udp.pbx.example", "SRV", "1 1 5099 a.example.")
    assert await addresses(resolver, "pbx.example") == (("192.0.2.1", 5099),)
    assert server.names_asked() == ["_sip._udp.pbx.example SRV"]


async def test_the_hosts_file_is_read_again_when_it_has_changed(
    server: DnsServer, resolver: Resolver, hosts: Path
) -> None:
    server.add("pbx.example", "A", "192.0.2.9")
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.9", 5060),)
    write(hosts, "192.0.2.1 pbx.example\n", at=10**18)
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.1", 5060),)
    write(hosts, "192.0.2.2 pbx.example\n", at=10**18 + 1)
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.2", 5060),)
    remove(hosts)
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.9", 5060),)


async def test_a_hosts_file_that_is_none_has_no_names(server: DnsServer, resolver: Resolver, hosts: Path) -> None:
    make_folder(hosts)
    server.add("pbx.example", "A", "192.0.2.9")
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.9", 5060),)


async def test_a_long_hosts_file_is_read_too(resolver: Resolver, hosts: Path) -> None:
    write(hosts, "".join(f"0.0.0.0 blocked{n}.example\n" for n in range(4000)) + "192.0.2.1 pbx.example\n", at=10**18)
    assert await addresses(resolver, "pbx.example") == (("192.0.2.1", 5060),)
    assert await failure(resolver, "blocked7.example") is FailureKind.UNUSABLE


async def test_localhost_needs_neither(server: DnsServer, resolver: Resolver) -> None:
    assert await addresses(resolver, "localhost") == (("127.0.0.1", 5060), ("::1", 5060))
    assert server.asked == []


async def test_a_server_that_refuses_connections_is_a_failure(hosts: Path) -> None:
    async with serving() as gone:
        closed = gone.address
    resolver = Resolver(nameservers=[closed], hosts=hosts, timeout_s=0.3)
    assert not (await resolver_failure(resolver, "pbx.example")).kind.is_answer


async def test_the_second_server_is_asked_when_the_first_is_broken(server: DnsServer, hosts: Path) -> None:
    async with serving() as broken:
        broken.broken.add("pbx.example")
        server.add("pbx.example", "A", "192.0.2.1")
        resolver = Resolver(nameservers=[broken.address, server.address], hosts=hosts)
        assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.1", 5060),)


@pytest.fixture
def port_of(monkeypatch: pytest.MonkeyPatch, server: DnsServer) -> DnsServer:
    """Name servers of resolv.conf are asked on the port of the one under test, as 53 belongs to nobody here."""
    reset = dns.resolver.BaseResolver.reset

    def with_port(self: dns.resolver.BaseResolver) -> None:
        reset(self)
        self.port = server.address[1]

    monkeypatch.setattr(dns.resolver.BaseResolver, "reset", with_port)
    return server


async def test_the_servers_and_search_list_of_resolv_conf(port_of: DnsServer, hosts: Path, tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    write(conf, "nameserver 127.0.0.1\nsearch one.example two.example\n", at=10**18)
    resolver = Resolver(hosts=hosts, resolv_conf=conf)
    port_of.add("pbx.two.example", "A", "192.0.2.1")
    assert await addresses(resolver, "pbx", 5060) == (("192.0.2.1", 5060),)
    asked = [question.split()[0] for question in port_of.names_asked()]
    assert list(dict.fromkeys(asked)) == ["pbx.one.example", "pbx.two.example"]
    # With a dot it is whole: a search list must not send calls elsewhere.
    assert await failure(resolver, "pbx.two", 5060) is FailureKind.NO_SUCH_NAME
    assert {question.split()[0] for question in port_of.names_asked()} == {"pbx.two"}


async def test_a_broken_search_domain_is_not_skipped(port_of: DnsServer, hosts: Path, tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    write(conf, "nameserver 127.0.0.1\ndomain one.example\n", at=10**18)
    port_of.broken.add("pbx.one.example")
    port_of.add("pbx", "A", "192.0.2.66")
    assert await failure(Resolver(hosts=hosts, resolv_conf=conf), "pbx", 5060) is FailureKind.SERVER_FAILURE


async def test_resolv_conf_is_read_again_when_it_has_changed(port_of: DnsServer, hosts: Path, tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    resolver = Resolver(hosts=hosts, resolv_conf=conf)
    port_of.add("pbx.example", "A", "192.0.2.1")
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.NO_RESOLVER
    write(conf, "nameserver junk\n", at=10**18)
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.NO_RESOLVER
    write(conf, "nameserver 127.0.0.1\n", at=10**18 + 1)
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.1", 5060),)
    conf.unlink()
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.NO_RESOLVER


@pytest.mark.parametrize("half", [False, True])
async def test_a_library_that_cannot_be_loaded_is_a_failure_until_it_can(
    monkeypatch: pytest.MonkeyPatch, server: DnsServer, resolver: Resolver, *, half: bool
) -> None:
    """As when the environment is upgraded under a running program."""

    class Half(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AttributeError(name)

    server.add("pbx.example", "A", "192.0.2.1")
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "dispatcher.dnsclient", Half("dispatcher.dnsclient") if half else None)
        outcome = await resolver.ask(lookup("pbx.example", 5060, "udp"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.NO_LIBRARY
    assert outcome.detail.startswith(("ModuleNotFoundError: ", "ImportError: "))
    assert not outcome.kind.is_answer, "the last addresses stay"
    assert await addresses(resolver, "pbx.example", 5060) == (("192.0.2.1", 5060),)


async def test_a_library_that_loses_a_part_later_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, server: DnsServer, resolver: Resolver
) -> None:
    async def resolve(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise ImportError("dns.rdtypes.ANY.CNAME")

    monkeypatch.setattr("dns.asyncresolver.Resolver.resolve", resolve)
    assert await failure(resolver, "pbx.example", 5060) is FailureKind.NO_LIBRARY


async def test_no_mistake_in_a_library_ends_more_than_its_look_up(
    monkeypatch: pytest.MonkeyPatch, resolver: Resolver
) -> None:
    async def resolve(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("dns.asyncresolver.Resolver.resolve", resolve)
    outcome = await resolver.ask(lookup("pbx.example", 5060, "udp"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.SERVER_FAILURE
    assert not outcome.kind.is_answer, "the last addresses stay"


def test_dnspython_is_not_loaded_for_numeric_addresses() -> None:
    script = (
        "import sys, trio, dispatcher.refresh, dispatcher.hopcache\n"
        "from dispatcher.resolver import Resolver\n"
        "trio.run(Resolver().resolve, '192.0.2.1', None, 'udp')\n"
        "print('dns' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"
