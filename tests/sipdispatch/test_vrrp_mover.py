"""Do real agents move an address by an API, and does the manual say so rightly?"""

from __future__ import annotations

import re
import signal
import socket
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import pytest
import structlog
import trio

from sipdispatch import notifiers, vrrp_mover
from sipdispatch.command_run import ENDING_S, Run
from sipdispatch.doctor_node import command_findings
from sipdispatch.vrrp_build import programs_of, restart_keys
from sipdispatch.vrrp_mover import STOP_S, command_of, movers_of
from sipdispatch.vrrp_running import RunningAgent
from sipdispatch.vrrp_section import read_vrrp_section
from sipdispatch.vrrp_settings import Vrrp, VrrpMover
from tests.peers.program import wait_until
from tests.sipdispatch.vrrp_pair import ROOT, Node, Pair
from tests.vrrp.wires import Cable, WireEnd, router_for
from vrrp.address import VirtualAddress
from vrrp.datagram import Datagram
from vrrp.execmover import ELSEWHERE, Outcome
from vrrp.packet import GROUP_IPV4
from vrrp.router import Voice
from vrrp.service import Agent
from vrrp.tracking import Tracking

PAGE = (Path(__file__).parents[2] / "docs" / "sipdispatch-vrrp.md").read_text(encoding="utf-8")
SECTION = re.split(r"^## ", PAGE.split("## Addresses that an API moves\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
API = """\
#!/bin/sh
# The API is a folder: `owner` is who has the address, `down` is there while it does not work.
api={api}
echo "$SIPDISPATCH_SOURCE $SIPDISPATCH_VERB" >> $api/log
[ -e $api/down ] && {{ echo the API is down; exit 2; }}
case $1 in
    acquire) echo $SIPDISPATCH_SOURCE > $api/new.$$ && mv $api/new.$$ $api/owner ;;
    verify) [ "$(cat $api/owner)" = $SIPDISPATCH_SOURCE ] ;;
esac
"""
MOVER = """
[vrrp.mover]
driver = "{driver}"
acquire = ["{api}/move", "acquire"]
release = ["/bin/true"]
verify = ["{api}/move", "verify"]
timeout = "5s"
retries = 0
every = "1s"
"""
PLAIN = Vrrp(
    interface="eth0",
    vrid=51,
    addresses=(VirtualAddress("192.0.2.100", 24, "eth0"), VirtualAddress("2001:db8::64", 64, "eth0")),
)


@attrs.frozen
class Cloud:
    pair: Pair
    folder: Path

    @property
    def owner(self) -> str:
        path = self.folder / "owner"
        return path.read_text().strip() if path.exists() else ""

    def until_owner(self, owner: str) -> None:
        wait_until(lambda: self.owner == owner, f"the API has the address at {owner}")


def cloud_with(folder: Path, driver: str) -> Iterator[Cloud]:
    script = folder / "move"
    script.write_text(API.format(api=folder))
    script.chmod(0o755)
    with Pair(folder, MOVER.format(driver=driver, api=folder)) as pair:
        yield Cloud(pair, folder)


@pytest.fixture
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    yield from cloud_with(tmp_path_factory.mktemp("v"), "both")


A, B = "192.0.2.11", "192.0.2.12"


def states(*nodes: Node) -> list[str]:
    return [node.status()["state"] for node in nodes]


def test_a_pair_moves_the_address_on_both_ways(cloud: Cloud) -> None:
    pair = cloud.pair
    pair.settle()
    cloud.until_owner(A)
    (cloud.folder / "owner").write_text(f"{B}\n")
    cloud.until_owner(A)
    pair.a.running.signal(signal.SIGKILL)
    pair.b.until("active")
    cloud.until_owner(B)
    pair.a.running.stop()
    pair.a.start()
    pair.a.until("active")
    cloud.until_owner(A)
    assert pair.a.running.stop() == 0
    pair.b.until("active")
    cloud.until_owner(B)
    assert pair.owners() == ["b"]


def test_an_api_that_is_down_moves_nothing_and_keeps_the_other_one_from_taking_over(cloud: Cloud) -> None:
    pair = cloud.pair
    pair.settle()
    cloud.until_owner(A)
    (cloud.folder / "down").touch()
    wait_until(lambda: "it cannot be told whether the addresses are here" in pair.a.events(), "it is noticed")
    assert states(pair.a, pair.b) == ["active", "backup"]
    pair.a.running.stop()
    pair.b.until("fault")
    assert pair.b.status()["cause"] == "acquire: the API is down (exit status 2)"
    (cloud.folder / "down").unlink()
    pair.b.until("active")
    cloud.until_owner(B)


def test_with_commands_alone_no_interface_has_the_address(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("v")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(15.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        for cloud in cloud_with(folder, "exec"):
            cloud.pair.a.start()
            cloud.until_owner(A)
            assert cloud.pair.owners() == []
            assert cloud.pair.a.status()["state"] == "active"
            cloud.pair.a.running.signal(signal.SIGTERM)
            while systemd.recv(1024) != b"STOPPING=1":
                pass
            # A command that runs then, `release` and a second more, 3.2 s to end each; ten for all else.
            assert systemd.recv(1024) == b"EXTEND_TIMEOUT_USEC=27400000"


@pytest.mark.parametrize("unit", ["sipdispatch-vrrp.service", "sipdispatch-vrrp@.service"])
def test_the_unit_leaves_a_stop_the_time_that_is_counted_on(unit: str) -> None:
    text = (ROOT / "deploy" / "systemd" / unit).read_text(encoding="utf-8")
    assert f"\nTimeoutStopSec={STOP_S:g}s\n" in text
    # Hooks and notices have their time, then the commands that still run are ended; those of the tracks meanwhile.
    assert STOP_S > notifiers.STOP_S + ENDING_S


async def test_who_takes_the_address_again_and_again_is_an_alarm(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    del autojump_clock
    owner = ""

    async def run_command(command: Sequence[str], **_: object) -> Run:
        nonlocal owner
        await trio.sleep(0.5)
        owner = A if command == ("acquire",) else owner
        status = int(owner != A) if command == ("verify",) else 0
        return Run(succeeded=not status, text=f"exit status {status}", status=status)

    monkeypatch.setattr(vrrp_mover, "run_command", run_command)
    commands = VrrpMover(driver="exec", acquire=("acquire",), release=("release",), verify=("verify",), timeout=5.0)
    running, cable = RunningAgent("eth0", ""), Cable()
    wire, other = WireEnd(cable, A), WireEnd(cable, B)
    cable.ends += [wire, other]
    mover = movers_of(attrs.evolve(PLAIN, mover=commands), running, source=lambda: A).mover
    running.begin(Agent(router_for(A, 250), wire, mover, Tracking(250, ()), clock=trio.current_time))
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            await nursery.start(running.agent.run)
            await trio.sleep(5.0)
            for taken in (1, 2):
                assert (owner, running.status().alarms) == (A, ())
                owner = B
                while running.status().addresses_taken < taken:  # noqa: ASYNC110 - trio's clock jumps
                    await trio.sleep(0.1)
                await trio.sleep(1.0)
            (alarm,) = running.status().alarms
            assert (alarm.field, alarm.peer) == ("owner", "API")
            assert running.agent.state == "active"
            # A peer that is heard again is no reason to wait any longer.
            owner = B
            await trio.sleep(1.0)
            assert owner == B
            weaker = router_for(B, 240)
            wire.put(
                Datagram(Voice().compose(weaker, 240, source=B, destination=GROUP_IPV4, wall=0.0), B, GROUP_IPV4, 255)
            )
            await trio.sleep(7.0)
            assert owner == A
            nursery.cancel_scope.cancel()
    (told,) = [line for line in logged if line["event"] == "the addresses are taken again and again"]
    assert told["reason"] == alarm.text
    assert f"| `{told['event']}` | warning |" in PAGE


def test_a_command_that_others_could_change_keeps_the_agent_from_starting(cloud: Cloud) -> None:
    (cloud.folder / "move").chmod(0o777)
    assert cloud.pair.a.start().wait(20.0) == 2
    assert "vrrp.mover.acquire" in cloud.pair.a.running.output()
    assert "can be changed by others" in cloud.pair.a.running.output()


# --------------------------------------------------------------------------------------------------------------------
# What a command gets, and what the manual says


@pytest.mark.parametrize(
    ("text", "timeout", "outcome"),
    [
        ("exit 0", 20.0, Outcome(0, "it has ended well")),
        ("echo not here; exit 1", 20.0, Outcome(ELSEWHERE, "not here (exit status 1)")),
        ("kill -9 $$", 20.0, Outcome(None, "it was ended by SIGKILL")),
        ("sleep 60", 1.0, Outcome(None, "it has not ended within 1 s")),
    ],
)
def test_how_a_command_ends(tmp_path: Path, text: str, timeout: float, outcome: Outcome) -> None:
    command = ("/bin/sh", "-c", f"env >{tmp_path}/env; {text}")
    mover = VrrpMover(driver="exec", acquire=command, release=command, verify=command, timeout=timeout)
    run = command_of(attrs.evolve(PLAIN, mover=mover), role=lambda: "active", source=lambda: A)
    assert trio.run(run, "verify") == outcome
    lines = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    told = {name: value for name, value in lines.items() if name.startswith("SIPDISPATCH_")}
    assert told == {
        "SIPDISPATCH_VERB": "verify",
        "SIPDISPATCH_ROLE": "active",
        "SIPDISPATCH_ADDRESSES": "192.0.2.100 2001:db8::64",
        "SIPDISPATCH_INTERFACE": "eth0",
        "SIPDISPATCH_SOURCE": A,
        "SIPDISPATCH_VRID": "51",
    }
    assert set(told) == set(re.findall(r"^\| `(SIPDISPATCH_\w+)` \|", SECTION, flags=re.MULTILINE))


def test_addresses_that_commands_know_need_a_restart() -> None:
    fewer = attrs.evolve(PLAIN, addresses=PLAIN.addresses[:1])
    assert restart_keys(PLAIN, fewer) == []
    both = VrrpMover(driver="both", acquire=("/bin/true",), release=("/bin/false",))
    assert restart_keys(attrs.evolve(PLAIN, mover=both), attrs.evolve(fewer, mover=both)) == ["addresses"]
    assert programs_of(attrs.evolve(PLAIN, mover=both)) == [
        ("vrrp.mover.acquire", "/bin/true"),
        ("vrrp.mover.release", "/bin/false"),
    ]


def test_the_doctor_looks_at_the_commands_of_both() -> None:
    mover = VrrpMover(driver="exec", acquire=("/bin/true",), release=("/no/such/program",))
    (wrong,) = command_findings(attrs.evolve(PLAIN, mover=mover))
    assert wrong.what == "vrrp.mover.release: /no/such/program: it cannot be found: no such file or directory"
    (ok,) = command_findings(attrs.evolve(PLAIN, mover=attrs.evolve(mover, release=("/bin/true",))))
    assert ok.what == "2 commands can be run"
    assert list(command_findings(PLAIN)) == []


def test_the_example_of_the_manual_is_right() -> None:
    example = SECTION.split("```toml\n")[1].split("```")[0]
    plain = 'interface = "eth0"\nvrid = 51\naddresses = ["192.0.2.100/24"]\n'
    vrrp, found = read_vrrp_section(tomllib.loads(f"[vrrp]\n{plain}\n{example}")["vrrp"], Path("/etc/sipdispatch"))
    assert found == []
    assert vrrp is not None
    assert vrrp.mover.driver == "both"
    usual = VrrpMover()
    assert f"`every` ({usual.every:g} s)" in SECTION
    assert f"`retries` times more ({usual.retries})" in SECTION


def test_commands_and_drivers_have_to_fit() -> None:
    plain = {"interface": "eth0", "vrid": 51, "addresses": ["192.0.2.100/24"]}
    _, found = read_vrrp_section({**plain, "mover": {"acquire": ["/bin/true"]}}, Path("/"))
    assert [(finding.message, finding.hint) for finding in found] == [
        ("the kernel's driver runs no commands", 'write driver = "exec", or "both"')
    ]
    _, found = read_vrrp_section({**plain, "mover": {"driver": "both", "acquire": ["/bin/true"]}}, Path("/"))
    assert [finding.message for finding in found] == ["release is missing"]
