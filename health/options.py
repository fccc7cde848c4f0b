"""What does a probe say, and is this the answer to it (RFC 3261 11, 17.1.3 and 8.1.3)?

A reply counts only when everything in it that we made up is ours: branch, Call-ID, CSeq and From tag.  A forged or a
late one would keep a dead server in the list, or throw a live one out.
"""

from __future__ import annotations

import enum
import re

import attrs

from sip.address import tag_of
from sip.errors import SipError
from sip.message import SINGLE, Message
from sip.names import canonical
from sip.request import fit_body, read_call_id, read_cseq, read_uri
from sip.uri import Address, host_port
from sip.via import parse_via, vias

RANDOM_BYTES = 16
"""For one identity: nobody who does not see the probe can answer it."""

MAX_FORWARDS = 70
"""RFC 3261 8.1.1.6."""

USER_AGENT = b"sipdispatch"

OURS = frozenset((b"via", b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"content-length"))
"""Fields that a caller of `compose_options` cannot add: they have arguments of their own, or are made here."""


_METHOD = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")
_LINE_END = re.compile(rb"[\r\n\x00]")


@attrs.frozen
class Identity:
    """What a probe is known by; replies show it again."""

    branch: bytes
    """With the magic cookie."""
    call_id: bytes
    cseq: int
    from_tag: bytes

    def next_request(self) -> Identity:
        """The one of the next request of the same call, as after a challenge (RFC 3261 22.2)."""
        cseq = self.cseq + 1
        return attrs.evolve(self, cseq=cseq, branch=self.branch.partition(b".")[0] + b".%d" % cseq)


@attrs.frozen(kw_only=True)
class Question:
    """What a probe asks and how, where it is not a plain OPTIONS."""

    method: bytes = b"OPTIONS"
    to_uri: str | None = None
    """None: the Request-URI."""
    max_forwards: int = MAX_FORWARDS
    user_agent: bytes = USER_AGENT
    fields: tuple[bytes, ...] = ()
    """Further header fields without line end; a Contact, Accept or User-Agent among them replaces ours."""
    body: bytes = b""


OPTIONS = Question()


@attrs.frozen
class Answer:
    """A reply to the probe, provisional or final."""

    status: int
    reason: str
    """The phrase as the server wrote it; control characters are possible."""
    server: str
    """What the server says it is (Server, else User-Agent), "" when it does not."""
    message: Message

    @property
    def provisional(self) -> bool:
        """Whether a final answer is still to come."""
        return self.status < 200


class Mismatch(enum.Enum):
    """Why a SIP message is not the answer to the probe."""

    REQUEST = "a request, not a reply"
    REPEATED = "a field stands twice that may stand once"
    VIA = "not exactly one Via"
    BRANCH = "another branch"
    CALL_ID = "another Call-ID"
    CSEQ = "another CSeq"
    FROM_TAG = "another From tag"


@attrs.frozen
class Stray:
    """A SIP message that answers something else."""

    mismatch: Mismatch


def identity_of(random: bytes) -> Identity:
    """The identity that RANDOM_BYTES bytes of chance stand for; its first CSeq is 1."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an identity takes {RANDOM_BYTES} random bytes, not {len(random)}")
    text = random.hex().encode()
    return Identity(branch=b"z9hG4bK" + text, call_id=text, cseq=1, from_tag=text[:16])


def compose_options(
    *,
    uri: str,
    source: Address,
    from_uri: str,
    identity: Identity,
    transport: str = "UDP",
    question: Question = OPTIONS,
) -> bytes:
    """The bytes of a probe.

    `uri` is the Request-URI; `source` is where the probe leaves from, and the sent-by of its Via; `transport` is in
    capitals.  Raises SipError when a URI, a field or the method breaks the grammar.
    """
    if _METHOD.fullmatch(question.method) is None:
        raise SipError("Malformed method")
    if _LINE_END.search(question.user_agent):
        raise SipError("Line end in a header field")
    request_uri = _checked(uri)
    caller = _checked(from_uri)
    sent_by = host_port(source).encode()
    flow = b"" if transport == "UDP" else b";transport=" + transport.lower().encode()
    optional = {
        b"contact": b"Contact: <sip:" + sent_by + flow + b">",
        b"accept": b"Accept: application/sdp",
        b"user-agent": b"User-Agent: " + question.user_agent,
    }
    if question.method == b"REGISTER":
        del optional[b"contact"]  # a probe asks what is registered, it does not add itself (RFC 3261 10.2.3)
    for field in question.fields:
        optional.pop(_name_of(field), None)
    lines = [
        question.method + b" " + request_uri + b" SIP/2.0",
        b"Via: SIP/2.0/" + transport.encode() + b" " + sent_by + b";branch=" + identity.branch + b";rport",
        b"Max-Forwards: %d" % question.max_forwards,
        b"From: <" + caller + b">;tag=" + identity.from_tag,
        b"To: <" + (request_uri if question.to_uri is None else _checked(question.to_uri)) + b">",
        b"Call-ID: " + identity.call_id,
        b"CSeq: %d %s" % (identity.cseq, question.method),
        *optional.values(),
        *question.fields,
        b"Content-Length: %d" % len(question.body),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + question.body


def match(data: bytes, identity: Identity, method: bytes = b"OPTIONS") -> Answer | Stray | None:
    """What these bytes are to the probe; None when they are no legal SIP message at all.  Never raises."""
    try:
        message = Message.parse(data)
        if message.method:
            return Stray(Mismatch.REQUEST)
        mismatch = _mismatch(message, identity, method)
        if mismatch is not None:
            return Stray(mismatch)
        fit_body(message)
    except SipError:
        return None
    phrase = message.start.partition(b" ")[2].partition(b" ")[2]
    server = message.value(b"server") or message.value(b"user-agent") or b""
    return Answer(message.status, phrase.decode("utf-8", "replace"), server.decode("utf-8", "replace"), message)


def _mismatch(message: Message, identity: Identity, method: bytes) -> Mismatch | None:
    """The first thing in a reply that is not ours; raises SipError when it cannot be read."""
    if not message.repeated.isdisjoint(SINGLE):
        return Mismatch.REPEATED
    passed = vias(message)
    if len(passed) != 1:
        return Mismatch.VIA
    if parse_via(passed[0]).branch != identity.branch:
        return Mismatch.BRANCH
    if read_call_id(message) != identity.call_id:
        return Mismatch.CALL_ID
    if read_cseq(message) != (identity.cseq, method):
        return Mismatch.CSEQ
    if tag_of(message.first.get(b"from", b"")) != identity.from_tag:
        return Mismatch.FROM_TAG
    return None


def _checked(uri: str) -> bytes:
    text = uri.encode("utf-8", "surrogateescape")
    read_uri(text)
    return text


def _name_of(field: bytes) -> bytes:
    """The name of a field that may be added; raises SipError."""
    if _LINE_END.search(field):
        raise SipError("Line end in a header field")
    name = canonical(field.partition(b":")[0], field)
    if name in OURS:
        raise SipError("Header field that the probe makes itself")
    return name
