"""How large may a message be, and why just so?  Every limit against abuse stands here and nowhere else."""

from __future__ import annotations

from typing import Final

MAX_MESSAGE_BYTES: Final = 65_535
"""What an IP datagram can carry; a longer message cannot have arrived over UDP."""

MAX_HEADER_FIELDS: Final = 256
"""Real INVITEs have 15-40; a long Via, Route and History-Info trail stays below 150."""

MAX_HEADER_LINES: Final = 1_024
"""Fields and their folded lines together, four a field: few senders fold at all, and then one or two long fields."""

MAX_FIELD_BYTES: Final = 16_384
"""One header field with its folded lines: Identity with its PASSporT reaches 4 KiB, RFC 4475's longest 1 KiB.
The start line keeps within it too."""

MAX_MEMBERS: Final = 256
"""Of one field, members or parameters: Via and Route have limits of their own below it; nobody has seen 30 Contacts."""

MAX_VIAS: Final = 100
"""Max-Forwards starts at 70 (RFC 3261 8.1.1.6), so no honest message crosses more hops."""

MAX_ROUTES: Final = 64
"""Twice (double Record-Route) the number of proxies that any dialog has been seen to cross."""

MAX_CSEQ: Final = 2**31 - 1
"""RFC 3261 8.1.1.5: a sequence number is less than 2**31."""

MAX_MAX_FORWARDS: Final = 255
"""RFC 3261 20.22."""

MAX_LENGTH_DIGITS: Final = 10
"""Of Content-Length and Max-Forwards: more than any 32-bit number needs, far below what makes int() slow."""

MAX_CACHED_URI_BYTES: Final = 512
"""A longer URI is parsed each time: 4,096 of these take 8 MiB, of the longest legal ones 200 MiB."""
