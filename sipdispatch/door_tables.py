"""Which keys have the doors by which others ask a process: its control socket and its HTTP?  Proxy and agent alike."""

from __future__ import annotations

from pathlib import Path

from sipdispatch import address_readers, readers
from sipdispatch.tables import Table


def control_table(cls: type, section: str, base: Path) -> Table:
    """The control socket of `[section]`; a path that is not absolute begins at `base`."""
    return Table(
        cls=cls,
        reads={
            "enabled": readers.read_bool,
            "socket": readers.read_path(base),
            "owner": readers.read_account,
            "group": readers.read_account,
        },
        hint=f"write the line [{section}] above its keys",
        meant={"path": "write socket", "listen": "write socket, the name of a file", "user": "write owner"},
    )


def http_table(cls: type, section: str, port: int) -> Table:
    """HTTP of `[section]`, whose usual port stands in the advice."""
    listen = f"127.0.0.1:{port}"
    return Table(
        cls=cls,
        reads={"listen": address_readers.read_tcp_address},
        hint=f"write the line [{section}] above its keys",
        missing={"listen": f'write listen = "{listen}"'},
        meant={"port": f'the port is a part of listen, as in "{listen}"', "address": "write listen"},
    )
