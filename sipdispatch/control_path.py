"""Where is the control socket when nobody says where?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSTEM: Final = Path("/run/sipdispatch/control.sock")
"""Where the proxy of the system has it."""
NAME: Final = "control.sock"
AGENT_NAME: Final = "vrrp.sock"
FOLDER: Final = "sipdispatch"
AGENT_FOLDER: Final = "sipdispatch-vrrp"


def default_control_path(environ: Mapping[str, str], uid: int) -> Path:
    """In the folder that systemd gives a service, the first of $RUNTIME_DIRECTORY; else in /run for root.

    For others in the folder of their session, $XDG_RUNTIME_DIR, which systemd-logind has in /run/user.
    """
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given) / NAME
    if uid == 0:
        return SYSTEM
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}") / FOLDER / NAME


def default_agent_path(environ: Mapping[str, str], uid: int) -> Path:
    """That of the VRRP agent: for root in a folder of its own, where the user of the proxy can remove nothing."""
    path = default_control_path(environ, uid).with_name(AGENT_NAME)
    return path if environ.get("RUNTIME_DIRECTORY") or uid else Path("/run") / AGENT_FOLDER / AGENT_NAME


def path_beside_agent(environ: Mapping[str, str], uid: int) -> Path:
    """The proxy's, as the agent has to guess it: as a service it has a folder that is not the proxy's."""
    return default_control_path({}, 0) if environ.get("RUNTIME_DIRECTORY") else default_control_path(environ, uid)


def control_path_to_ask(environ: Mapping[str, str], uid: int) -> Path:
    """The default one if it is there; else that of the system, which its group may use too."""
    own = default_control_path(environ, uid)
    return own if environ.get("RUNTIME_DIRECTORY") or os.path.lexists(own) else SYSTEM
