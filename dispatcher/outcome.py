"""What becomes of a datagram: it is passed on, answered, or dropped for a named reason?"""

from __future__ import annotations

import attrs

from dispatcher.callfact import CallFact
from sip.reason import Reason
from sip.uri import Address


class DropReason(Reason):
    """Why a datagram ends here."""

    KEEPALIVE = ("keepalive", "an empty line that keeps a NAT binding open")
    STUN = ("stun", "a STUN message")
    MALFORMED = ("malformed", "not SIP, and nothing in it says where an answer should go")
    MALFORMED_REPLY = ("malformed_reply", "a reply that breaks the grammar")
    REPLY_FORGED = ("reply_forged", "a reply whose top Via is not one that we have sent out")
    REPLY_TO_US = ("reply_to_us", "a reply with a single Via: it ends here")
    ACK_TO_OUR_ANSWER = ("ack_to_our_answer", "the ACK to an answer of our own")
    ACK_REFUSED = ("ack_refused", "an ACK that cannot be passed on; an ACK is never answered")
    CANCEL_REFUSED = ("cancel_refused", "a CANCEL that cannot be passed on; we never answer for its INVITE")
    NO_REPLY_ADDRESS = ("no_reply_address", "an answer of ours has nowhere to go")
    EDGE_TO_EDGE = ("edge_to_edge", "an ACK or CANCEL from the edge that asks to leave to the edge")
    SHORT = ("short", "a reply shorter than its Content-Length")
    INTERNAL = ("internal", "a mistake in this program; the log has its traceback")
    OVERLOAD = ("overload", "too many messages wait, for the name service or for the part of the path that is Python")
    LIMITED = ("limited", "its source has sent more than `[proxy.limits]` lets it")
    BANNED = ("banned", "its source is banned")


class Refusal(Reason):
    """Why a request is answered with a failure."""

    BAD_REQUEST = ("bad_request", "it breaks the grammar of SIP")
    VERSION = ("version", "it is not SIP/2.0")
    SCHEME = ("scheme", "nobody serves the scheme of its Request-URI")
    TOO_MANY_HOPS = ("too_many_hops", "its Max-Forwards is 0")
    LOOP = ("loop", "it has been here before with the same Request-URI and Route: a loop")
    EXTENSION = ("extension", "its Proxy-Require asks for an extension that the proxy does not have")
    NO_DESTINATION = ("no_destination", "no destination of the set takes new work")
    EDGE_TO_EDGE = (
        "edge_to_edge",
        (
            "it comes from the edge and would leave to the edge; if one end is a server of yours, "
            "put it into core_networks"
        ),
    )
    UNRESOLVED = ("unresolved", "its next hop has no address")
    TRANSPORT = ("transport", "its next hop asks for a transport that is not served")
    NO_LISTENER = ("no_listener", "no listener has the address family of its next hop")
    NOT_SERVING = ("not_serving", "no destination takes new work")


@attrs.frozen
class Forward:
    """Send these bytes from this listener (its place in the snapshot) to this address."""

    payload: bytes
    address: Address
    listener: int
    destination: int | None = None
    """The place in the snapshot's destinations of the one that it goes to or, a reply, comes from."""
    remember: int | None = None
    """The Call-ID's digest when the choice belongs into the table of recent choices."""
    status: int = 0
    """Of a reply, 0 for a request."""
    method: bytes = b""
    """Of a request; of a reply that of its CSeq."""
    call: CallFact | None = None
    """What it tells about its call."""
    elapsed: float | None = None
    """Seconds between the request's leaving and this reply; None for a request, and where the reply does not say."""
    retry_after: int | None = None
    """Seconds for which a 503 asks to be left alone (RFC 3261 20.33)."""
    branch: bytes = b""
    """Of a reply: that of our Via, without the cookie."""

    @property
    def expects_answer(self) -> bool:
        """Whether a server that is well answers this soon: a request, but no ACK (RFC 3261 17.1.1.3)."""
        return not self.status and self.method != b"ACK"

    @property
    def latency(self) -> float | None:
        """Seconds that the server itself took: until its first words to an INVITE, its last to anything else.

        What comes later to an INVITE is how long a person took to pick up.
        """
        if self.method == b"INVITE":
            return self.elapsed if self.status == 100 else None
        return self.elapsed if self.status >= 200 else None


@attrs.frozen
class Reply:
    """Send this answer of our own back by the listener that the request arrived on."""

    payload: bytes
    address: Address
    listener: int
    status: int
    refusal: Refusal | None = None


@attrs.frozen
class Drop:
    """Send nothing; count the reason."""

    reason: DropReason


@attrs.frozen
class Resolve:
    """A request from the core names its next hop: look the name up and route the datagram again."""

    host: str
    port: int | None
    transport: str


Outcome = Forward | Reply | Drop | Resolve
