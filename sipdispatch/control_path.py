"""Where is the control socket when nobody says where?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAME: Final = "control.sock"
AGENT_NAME: Final = "vrrp.sock"
FOLDER: Final = "sipdispatch"


def default_control_path(environ: Mapping[str, str], uid: int) -> Path:
    """In the folder that systemd gives a service, the first of $RUNTIME_DIRECTORY; else in /run for root.

    For others in the folder of their session, $XDG_RUNTIME_DIR, which systemd-logind has in /run/user.
    """
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given) / NAME
    if uid == 0:
        return Path("/run") / FOLDER / NAME
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}") / FOLDER / NAME


def default_agent_path(environ: Mapping[str, str], uid: int) -> Path:
    """That of the VRRP agent: in the same folder."""
    return default_control_path(environ, uid).with_name(AGENT_NAME)
