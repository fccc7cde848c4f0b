"""Does the Debian package give a working pair, and leave nothing when it is purged?

One story on two machines, told in the order of the tests: built, installed, run, attacked, upgraded, removed, purged.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from dispatcher.fastpath import WHY_NOT
from tests.deploy.machine import Machine, wire
from tests.peers.need import missing, require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
VIP = "192.168.0.100"
SECOND_VIP = "192.168.0.110"
UNITS = ("sipdispatch", "sipdispatch-vrrp")
NEXT = "99.0"


def until(true: Callable[[], bool], what: str, *machines: Machine, seconds: float = 60.0) -> None:
    """Wait for it; where it does not come, tell what the agents of the machines have logged."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("\n".join((f"not so: {what}", *(machine.journal(UNITS[1]) for machine in machines))))
        time.sleep(0.05)


def snapshot(tree: Path) -> dict[str, float]:
    """Every file outside the folders that a build may write to."""
    files = (path for path in tree.rglob("*") if path.relative_to(tree).parts[0] not in ("build", "dist"))
    return {str(path): path.lstat().st_mtime for path in files}


@attrs.frozen
class Built:
    folder: Path
    package: Path
    following: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The package, built from a copy of the tree, and the same with a later version."""
    dpkg = require("dpkg-deb")
    if not Path("/usr/bin/python3").exists():
        missing("Debian's python3 is not installed: apt-get install python3")
    tree = tmp_path_factory.mktemp("tree")
    left = ("__pycache__", "build", "dist", ".*", "*.egg-info", "tests", "bench", "fuzz", "target")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*left), dirs_exist_ok=True)
    before = snapshot(tree)
    environment = {**os.environ, "COMPRESSION": "none", "SOURCE_DATE_EPOCH": "1700000000"}
    environment = {key: value for key, value in environment.items() if not key.startswith(("COVERAGE", "PYTHON"))}
    build = [str(tree / "deploy/debian/make-package"), sys.executable]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300, check=False, env=environment)
    if done.returncode and re.search("NewConnectionError|No matching distribution", done.stderr):
        missing(f"no index with the dependencies can be reached: {done.stderr[-500:]}")
    assert done.returncode == 0, done.stderr
    assert snapshot(tree) == before, "the build has written beside build/ and dist/"
    (package,) = (tree / "dist").glob("*.deb")
    assert done.stdout == f"dist/{package.name}\n"
    control = tree / "build/deb/root/DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {NEXT}", control.read_text()))
    (metadata,) = (tree / "build/deb/root/opt").rglob("sipdispatch-*.dist-info/METADATA")
    metadata.write_text(re.sub("(?m)^Version: .*", f"Version: {NEXT}", metadata.read_text()))
    following = tree / "dist" / "next.deb"
    repack = ["-Znone", "--root-owner-group", "--build", str(tree / "build/deb/root"), str(following)]
    subprocess.run([str(dpkg), *repack], check=True, capture_output=True)
    return Built(tree / "dist", package, following)


@attrs.frozen
class Pair:
    a: Machine
    b: Machine

    def owners(self) -> str:
        """The nodes that have the virtual IP: "a", "b", "ab" or ""."""
        both = {"a": self.a, "b": self.b}
        return "".join(name for name, machine in both.items() if VIP in addresses(machine))


def addresses(machine: Machine) -> set[str]:
    shown = json.loads(machine.run("ip", "-json", "address", "show", "dev", "eth0"))
    return {info["local"] for info in shown[0]["addr_info"]}


@pytest.fixture(scope="module")
def pair(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two machines that can reach each other and nobody else."""
    folder = tmp_path_factory.mktemp("machines")
    with Machine("a", folder, built.folder) as a, Machine("b", folder, built.folder) as b:
        wire(a, b)
        a.run("ip", "address", "add", "192.168.0.101/24", "dev", "eth0")
        b.run("ip", "address", "add", "192.168.0.102/24", "dev", "eth0")
        yield Pair(a, b)


def test_it_installs_without_a_network_and_starts_nothing(pair: Pair, built: Built) -> None:
    for machine in (pair.a, pair.b):
        machine.run("dpkg", "--install", f"/mnt/{built.package.name}")
        said = machine.run("sipdispatch", "--version")
        assert said.startswith("sipdispatch 0.")
        assert ("(fast path," in said) is (not WHY_NOT)  # in the package where it could be built
        assert machine.run("stat", "--format=%U:%G %a", "/etc/sipdispatch") == "root:sipdispatch 750"
        assert [machine.call("systemctl", "is-active", unit)[1].strip() for unit in UNITS] == ["inactive"] * 2
        assert [machine.call("systemctl", "is-enabled", unit)[1].strip() for unit in UNITS] == ["disabled"] * 2


def test_it_is_where_the_package_says(pair: Pair) -> None:
    listed = pair.a.run("dpkg", "--listfiles", "sipdispatch").splitlines()
    tops = {"/".join(path.split("/")[:3]) for path in listed if path.count("/") > 1}
    assert tops <= {"/opt/sipdispatch", "/etc/sipdispatch", "/usr/bin", "/usr/lib", "/usr/share"}
    assert pair.a.run("dpkg", "--verify", "sipdispatch") == ""
    # Whoever runs it cannot change it, and needs to compile nothing.
    assert pair.a.run("find", "/opt/sipdispatch", "!", "-user", "root", "-o", "-perm", "/022", "!", "-type", "l") == ""
    links = re.findall(r"\]\(([^):]+)\)", pair.a.run("cat", "/usr/share/doc/sipdispatch/README.md"))
    assert links
    assert [link for link in links if pair.a.call("test", "-e", f"/usr/share/doc/sipdispatch/{link}")[0]] == []
    needless = ["pip", "setuptools", "pytest"]
    assert not [path for path in listed if path.split("/")[-1] in needless]


def test_the_example_pair_starts_with_one_owner(pair: Pair) -> None:
    """As deploy/README.md has it: the examples, one secret, both units on both nodes."""
    for name, machine in (("a", pair.a), ("b", pair.b)):
        machine.run("cp", f"/usr/share/sipdispatch/pair/edge-{name}/sipdispatch.toml", "/etc/sipdispatch/")
        machine.run("cp", "/usr/share/sipdispatch/pair/dispatcher.list", "/etc/sipdispatch/")
        assert (
            machine.run("sipdispatch", "check", "/etc/sipdispatch/sipdispatch.toml") == "2 files checked: no problems"
        )
    pair.a.run("systemctl", "enable", "--now", "sipdispatch")
    secret = pair.a.path("/var/lib/sipdispatch/secret").read_bytes()
    pair.b.run("install", "-d", "-o", "sipdispatch", "-g", "sipdispatch", "-m", "700", "/var/lib/sipdispatch")
    pair.b.path("/var/lib/sipdispatch/secret").write_bytes(secret)
    pair.b.run("chown", "sipdispatch:sipdispatch", "/var/lib/sipdispatch/secret")
    pair.b.run("chmod", "600", "/var/lib/sipdispatch/secret")
    for machine in (pair.a, pair.b):
        machine.run("systemctl", "enable", "--now", *UNITS)
    until(lambda: pair.owners() == "a", "A has the address", pair.a)
    assert pair.a.property(UNITS[1], "StatusText").startswith("MASTER")
    until(lambda: pair.b.property(UNITS[1], "StatusText").startswith("BACKUP"), "B waits")
    until(
        lambda: pair.a.property(UNITS[0], "StatusText") == "0 of 2 destinations take new work",
        "the proxy has found out that there are no servers here",
    )
    fingerprints = [re.findall(r'"secret": "([0-9a-f]{8})"', machine.journal(UNITS[0])) for machine in (pair.a, pair.b)]
    assert fingerprints[0][-1:] == fingerprints[1][-1:] != []


def test_each_runs_as_its_user_with_what_it_needs(pair: Pair) -> None:
    facts = {}
    for unit in UNITS:
        pid = pair.a.property(unit, "MainPID")
        status = dict(
            line.split(":\t", 1) for line in pair.a.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
        )
        facts[unit] = (pair.a.run("ps", "-o", "user:32=,cls=", "-p", pid).split(), int(status["CapEff"], 16))
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
    assert facts["sipdispatch"] == (["sipdispatch", "TS"], 0)
    assert facts["sipdispatch-vrrp"] == (["sipdispatch-vrrp", "RR"], 1 << 12 | 1 << 13)
    if pair.a.call("sh", "-c", "ulimit -l unlimited")[0] == 0:  # a machine without CAP_SYS_RESOURCE cannot allow it
        assert int(status["VmLck"].split()[0]) > 0
    assert "PermissionError" not in pair.a.journal(UNITS[1])


def test_the_operator_can_ask_both(pair: Pair) -> None:
    assert "active" in pair.a.run("sipdispatch", "vrrp", "status")
    assert "sip:192.168.0.1:5060" in pair.a.run("sipdispatch", "ds", "list")
    status, said = pair.b.call("sipdispatch", "probe", "--count", "1", f"sip:{VIP}")
    assert (status, "503" in said) == (1, True), said


def test_the_proxy_runs_by_hand_too(pair: Pair) -> None:
    pair.b.path("/tmp/list").write_text("1 sip:192.168.0.1 0 0\n")
    by_hand = "setpriv --reuid=sipdispatch --regid=sipdispatch --init-groups env STATE_DIRECTORY=/var/lib/sipdispatch"
    proxy = "sipdispatch proxy --listen 127.0.0.1:5099 --list /tmp/list"
    ask = "until sipdispatch probe --count 1 sip:127.0.0.1:5099; [ $? -ne 3 ]; do sleep 0.1; done"
    said = pair.b.run("sh", "-c", f"{by_hand} {proxy} & {ask}; kill $!; wait")
    assert '"event": "ready"' in said
    assert 'server="sipdispatch"' in said


def test_the_list_can_be_saved_where_the_proxy_may_write(pair: Pair) -> None:
    """As deploy/README.md says: in /etc it cannot, and says so."""
    line = ("ds", "add", "1", "sip:192.168.0.9", "0", "0", "weight=10", "--save")
    status, said = pair.b.call("sipdispatch", *line)
    assert status, said
    assert "Read-only" in said
    config = pair.b.path("/etc/sipdispatch/sipdispatch.toml")
    config.write_text(config.read_text().replace('list = "', 'list = "/var/lib/sipdispatch/'))
    mine = "-o sipdispatch -g sipdispatch -m 644".split()
    pair.b.run("install", *mine, "/etc/sipdispatch/dispatcher.list", "/var/lib/sipdispatch/")
    pair.b.run("systemctl", "restart", UNITS[0])
    pair.b.run("sipdispatch", *line)
    assert "sip:192.168.0.9" in pair.b.run("cat", "/var/lib/sipdispatch/dispatcher.list")


def test_another_group_may_steer(pair: Pair) -> None:
    pair.b.run("addgroup", "--quiet", "voice-test")
    for unit, section, path in ((UNITS[0], "control", "control"), (UNITS[1], "vrrp.control", "vrrp")):
        pair.b.run("adduser", "--quiet", unit, "voice-test")
        config = pair.b.path("/etc/sipdispatch/sipdispatch.toml")
        config.write_text(config.read_text().replace(f"[{section}]\n", f'[{section}]\ngroup = "voice-test"\n'))
        pair.b.run("systemctl", "restart", unit)
        socket = f"/run/{unit}/{path}.sock"
        assert pair.b.run("stat", "--format=%U:%G %a", socket) == f"{unit}:voice-test 660"


def test_a_stopped_agent_hands_over_and_the_proxy_runs_on(pair: Pair) -> None:
    pair.a.run("systemctl", "stop", UNITS[1])
    until(lambda: pair.owners() == "b", "B has the address")
    assert pair.a.property(UNITS[0], "ActiveState") == "active"
    pair.a.run("systemctl", "start", UNITS[1])
    until(
        lambda: pair.a.property(UNITS[1], "StatusText").startswith("BACKUP"), "A waits for a minute before it preempts"
    )
    assert pair.owners() == "b"


def test_a_killed_agent_takes_its_address_along_and_the_proxy_does_not_notice(pair: Pair) -> None:
    before = [pair.b.property(unit, "MainPID") for unit in UNITS]
    pair.b.run("systemctl", "kill", "--signal=KILL", UNITS[1])
    until(lambda: pair.b.property(UNITS[1], "NRestarts") == "1", "systemd has started it again")
    until(lambda: f"{VIP}/24 on eth0 removed" in pair.b.journal(UNITS[1]), "the address was removed", pair.b)
    until(lambda: pair.b.property(UNITS[1], "StatusText").startswith("BACKUP"), "it runs")
    after = [pair.b.property(unit, "MainPID") for unit in UNITS]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert pair.owners() == "a"


def test_a_killed_proxy_leaves_the_agent_alone_which_hands_over(pair: Pair) -> None:
    before = pair.a.property(UNITS[1], "MainPID")
    until(lambda: is_fit(pair.b), "B is fit")
    pair.a.run("systemctl", "kill", "--signal=KILL", UNITS[0])
    until(lambda: pair.owners() == "b", "B has the address", pair.a)
    until(lambda: pair.a.property(UNITS[0], "NRestarts") == "1", "systemd has started it again")
    until(lambda: pair.a.property(UNITS[0], "ActiveState") == "active", "it runs")
    assert pair.a.property(UNITS[1], "MainPID") == before


def test_a_hung_agent_loses_the_address_and_is_started_again(pair: Pair) -> None:
    before = pair.b.property(UNITS[1], "MainPID")
    pair.b.run("kill", "-STOP", before)
    until(lambda: pair.owners() == "a", "the lease has ended, and A has the address, well or not")
    until(lambda: pair.b.property(UNITS[1], "MainPID") not in (before, "0"), "systemd has missed its sign of life")
    assert pair.b.property(UNITS[1], "NRestarts") == "2"


def test_work_on_a_node_is_announced_with_a_file(pair: Pair) -> None:
    until(
        lambda: is_fit(pair.a) and is_fit(pair.b), "both are fit, ten seconds after what has befallen them", seconds=30
    )
    until(lambda: pair.owners() in ("a", "b"), "one has the address")
    owner, other = (pair.a, "b") if pair.owners() == "a" else (pair.b, "a")
    owner.run("touch", "/etc/sipdispatch/maintenance")
    until(lambda: pair.owners() == other, "the other has the address", owner)
    owner.run("rm", "/etc/sipdispatch/maintenance")


def is_fit(machine: Machine) -> bool:
    """Whether the agent finds its node well, with its whole priority."""
    status = json.loads(machine.run("sipdispatch", "vrrp", "status", "--json"))["vrrp"]
    return bool(status["priority"] == status["effective_priority"])


def test_a_reload_keeps_both(pair: Pair) -> None:
    before = [pair.b.property(unit, "MainPID") for unit in UNITS]
    pair.b.run("systemctl", "reload", *UNITS)
    until(lambda: "read again" in pair.b.journal(UNITS[1]), "the configuration is read again", pair.b)
    assert [pair.b.property(unit, "MainPID") for unit in UNITS] == before


def test_a_second_agent_runs_beside_the_first_and_moves_its_address_by_commands_too(pair: Pair) -> None:
    moves = "/run/sipdispatch-vrrp-two/moves"
    pair.a.path("/usr/local/bin/move-address").write_text(f'#!/bin/sh\necho "$1 $SIPDISPATCH_ADDRESSES" >> {moves}\n')
    pair.a.run("chmod", "755", "/usr/local/bin/move-address")
    mover = "".join(f'{verb} = ["/usr/local/bin/move-address", "{verb}"]\n' for verb in ("acquire", "release"))
    config = pair.a.run("cat", "/etc/sipdispatch/sipdispatch.toml")
    second = (
        config.replace("vrid = 51", "vrid = 52")
        .replace(VIP, SECOND_VIP)
        .replace("-vrrp/vrrp.sock", "-vrrp-two/vrrp.sock")
    ) + f'\n\n[vrrp.mover]\ndriver = "both"\n{mover}'
    pair.a.path("/etc/sipdispatch/two.toml").write_text(second)
    pair.a.run("systemctl", "enable", "--now", "sipdispatch-vrrp@two")
    until(lambda: SECOND_VIP in addresses(pair.a), "it has its address, for nobody else wants it")
    assert "VRID 52" in pair.a.run("sipdispatch", "vrrp", "status", "--config", "/etc/sipdispatch/two.toml")
    until(lambda: f"acquire {SECOND_VIP}" in pair.a.run("cat", moves), "the command has run under the unit", pair.a)
    assert pair.a.run("cat", moves).splitlines()[0] == f"release {SECOND_VIP}"  # what a killed agent may have left


def test_an_upgrade_runs_on_until_it_is_restarted(pair: Pair, built: Built) -> None:
    machine = pair.a
    before, owner = [machine.property(unit, "MainPID") for unit in UNITS], pair.owners()
    mine = machine.run("cat", "/etc/sipdispatch/sipdispatch.toml") + "\n# mine\n"
    machine.path("/etc/sipdispatch/sipdispatch.toml").write_text(mine)
    machine.path("/etc/sipdispatch/dispatcher.list.example").write_text("# mine too\n")
    said = machine.run("dpkg", "--install", f"/mnt/{built.following.name}")
    assert re.findall("(.*) runs on", said) == ["sipdispatch-vrrp", "sipdispatch-vrrp@two", "sipdispatch"]
    assert machine.run("sipdispatch", "--version").startswith(f"sipdispatch {NEXT} ")
    assert [machine.property(unit, "MainPID") for unit in UNITS] == before
    assert pair.owners() == owner
    assert machine.run("stat", "--format=%U:%G %a", "/etc/sipdispatch") == "root:sipdispatch 750"
    assert machine.run("cat", "/etc/sipdispatch/sipdispatch.toml") + "\n" == mine
    assert machine.run("cat", "/etc/sipdispatch/dispatcher.list.example") == "# mine too"
    machine.run("systemctl", "restart", *UNITS)
    assert f'"version": "{NEXT}"' in machine.journal(UNITS[0]) or f"version={NEXT}" in machine.journal(UNITS[0])


def test_what_is_removed_stops_and_keeps_what_it_was_told(pair: Pair) -> None:
    machine = pair.a
    machine.run("dpkg", "--remove", "sipdispatch")
    until(lambda: pair.owners() == "b", "B has the address")
    assert machine.call("pgrep", "-f", "opt/sipdispatch")[1] == ""
    assert not machine.path("/opt/sipdispatch").exists()
    assert not machine.path("/usr/bin/sipdispatch").is_symlink()
    assert machine.path("/etc/sipdispatch/sipdispatch.toml").exists()
    assert machine.path("/var/lib/sipdispatch/secret").exists()
    assert machine.run("find", "/etc/systemd/system", "-name", "sipdispatch*") == ""


def test_a_purge_leaves_nothing(pair: Pair) -> None:
    machine = pair.a
    machine.run("rm", "/etc/sipdispatch/two.toml")
    machine.run("dpkg", "--purge", "sipdispatch")
    places = ("/etc", "/opt", "/usr/bin", "/usr/lib/systemd", "/usr/share", "/var/lib", "/run")
    left = machine.run("find", *places, "-xdev", "-name", "*sipdispatch*", "-not", "-path", "/run/systemd/*")
    assert left == ""
    assert machine.call("getent", "passwd", *UNITS)[1] == ""
    assert machine.call("getent", "group", *UNITS)[1] == ""


def test_it_installs_where_no_systemd_runs(pair: Pair) -> None:
    """As in a container, or in a chroot that becomes an image."""
    story = "mount -t tmpfs none /run; dpkg --install /mnt/next.deb; sipdispatch --version; dpkg --purge sipdispatch"
    said = pair.a.run("unshare", "--mount", "sh", "-ec", story)
    assert f"sipdispatch {NEXT} " in said
    assert not pair.a.path("/opt/sipdispatch").exists()
