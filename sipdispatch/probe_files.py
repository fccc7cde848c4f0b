"""What do the files of `sipdispatch probe` say: bodies, requests, credentials?"""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Final

from health.digest import Credentials
from health.template import Template, read_template
from sip.errors import SipError
from sipdispatch.errors import CommandError

MAX_FILE_BYTES: Final = 65_535


def read_file(name: str, option: str) -> bytes:
    """A file's bytes, those of standard input for `-`; raises CommandError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"the file cannot be read: {said}", f"{option} {name}", "name a file that can be") from error
    if len(data) > MAX_FILE_BYTES:
        raise CommandError(
            f"the file is longer than {MAX_FILE_BYTES} bytes", f"{option} {name}", "name one that fits into a datagram"
        )
    return data


def read_request_file(name: str, *, verbatim: bool) -> Template:
    """The request in a file; raises CommandError."""
    return template_of(read_file(name, "-f"), name, verbatim=verbatim)


def template_of(data: bytes, name: str, *, verbatim: bool) -> Template:
    """The request in these bytes, which came from a file of this name; raises CommandError."""
    try:
        return read_template(data, verbatim=verbatim)
    except SipError as error:
        raise CommandError(
            f"the file is no SIP request: {error.reason}",
            f"-f {name}",
            "write a request line, From and To at least; what else is missing is added",
        ) from error


def read_credentials(name: str) -> Credentials:
    """User and password, from the first line `user:password` of a file; raises CommandError."""
    option = "--auth-file"
    if name != "-":
        try:
            mode = Path(name).stat().st_mode
        except OSError as error:
            raise CommandError(
                f"the file cannot be read: {error.strerror}", f"{option} {name}", "name a file that can be"
            ) from error
        if stat.S_ISREG(mode) and mode & stat.S_IROTH:
            raise CommandError("everybody can read the password", f"{option} {name}", f"chmod o-r {name}")
    for line in read_file(name, option).splitlines():
        if line.strip() and not line.startswith(b"#"):
            user, colon, password = line.partition(b":")
            if not colon or not user:
                break
            return Credentials(user, password)
    raise CommandError("there is no user:password in the file", f"{option} {name}", "write one line, as in 8005:secret")
