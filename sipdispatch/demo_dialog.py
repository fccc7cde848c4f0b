"""What does the demo's phone send in one call (RFC 3261 8.1.1, 12.2.1.1, 13.2.2.4, 15.1.1, 17.1.1.3)?"""

from __future__ import annotations

import attrs

from sip.address import parse_name_addr
from sip.errors import SipError
from sip.lists import split_members
from sip.message import Message, unfold
from sip.uri import Address, host_port, numeric, parse_uri
from sip.via import parse_via, vias

COOKIE = b"z9hG4bK"
"""RFC 3261 8.1.1.7."""

_SILENT_OFFER = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n"
)


@attrs.frozen(kw_only=True)
class Call:
    """A call by way of the proxy; `own` is the address that the phone sends from, `token` makes the call unique."""

    proxy: Address
    own: Address
    token: bytes

    @property
    def call_id(self) -> bytes:
        return self.token + b"@" + self.own[0].encode()

    @property
    def target(self) -> bytes:
        return b"sip:demo@" + host_port(self.proxy).encode()

    def invite(self) -> bytes:
        contact = b"Contact: <sip:caller@%b>" % host_port(self.own).encode()
        return self._request(
            b"INVITE", self.target, 1, b"i", b"<" + self.target + b">", contact,
            b"Content-Type: application/sdp", body=_SILENT_OFFER,
        )  # fmt: skip

    def acknowledge_failure(self, reply: Message) -> bytes:
        """The ACK to a failure belongs to the INVITE's own transaction."""
        return self._request(b"ACK", self.target, 1, b"i", unfold(reply.first[b"to"]))

    def begun(self, reply: Message) -> Dialog:
        """The dialog that a 2xx to the INVITE begins; raises SipError."""
        contact = reply.value(b"contact")
        to = reply.value(b"to")
        if contact is None or to is None:
            raise SipError("Missing Contact or To")
        recorded = [
            parse_name_addr(unfold(member)).uri
            for _, raw in reply.values(b"record-route")
            for member in split_members(raw)
        ]
        return Dialog(call=self, target=parse_name_addr(contact).uri, routes=tuple(reversed(recorded)), to=to)

    def has_answer(self, reply: Message, mark: bytes) -> bool:
        """Whether a reply belongs to the transaction with this mark; raises SipError."""
        return parse_via(vias(reply)[0]).branch == self.branch(mark)

    def branch(self, mark: bytes) -> bytes:
        return COOKIE + self.token + mark

    def _request(
        self, method: bytes, uri: bytes, cseq: int, mark: bytes, to: bytes, *fields: bytes, body: bytes = b""
    ) -> bytes:
        own = host_port(self.own).encode()
        head = (
            b"%b %b SIP/2.0" % (method, uri),
            b"Via: SIP/2.0/UDP %b;branch=%b;rport" % (own, self.branch(mark)),
            b"Max-Forwards: 70",
            b"From: <sip:caller@%b>;tag=%b" % (host_port(self.proxy).encode(), self.token),
            b"To: " + to,
            b"Call-ID: " + self.call_id,
            b"CSeq: %d %b" % (cseq, method),
            *fields,
            b"Content-Length: %d" % len(body),
        )
        return b"\r\n".join((*head, b"", body))


@attrs.frozen(kw_only=True)
class Dialog:
    """A call that has been answered: where its later requests go."""

    call: Call
    target: bytes
    routes: tuple[bytes, ...]
    to: bytes

    @property
    def next_hop(self) -> Address:
        """The numeric address that requests are sent to: the first Route's, else the target's; raises SipError."""
        uri = parse_uri(self.routes[0] if self.routes else self.target)
        host = numeric(uri.host)
        if host is None:
            raise SipError("A next hop by name")
        return host, uri.port or uri.default_port

    @property
    def answered_by(self) -> Address | None:
        """The address in the other side's Contact; None for a name."""
        uri = parse_uri(self.target)
        host = numeric(uri.host)
        return None if host is None else (host, uri.port or uri.default_port)

    def acknowledge(self) -> bytes:
        return self._request(b"ACK", 1, b"a")

    def bye(self) -> bytes:
        return self._request(b"BYE", 2, b"b")

    def _request(self, method: bytes, cseq: int, mark: bytes) -> bytes:
        routes = [b"Route: <" + uri + b">" for uri in self.routes]
        return self.call._request(method, self.target, cseq, mark, self.to, *routes)  # noqa: SLF001 - same module
