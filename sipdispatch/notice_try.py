"""What has come of one try to deliver a notice, and how is a try cut short that takes too long?"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

import attrs


@attrs.frozen
class Outcome:
    """What has come of a try: `text` says it to people, without any secret; `again`: another may go better.

    `wait`: for so long, in seconds, the other side wants to be left alone.
    """

    delivered: bool
    text: str
    again: bool = False
    wait: float | None = None


class Line:
    """The connection of a thread that waits for the other side; another thread may cut it.

    The thread that connects says with `hold` how its socket is found; `cut` wakes it up with an error.
    """

    def __init__(self) -> None:
        self._find: Callable[[], socket.socket | None] = lambda: None
        self._is_cut = False

    def hold(self, find: Callable[[], socket.socket | None]) -> None:
        """The connection is there from now on; raises TimeoutError when it comes too late."""
        self._find = find
        if self._is_cut:
            raise TimeoutError("too late")

    def cut(self) -> None:
        """End the connection, and every later one."""
        self._is_cut = True
        connection = self._find()
        if connection is not None:
            with contextlib.suppress(OSError):  # closed already
                # The plain socket's: that of TLS would change under the thread that uses it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


def failed_by(error: OSError) -> Outcome:
    """What an error of the network or of TLS means for a try."""
    match error:
        case ssl.SSLCertVerificationError():
            return Outcome(delivered=False, text=f"its certificate is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return Outcome(delivered=False, text=f"TLS failed: {error.reason or error}", again=True)
        case TimeoutError():
            return Outcome(delivered=False, text="no answer in time", again=True)
        case socket.gaierror():
            return Outcome(delivered=False, text=f"its name cannot be looked up: {error.strerror}", again=True)
        case _:
            text = error.strerror.lower() if error.strerror else str(error) or type(error).__name__
            return Outcome(delivered=False, text=text, again=True)
