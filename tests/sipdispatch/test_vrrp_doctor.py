"""Does the doctor find each of the things that make pairs fail?  Each is done to a host that is well otherwise."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from sipdispatch.cli import main
from sipdispatch.config import VrrpConfig
from sipdispatch.doctor_finding import FINE, FOUND, Finding, Verdict
from sipdispatch.doctor_round import examine
from sipdispatch.toml_text import toml_value
from sipdispatch.vrrp_load import load_agent
from tests.peers.keepalived import Instance, Keepalived
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require
from tests.sipdispatch.vrrp_pair import Pair
from vrrp.link import AdvertSocket
from vrrp.packet import GROUP_IPV4, GROUP_IPV6, Advert, Checksum, encode

ROOT = Path(__file__).parents[2]
VIP = "192.0.2.100"
LISTEN_S = 0.5
PEER = Advert(version=3, vrid=51, priority=200, interval=0.1, addresses=(VIP,), password=None)
BASE = 'interface = "eth0"\nvrid = 51\npriority = 250\naddresses = ["192.0.2.100/24"]\n'
NOBODY_RUNS = '[vrrp.control]\nsocket = "none.sock"\n[control]\nsocket = "none.sock"\n'
"""The machine that tests may have an agent and a proxy of its own."""
SKIPPED_WITHOUT_STATUS = {"list", "secret"}


@attrs.frozen
class Lan:
    """This node, another one on the same wire, and where files may be."""

    here: Namespace
    there: Namespace
    folder: Path

    def examine(
        self, section: str = BASE, *, theirs: dict[str, Any] | None = None, listen: float = LISTEN_S
    ) -> list[Finding]:
        path = self.folder / "sipdispatch.toml"
        path.write_text(f"[vrrp]\n{section}\n{NOBODY_RUNS}")
        loaded = load_agent(path)
        assert isinstance(loaded, VrrpConfig), loaded
        return list(self.here.inside(partial(examine, loaded, listen=listen, theirs={})))

    def told(self, section: str = BASE) -> dict[str, list[str]]:
        """What somebody has to look at, by check, but for the agent, which does not run here."""
        found: dict[str, list[str]] = {}
        for each in self.examine(section):
            if each.verdict in (Verdict.LOOK, Verdict.WRONG) and each.check != "agent":
                assert each.to_do
                found.setdefault(each.check, []).append(each.what)
        return found


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    with Network() as network:
        here, there = network.host("a"), network.host("b")
        network.wire(here, "192.0.2.11/24", there, "192.0.2.12/24")
        network.wire(here, "198.51.100.11/24", there, "198.51.100.12/24")
        for host in (here, there):
            for interface in ("all", "eth0", "eth1"):
                host.run("sysctl", "-qw", f"net.ipv4.conf.{interface}.rp_filter=0")
        yield Lan(here, there, tmp_path)


@contextlib.contextmanager
def speaking(
    host: Namespace, *adverts: tuple[str, Advert], checksum: Checksum = Checksum.PSEUDO_HEADER, ttl: int | None = None
) -> Iterator[None]:
    """Each advert again and again from its source, until the block is left."""
    ended = threading.Event()

    def speak() -> None:
        sockets = [AdvertSocket("eth0", source) for source, _ in adverts]
        if ttl is not None:
            for each in sockets:
                each._socket.setsockopt(0, 33, ttl)  # IP_MULTICAST_TTL
        while not ended.is_set():
            for sock, (source, advert) in zip(sockets, adverts, strict=True):
                group = GROUP_IPV6 if ":" in source else GROUP_IPV4
                with contextlib.suppress(OSError):
                    sock.send(encode(advert, source=source, destination=group, checksum=checksum), group)
            time.sleep(0.03)
        for each in sockets:
            each._socket.close()

    thread = threading.Thread(target=partial(host.inside, speak))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# The network


def test_a_peer_that_speaks_is_all_that_is_needed(lan: Lan) -> None:
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with speaking(lan.there, ("192.0.2.12", PEER)):
        findings = lan.examine()
    assert {each.check for each in findings if each.verdict is not Verdict.OK} == {"agent", *SKIPPED_WITHOUT_STATUS}
    said = {each.check: each.what for each in findings}
    assert said["peer"] == "192.0.2.12 speaks for virtual router 51, priority 200, every 0.1 s"
    assert "the other node has 192.0.2.100" in said["address"]


def test_nobody_is_heard(lan: Lan) -> None:
    assert list(lan.told()) == ["peer"]


@pytest.mark.parametrize(
    ("hook", "checks"), [("input", {"adverts in", "live adverts in"}), ("output", {"adverts out", "live adverts out"})]
)
def test_the_firewall_drops_adverts(hook: str, checks: set[str], lan: Lan) -> None:
    require("nft")
    lan.here.nft(f"table inet f {{\nchain c {{\ntype filter hook {hook} priority 0;\nip protocol 112 drop\n}}\n}}")
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with speaking(lan.there, ("192.0.2.12", PEER)):
        assert set(lan.told()) == checks


def test_a_firewall_that_forgot_vrrp(lan: Lan) -> None:
    require("nft")
    rules = "ct state established,related accept\niif lo accept\ntcp dport 22 accept\nudp dport 5060 accept"
    lan.here.nft(f"table ip f {{\nchain c {{\ntype filter hook input priority 0; policy drop;\n{rules}\n}}\n}}")
    assert set(lan.told()) == {"adverts in", "peer"}


def test_another_pair_has_the_number(lan: Lan) -> None:
    stranger = attrs.evolve(PEER, addresses=("192.0.2.200",))
    with speaking(lan.there, ("192.0.2.12", stranger), ("192.0.2.12", attrs.evolve(PEER, vrid=100))):
        told = lan.told()
    assert told["vrid"] == ["192.0.2.12 uses the number 51 for 192.0.2.200: that is another pair"]


def test_other_numbers_are_told_and_no_matter(lan: Lan) -> None:
    with speaking(lan.there, ("192.0.2.12", attrs.evolve(PEER, vrid=7))):
        (finding,) = [each for each in lan.examine() if each.check == "vrid"]
    assert (finding.verdict, finding.what) == (
        Verdict.OK,
        "nobody else uses the number 51; others on this network: 7",
    )


@pytest.mark.parametrize(
    ("advert", "field"),
    [
        (attrs.evolve(PEER, interval=1.0), "interval"),
        (attrs.evolve(PEER, addresses=(VIP, "192.0.2.101")), "addresses"),
        (attrs.evolve(PEER, version=2, interval=1.0), "version"),
    ],
)
def test_the_peer_is_configured_differently(advert: Advert, field: str, lan: Lan) -> None:
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with speaking(lan.there, ("192.0.2.12", advert)):
        told = lan.told()
    assert list(told) == ["agreement"]
    assert f"192.0.2.12 has another {field}: " in told["agreement"][0]


def test_an_advert_that_has_passed_a_router_is_refused(lan: Lan) -> None:
    with speaking(lan.there, ("192.0.2.12", PEER), ttl=254):
        told = lan.told()
    assert "TTL" in told["refused"][0]
    assert "peer" not in told, "it is not silent, it is refused"


def test_two_nodes_are_active(lan: Lan) -> None:
    lan.there.ip("address", "add", "192.0.2.13/24", "dev", "eth0")
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with speaking(lan.there, ("192.0.2.12", PEER), ("192.0.2.13", PEER)):
        assert lan.told() == {"owners": ["several nodes are active: 192.0.2.12, 192.0.2.13"]}


def test_the_peer_has_the_same_priority(lan: Lan) -> None:
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    with speaking(lan.there, ("192.0.2.12", attrs.evolve(PEER, priority=250))):
        assert list(lan.told()) == ["priority"]


def test_ipv6_is_listened_to_as_well(lan: Lan) -> None:
    for host, number in ((lan.here, "11"), (lan.there, "12")):
        host.ip("address", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
        host.ip("address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
    lan.there.ip("address", "add", "2001:db8::100/64", "dev", "eth0", "nodad")
    section = BASE.replace('"192.0.2.100/24"', '"2001:db8::100/64"')
    section += '[vrrp.track]\ninterfaces = ["eth1"]\n'
    section = section.replace("priority", 'source = "fe80::11"\npriority')
    with speaking(lan.there, ("fe80::12", attrs.evolve(PEER, addresses=("2001:db8::100",)))):
        findings = lan.examine(section)
    assert {each.check for each in findings if each.verdict is not Verdict.OK} == {"agent", *SKIPPED_WITHOUT_STATUS}
    lan.here.run("sysctl", "-qw", "net.ipv6.conf.eth1.disable_ipv6=1")
    assert "ipv6" in lan.told(section)


# The address


def test_a_stranger_has_the_address(lan: Lan) -> None:
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    (what,) = lan.told()["address"]
    assert what.endswith(f" has {VIP} and sends no adverts for it")


def test_two_devices_have_the_address(lan: Lan) -> None:
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    lan.there.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
    lan.there.ip("link", "add", "second", "link", "eth0", "type", "macvlan", "mode", "bridge")
    lan.there.ip("link", "set", "second", "up")
    (what,) = lan.told()["address"]
    assert what.startswith(f"{VIP} has several owners: ")


def test_the_address_was_left_here(lan: Lan) -> None:
    lan.here.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    (what,) = lan.told()["address"]
    assert what == f"this node has {VIP}, but its agent does not run"
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    (what,) = lan.told()["address"]
    assert what.startswith(f"this node has {VIP}, and ")


def test_somebody_speaks_for_an_address_that_nobody_has(lan: Lan) -> None:
    with speaking(lan.there, ("192.0.2.12", PEER)):
        assert lan.told() == {"address": [f"somebody speaks for {VIP}, and nobody answers for it"]}


# The node


def without_peer(told: dict[str, list[str]]) -> dict[str, list[str]]:
    return {check: what for check, what in told.items() if check != "peer"}


def test_an_interface_is_down_or_missing(lan: Lan) -> None:
    more = '[vrrp.track]\ninterfaces = ["eth1", "eth7"]\n'
    lan.here.ip("link", "set", "eth1", "down")
    assert without_peer(lan.told(BASE + more)) == {
        "interface": ["eth1 is down, or without carrier", "eth7: there is no such interface"]
    }


def test_there_is_no_source(lan: Lan) -> None:
    assert lan.told(BASE + 'source = "192.0.2.99"\n') == {"source": ["eth0 does not have the address 192.0.2.99"]}
    lan.here.ip("address", "flush", "dev", "eth0")
    assert lan.told() == {"source": ["eth0 does not have an IPv4 address of its own"]}
    assert lan.told(BASE.replace("eth0", "eth9"))["interface"] == ["eth9: there is no such interface"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.1/24", "203.0.113.1 is in no network of eth0 (192.0.2.11/24)"),
        ("192.0.2.100/25", "192.0.2.100 has the prefix length 25, and its network on eth0 24"),
        ("192.0.2.100/32", ""),
    ],
)
def test_an_address_is_of_another_network(address: str, expected: str, lan: Lan) -> None:
    told = without_peer(lan.told(BASE.replace("192.0.2.100/24", address)))
    assert told == ({"network": [expected]} if expected else {})


def test_the_wrong_interface_is_seen_by_its_network(lan: Lan) -> None:
    section = BASE.replace('"192.0.2.100/24"', '"192.0.2.100/24", { address = "192.0.2.101/24", interface = "eth1" }')
    assert without_peer(lan.told(section)) == {"network": ["192.0.2.101 is in no network of eth1 (198.51.100.11/24)"]}


def test_settings_of_the_kernel(lan: Lan) -> None:
    two = BASE.replace('"192.0.2.100/24"', '"192.0.2.100/24", { address = "198.51.100.100/24", interface = "eth1" }')
    lan.here.run("sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=1")
    assert list(without_peer(lan.told(two))) == ["rp_filter"]
    assert without_peer(lan.told()) == {}, "one interface, one way"
    lan.here.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2", "net.ipv4.conf.all.arp_ignore=8")
    assert list(without_peer(lan.told(two))) == ["arp_ignore"]


def test_nonlocal_bind_is_said_to_concern_others(lan: Lan) -> None:
    for value, words in (("0", "other programs need"), ("1", "every program may listen")):
        lan.here.run("sysctl", "-qw", f"net.ipv4.ip_nonlocal_bind={value}")
        (finding,) = [each for each in lan.examine() if each.check == "bind"]
        assert finding.verdict is Verdict.OK
        assert words in finding.what


def test_secrets_that_others_can_read(lan: Lan) -> None:
    secret = lan.folder / "keys"
    section = BASE + f'keys_file = "{secret}"\n'
    assert [*lan.told(section)][:1] == ["secrets"]
    secret.write_text(f"1 hex:{'00' * 32}\n")
    secret.chmod(0o644)
    assert lan.told(section)["secrets"] == [f"{secret} can be read by others than its owner"]
    secret.chmod(0o600)
    assert "secrets" not in lan.told(section)


def test_keys_that_the_peer_does_not_have(lan: Lan) -> None:
    secret = lan.folder / "keys"
    secret.write_text(f"1 hex:{'00' * 32}\n")
    secret.chmod(0o600)
    with speaking(lan.there, ("192.0.2.12", PEER)):
        told = lan.told(BASE + f'keys_file = "{secret}"\n')
    assert told["refused"] == ["an advert of 192.0.2.12 is not listened to: it has no authentication trailer"]


def test_commands_that_cannot_be_run(lan: Lan) -> None:
    command = lan.folder / "check"
    command.write_text("#!/bin/sh\n")
    section = BASE + f'[[vrrp.track.command]]\ncommand = ["{command}"]\n'
    assert "it is not executable" in without_peer(lan.told(section))["commands"][0]
    section = BASE + '[[vrrp.track.command]]\ncommand = ["/bin/true"]\n'
    assert without_peer(lan.told(section)) == {}


def test_a_lease_that_outlives_the_takeover(lan: Lan) -> None:
    assert list(without_peer(lan.told(BASE + 'lease = "30s"\n'))) == ["lease"]


def test_a_rival_on_this_node(lan: Lan) -> None:
    program = lan.folder / "keepalived"
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen(lan.here.command([str(program), "60"]))
    try:
        deadline = time.monotonic() + 10
        while "rivals" not in (told := without_peer(lan.told())):
            assert time.monotonic() < deadline
        assert told == {"rivals": [f"keepalived runs here too (process {process.pid})"]}
    finally:
        process.kill()
        process.wait()
    elsewhere = subprocess.Popen(lan.there.command([str(program), "60"]))
    try:
        assert without_peer(lan.told()) == {}
    finally:
        elsewhere.kill()
        elsewhere.wait()


def test_warnings_of_the_configuration_are_findings(lan: Lan) -> None:
    assert list(without_peer(lan.told(BASE + '[vrrp.track]\ninterfaces = ["eth0"]\n'))) == ["configuration"]


# The command, beside real agents


def doctor(host: Namespace, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sipdispatch", "vrrp", "doctor", "--listen", "0.5", *map(str, arguments)]
    return subprocess.run(
        host.command(["env", f"PYTHONPATH={ROOT}", *argv]), capture_output=True, text=True, timeout=60, check=False
    )


def complaints(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {each["check"] for each in json.loads(done.stdout)["findings"] if each["verdict"] in ("look", "wrong")}


def test_a_pair_that_is_well_has_nothing_to_do(tmp_path: Path) -> None:
    with Pair(tmp_path) as pair:
        pair.settle()
        done = doctor(pair.a.host, "-c", pair.a.config, "--json")
        bad = complaints(done)
        assert bad <= {"lateness"}, done.stdout  # the machine that tests may have been busy
        assert done.returncode == (FOUND if bad else FINE)
        status = tmp_path / "status.json"
        status.write_text(json.dumps({"version": 1, "vrrp": pair.a.status()}))
        done = doctor(pair.b.host, "-c", pair.b.config, "--peer-status", status)
        assert "backup (BACKUP)" in done.stdout
        assert "it is configured alike, and is active" in done.stdout


def test_what_keeps_it_from_looking_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, document = tmp_path / "x.toml", tmp_path / "status.json"

    def refused(*arguments: str | Path) -> str:
        assert main(["vrrp", "doctor", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    assert "cannot be read" in refused("-c", config)
    config.write_text("[vrrp]\nvrid = 0\n")
    assert "vrrp.vrid" in refused("-c", config)
    config.write_text(f"[vrrp]\n{BASE}")
    assert "cannot be read" in refused("-c", config, "--peer-status", document)
    for text, words in (("{}", "no status"), ("[]", "no status"), ("x", "not JSON")):
        document.write_text(text)
        assert words in refused("-c", config, "--peer-status", document)


def test_without_the_privilege_to_listen_it_says_so(lan: Lan) -> None:
    config = lan.folder / "x.toml"
    config.write_text(f"[vrrp]\n{BASE}")
    argv = ["setpriv", "--bounding-set=-net_raw", sys.executable, "-m", "sipdispatch", "vrrp", "doctor", "-c", config]
    done = subprocess.run(
        lan.here.command(["env", f"PYTHONPATH={ROOT}", *map(str, argv)]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "CAP_NET_RAW" in done.stderr


def test_the_session_in_the_manual_goes_as_it_says(lan: Lan) -> None:
    """A firewall that has no rule for VRRP, on the backup of a pair that is well otherwise."""
    require("nft")
    page = (ROOT / "docs" / "sipdispatch-vrrp-doctor.md").read_text(encoding="utf-8")
    ((name, text),) = re.findall(r"^```toml ([^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (session,) = re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (lan.folder / name).write_text(text + NOBODY_RUNS)
    lan.here.nft(
        "table inet filter {\nchain input {\ntype filter hook input priority 0; policy drop;\n"
        "ct state established,related accept\niif lo accept\nudp dport 5060 accept\n}\n}"
    )
    lan.there.ip("link", "set", "eth0", "address", "02:00:00:00:00:12")
    lan.there.ip("address", "add", f"{VIP}/24", "dev", "eth0")
    command, *expected = session.splitlines()
    assert command.startswith("$ sipdispatch vrrp doctor ")
    argv = [sys.executable, "-m", "sipdispatch", *shlex.split(command)[2:]]
    with speaking(lan.there, ("192.0.2.12", PEER)):
        done = subprocess.run(
            lan.here.command(["env", f"PYTHONPATH={ROOT}", *argv]),
            cwd=lan.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    assert [*done.stdout.splitlines(), "$ echo $?", str(done.returncode)] == expected


@pytest.mark.peers
def test_an_imported_node_agrees_with_the_keepalived_of_the_other(lan: Lan) -> None:
    """One file for both nodes: the other one runs keepalived, and this one has had it imported."""
    text = Instance(
        interface="eth0", priority=150, addresses=[f"{VIP}/24"], version=2, interval=1.0, password="s3cret12"
    ).configuration()
    (lan.folder / "keepalived.conf").write_text(text.replace("priority 150", "priority 100"))
    output, secret = lan.folder / "imported.toml", lan.folder / "password"
    assert main(["vrrp", "import", str(lan.folder / "keepalived.conf"), "-o", str(output)]) == 0
    secret.write_text("s3cret12\n")
    secret.chmod(0o600)
    section = tomllib.loads(output.read_text())["vrrp"]
    section["password_file"] = str(secret)
    written = "\n".join(f"{key} = {toml_value(value)}" for key, value in section.items()) + "\n"
    with Keepalived(text, namespace=lan.there, directory=lan.folder / "peer") as peer:
        peer.until_state("MASTER")
        told = {each.check: each for each in lan.examine(written, listen=2.5)}
    bad = {each.check for each in told.values() if each.verdict in (Verdict.LOOK, Verdict.WRONG)}
    assert bad == {"agent"}
    assert told["agreement"].verdict is Verdict.OK
    assert told["peer"].what == "192.0.2.12 speaks for virtual router 51, priority 150, every 1 s"
