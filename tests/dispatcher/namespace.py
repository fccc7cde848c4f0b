"""A network namespace of its own for a piece of a test, so that routes and filters can be set and nothing leaves."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap

import pytest

UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


@functools.cache
def _permitted() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run_in_namespace(script: str, *, setup: str = "ip link set lo up") -> str:
    """Run shell commands, then Python, in a new network namespace; what Python prints.  Skips where not permitted."""
    if not _permitted():
        pytest.skip("network namespaces are not permitted here")
    command = [*UNSHARE, "sh", "-ec", f'{setup}\nexec "$0" -c "$1"', sys.executable, textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
