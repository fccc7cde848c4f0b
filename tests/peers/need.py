"""Which programs do the peer tests need, and what happens where one is missing?

Run as a program, it prints the Debian packages of the programs that are missing, one a line.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "sipp": "sip-tester",
    "sipsak": "sipsak",
    "kamailio": "kamailio",
    "baresip": "baresip-core",
    "keepalived": "keepalived",
    "nft": "nftables",
    "ip": "iproute2",
    "bridge": "iproute2",
    "ping": "iputils-ping",
    "tcpdump": "tcpdump",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "sysctl": "procps",
    "dpkg-deb": "dpkg",
    "adduser": "adduser",
    "gcc": "gcc libc6-dev",
}
"""Program to the Debian packages that bring it."""

SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Kamailio, nft and ip live where an ordinary user's PATH does not look."""


def missing(reason: str) -> NoReturn:
    """Skip the running test, or fail it where CI=true: there, a test that does not run proves nothing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find(program: str) -> Path | None:
    """The program's path, or None."""
    found = shutil.which(program, path=SEARCHED)
    return None if found is None else Path(found)


def require(program: str) -> Path:
    """The program's path; where it is not installed the running test is skipped (see `missing`)."""
    return find(program) or missing(f"{program} is not installed: apt-get install {PACKAGES.get(program, program)}")


def require_root(purpose: str) -> None:
    """Skip the running test (see `missing`) unless it runs as root."""
    if os.geteuid() != 0:
        missing(f"{purpose} needs root")


def missing_packages() -> list[str]:
    """The Debian packages of the programs that are not installed."""
    return [package for program, packages in PACKAGES.items() if find(program) is None for package in packages.split()]


if __name__ == "__main__":
    sys.stdout.writelines(f"{package}\n" for package in missing_packages())
