"""How does a test get a whole Debian machine, with systemd as its first process?

Its disk is a layer over this machine's, kept in memory; its processes, mounts, network, host name and control groups
are namespaces of their own.  Nothing that happens inside is left when the block ends, however that happens: its first
process ends with this one, and with it everything else.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.peers.need import missing, require, require_root

BOOT_SECONDS = 60.0
_numbers = itertools.count(1)

BOOT = r"""
set -e
machine=$1 share=$2
mount -t tmpfs none "$machine"
cd "$machine"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work none root
cd root
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs none $each; done
mkdir -p run/lock dev/pts dev/shm
for each in null zero full random urandom tty; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mount -t devpts -o newinstance none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount --bind "$share" mnt
: >etc/fstab
: >etc/machine-id
for each in systemd-udevd systemd-udev-trigger systemd-timesyncd systemd-networkd systemd-logind networking; do
    ln -sfn /dev/null etc/systemd/system/$each.service
done
rm -rf usr/sbin/policy-rc.d opt/sipdispatch etc/sipdispatch var/lib/sipdispatch
mkdir old
pivot_root . old
cd /
umount -l old
rmdir old
# not by chroot: who is in one may make no user namespace
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
    --unit=basic.target --show-status=0 --log-target=journal
"""
"""Booted to basic.target, so that none of the servers that this machine has installed starts."""


class Machine:
    """One machine; the files in `share` are in its /mnt.  `run` runs a command inside."""

    def __init__(self, name: str, folder: Path, share: Path) -> None:
        require_root("a machine of its own")
        for program in ("unshare", "nsenter", "systemctl", "ip"):
            require(program)
        self._folder = folder / name
        self._share = share
        self._log = folder / f"{name}.log"
        self._group = _control_groups() / f"sipdispatch-{os.getpid()}-{next(_numbers)}-{name}"
        self._started: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _boot(self) -> None:
        self._folder.mkdir()
        _sweep(self._group.parent)
        try:
            self._group.mkdir()
        except OSError as error:
            missing(f"this machine allows no control groups: {error}")
        namespaces = (
            "--pid --fork --mount --net --ipc --uts --cgroup --propagation=private --kill-child=SIGKILL".split()
        )
        enter = f'echo $$ >"{self._group}/cgroup.procs" && exec "$@"'
        boot = ["bash", "-c", BOOT, "boot", str(self._folder), str(self._share)]
        with self._log.open("wb") as log:
            self._started = subprocess.Popen(
                ["sh", "-c", enter, "enter", "unshare", *namespaces, *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._is_up():
            if self._started.poll() is not None or time.monotonic() > deadline:
                missing(f"this machine boots no other: {self._log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)

    def _is_up(self) -> bool:
        assert self._started is not None
        children = Path(f"/proc/{self._started.pid}/task/{self._started.pid}/children")
        with contextlib.suppress(OSError):
            self.pid = int((children.read_text().split() or ["0"])[0])
        if not self.pid or not Path(f"/proc/{self.pid}/root/run/systemd/private").exists():
            return False
        return self.call("systemctl", "is-active", "--quiet", "basic.target")[0] == 0

    def __exit__(self, *_: object) -> None:
        if self._started is not None:
            self._started.kill()
            self._started.wait()
        _remove_whole(self._group)

    def call(self, *argv: str, seconds: float = 120.0) -> tuple[int, str]:
        """The exit status and all output of a command that runs inside."""
        inside = ["nsenter", f"--target={self.pid}", *"--mount --pid --net --ipc --uts --cgroup --root --wd".split()]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        done = subprocess.run([*inside, *clean, *argv], capture_output=True, text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout + done.stderr

    def run(self, *argv: str, seconds: float = 120.0) -> str:
        """What the command has said, when it succeeds; CalledProcessError otherwise."""
        status, said = self.call(*argv, seconds=seconds)
        if status:
            error = subprocess.CalledProcessError(status, argv, said)
            error.add_note(said)
            error.add_note(self.call("journalctl", "--no-pager", "--lines=30")[1])
            error.add_note(self._log.read_text(errors="replace")[-2000:])  # what systemd itself says
            raise error
        return said.rstrip("\n")

    def path(self, inside: str) -> Path:
        """A file of its disk, as this process reaches it."""
        return Path(f"/proc/{self.pid}/root", inside.lstrip("/"))

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def journal(self, unit: str) -> str:
        """What a unit has logged, for a test that fails."""
        return self.call("journalctl", "--no-pager", "--unit", unit)[1]


def wire(one: Machine, other: Machine) -> None:
    """Join two machines by a wire that each has as its eth0."""
    ends = ["eth0", "netns", str(one.pid), "type", "veth", "peer", "name", "eth0", "netns", str(other.pid)]
    subprocess.run([str(require("ip")), "link", "add", *ends], check=True)
    for each in (one, other):
        each.run("ip", "link", "set", "lo", "up")
        each.run("ip", "link", "set", "eth0", "up")


def _control_groups() -> Path:
    """Where version 2 of them is mounted."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    found = next((where for _, where, kind, *_ in mounts if kind == "cgroup2"), None)
    return Path(found or missing("this machine has no control groups of version 2"))


def _sweep(groups: Path) -> None:
    """Remove the groups of test runs that no longer live."""
    for group in groups.glob("sipdispatch-*"):
        if not Path("/proc", group.name.split("-")[1]).exists():
            _remove_whole(group)


def _remove_whole(group: Path) -> None:
    for each in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        _remove(each)
    _remove(group)


def _remove(group: Path) -> None:
    for _ in range(200):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)  # what was in it is still ending
        else:
            return
