"""Where is the control socket when nobody says where?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSTEM: Final = Path("/run/sipdispatch/control.sock")
"""Where the proxy of the system has it."""
NAME: Final = "control.sock"
FOLDER: Final = "sipdispatch"


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


def control_path_to_ask(environ: Mapping[str, str], uid: int) -> Path:
    """The default one if it is there; else that of the system, which its group may use too."""
    own = default_control_path(environ, uid)
    return own if environ.get("RUNTIME_DIRECTORY") or os.path.lexists(own) else SYSTEM
