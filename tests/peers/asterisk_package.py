"""Where does a real Asterisk 16 come from?  Debian's packages, unpacked beside the project, never installed.

Run as a program, it fetches them now and prints Asterisk's version.  Debian 11 was the last release with Asterisk 16;
it runs on a newer release's C library with the few libraries that are missing there unpacked beside it.  The mirrors
are the ones that this machine's apt is configured with, and its proxy settings and keys are used too.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.peers.need import missing

CACHE = Path(__file__).resolve().parents[2] / ".peers"
PREFIX = CACHE / "asterisk-16"
DONOR = "bullseye"
DONOR_PRIORITY = 100  # below the machine's own release (500): only what that lacks comes from the donor
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_SECONDS = 300.0


class UnobtainableError(Exception):
    """Asterisk cannot be fetched on this machine; the message says why."""


def obtain() -> Path:
    """The folder with Asterisk's launcher `asterisk`, fetched at the first call (some ten seconds, 15 MB).

    Skips the running test, or fails it where CI=true, when it cannot be fetched.
    """
    try:
        return fetch()
    except UnobtainableError as error:
        missing(f"no Asterisk: {error}")


def fetch() -> Path:
    """As `obtain`, for callers that are no test; UnobtainableError when it cannot be done."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "asterisk-16.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start side by side
        if not (PREFIX / "asterisk").exists():
            with tempfile.TemporaryDirectory(prefix="asterisk-", dir=CACHE) as work:
                _unpack(_download(Path(work)), Path(work) / "prefix")
                (Path(work) / "prefix").rename(PREFIX)
    return PREFIX


def module_folder(prefix: Path) -> Path:
    """Where the unpacked Asterisk keeps its modules."""
    return prefix / "root/usr/lib/asterisk/modules"


def _download(work: Path) -> list[Path]:
    """Fetch Asterisk's packages and those it needs that this machine lacks."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        message = "it is fetched with Debian's apt-get, and this is no Debian"
        raise UnobtainableError(message)
    for folder in ("lists/partial", "cache", "packages/partial"):
        (work / folder).mkdir(parents=True)
    (work / "sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {source} main\n" for source in _sources()))
    (work / "preferences").write_text(
        f"Package: *\nPin: release n={DONOR}*\nPin-Priority: {DONOR_PRIORITY}\n",
    )
    options = _options(work)
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "install", "--yes", "--no-install-recommends", "--download-only", "asterisk")
    return sorted((work / "packages").glob("*.deb"))


def _options(work: Path) -> list[str]:
    """Apt's options that keep its state in `work`; whatever else the machine configures (proxies, keys) stays."""
    settings = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::Etc::Preferences": work / "preferences",
        "Dir::Etc::PreferencesParts": "-",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Cache::Archives": work / "packages",
        "Acquire::Check-Valid-Until": "false",  # an old release is no longer signed anew
        "APT::Sandbox::User": "root",  # `work` is not open to apt's own user
        "Debug::NoLocking": "true",  # nothing is installed; an ordinary user cannot take dpkg's lock
    }
    return ["-q", *(f"-o{name}={value}" for name, value in settings.items())]


def _sources() -> list[str]:
    """The lines `URI RELEASE` of a sources.list: this machine's own release and the donor, from its own mirrors."""
    listing = _run(
        "apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages",
    )  # fmt: skip
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    mirrors = {name: uri for uri, _, name in (line.partition(" ") for line in listing.splitlines())}
    if release not in mirrors:
        message = f"apt is configured with no mirror of this release ({release or 'unnamed'})"
        raise UnobtainableError(message)
    main = mirrors[release]
    security = mirrors.get(f"{release}-security")
    found = {f"{main} {release}": None, f"{main} {DONOR}": None}
    if f"{release}-updates" in mirrors:
        found[f"{main} {release}-updates"] = None
    if security is not None:
        found |= {f"{security} {release}-security": None, f"{security} {DONOR}-security": None}
    return list(found)


def _unpack(packages: Iterable[Path], prefix: Path) -> None:
    root = prefix / "root"
    root.mkdir(parents=True)
    for package in packages:
        _run("dpkg", "-x", str(package), str(root))
    machine = next((root / "usr/lib").glob("*-linux-gnu*")).name
    launcher = prefix / "asterisk"
    # The launcher finds its own folder: the prefix is renamed when it is complete.
    launcher.write_text(
        "#!/bin/sh\n"
        'root=$(dirname "$(readlink -f "$0")")/root\n'
        f'LD_LIBRARY_PATH=$root/usr/lib/{machine}:$root/usr/lib exec "$root/usr/sbin/asterisk" "$@"\n',
    )
    launcher.chmod(0o755)
    _run(str(launcher), "-V")


def _run(*argv: str) -> str:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=APT_SECONDS,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        message = f"{argv[0]} failed: {done.stderr.strip()[-500:]}"
        raise UnobtainableError(message)
    return done.stdout


def main() -> int:
    try:
        prefix = fetch()
    except UnobtainableError as error:
        sys.stderr.write(f"missing for some tests, which will be skipped: Asterisk ({error})\n")
        return 1
    sys.stdout.write(_run(str(prefix / "asterisk"), "-V"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
