"""What can the operator do about a file that could not be written?"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def remedy_of(error: Exception, path: Path) -> str:
    """What to do so that the next try succeeds; `path` is the file."""
    folder = path.parent
    match error.errno if isinstance(error, OSError) else None:
        case errno.EACCES:
            return f"let user {os.geteuid()} write in {folder}"
        case errno.EPERM:
            return f"let user {os.geteuid()} own and change it: ls -l {path}; lsattr {path}"
        case errno.ENOSPC | errno.EDQUOT:
            return f"free some space there: df -h {folder}; df -i {folder}"
        case errno.EROFS:
            return f"mount it writable: findmnt -T {folder}"
        case errno.ENOENT | errno.ENOTDIR if not folder.is_dir():
            return f"make the folder: mkdir -p {folder}"
        case errno.ENOENT:
            return f"see where it is: ls -la {folder}"
        case _:
            return f"look at the disk of {folder}: dmesg"
