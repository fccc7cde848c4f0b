"""What do the callers and the servers of these tests say?  SIPp scenarios, one for each kind of call.

The kind is the beginning of the called user (`busy-17`), by which the one server scenario knows what to do.  Requests
inside the dialog take their target from Contact and their way from Record-Route, as RFC 3261 12.2.1.1 has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

LATE_MS: Final = 700
"""Longer than T1 (500 ms) and shorter than 3 T1: who waits has sent its message once more by then."""
TALK_MS: Final = 300
"""How long a call lasts when nobody says how long."""
TIMEWAIT_MS: Final = 5000
"""How long a call that is over still takes retransmissions in."""

_SDP = """\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=test 1 1 IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_EMPTY = "Content-Length: 0\n"

# Where the other end must not be sought: the caller is behind a NAT, this address of the server is in no list.  Only by
# the proxy's Record-Route do the requests of the dialog find their way.
_CALLERS_CONTACT = "Contact: <sip:caller-[call_number]@10.0.0.1:5060>\n"
_UNLISTED_CONTACT = "Contact: <sip:server@192.0.2.99:5060>\n"


@attrs.frozen
class Kind:
    """A kind of call: what the caller does, and all that each end hears (`1 INVITE`, `180 1 INVITE`).

    Each of these comes, perhaps several times, and nothing else does.
    """

    caller: str
    server_hears: frozenset[str]
    caller_hears: frozenset[str]


def write_caller(kind: str, directory: Path) -> Path:
    """The file with the caller's scenario."""
    return _write(directory / f"{kind}.xml", KINDS[kind].caller)


def write_server(directory: Path) -> Path:
    """The file with the server's scenario, which knows all kinds."""
    return _write(directory / "server.xml", _SERVER)


def _write(file: Path, steps: str) -> Path:
    if file.exists():  # a SIPp that was just started may be reading it
        return file
    file.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="{file.stem}">\n{steps}</scenario>\n'
    )
    return file


# --------------------------------------------------------------------------------------------------------------------
# Steps


def _send(text: str, attributes: str = "") -> str:
    # SIPp turns line ends into CRLF and drops the empty lines around the message, but for one that ends the headers.
    ending = "" if "[len]" in text else "\n"
    return f"<send {attributes}><![CDATA[\n\n{text}{ending}]]></send>\n"


def _receive(what: str, attributes: str = "") -> str:
    key = "response" if what.isdecimal() else "request"
    return f'<recv {key}="{what}" {attributes}/>\n'


_TALK = "<pause/>\n"
"""For as long as SIPp is told to with -d."""


def _pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>\n'


_AGAIN = 'retrans="500"'
"""Sent again after T1, 2 T1 and so on until the next message comes."""


def _ask(text: str, name: str) -> str:
    """A request of the caller that begins a transaction, by which its answers are known."""
    return _send(text, f'{_AGAIN} start_txn="{name}"')


def _hear(code: str, name: str, attributes: str = "") -> str:
    """An answer in the transaction: without it SIPp takes an INVITE's second 200 for that of the BYE."""
    return _receive(code, f'response_txn="{name}" {attributes}')


def _acknowledge(text: str, name: str = "invite") -> str:
    """The ACK of a transaction; it goes out again whenever the answer comes again."""
    return _send(text, f'ack_txn="{name}"')


def _invite(kind: str) -> str:
    return (
        f"INVITE sip:{kind}-[call_number]@[remote_ip]:[remote_port] SIP/2.0\n"
        + _from_caller(kind, "1 INVITE", to_tag="")
        + _CALLERS_CONTACT
        + _SDP
    )


def _cancel(kind: str) -> str:
    return (
        f"CANCEL sip:{kind}-[call_number]@[remote_ip]:[remote_port] SIP/2.0\n"
        + _from_caller(kind, "1 CANCEL", branch="1", to_tag="")
        + _EMPTY
    )


def _ack_of_failure(kind: str) -> str:
    """The ACK of a non-2xx answer has its INVITE's branch and Request-URI, and no Route (RFC 3261 17.1.1.3)."""
    return (
        f"ACK sip:{kind}-[call_number]@[remote_ip]:[remote_port] SIP/2.0\n"
        + _from_caller(kind, "1 ACK", branch="1")
        + _EMPTY
    )


def _within(kind: str, cseq: str, body: str = _EMPTY) -> str:
    """A request of the caller inside the dialog."""
    method = cseq.split()[1]
    contact = _CALLERS_CONTACT if method == "INVITE" else ""
    head = _from_caller(kind, cseq, branch=cseq.replace(" ", ""), routes="[routes]\n")
    return f"{method} [next_url] SIP/2.0\n{head}{contact}{body}"


def _from_caller(kind: str, cseq: str, *, branch: str = "1", routes: str = "", to_tag: str = "[peer_tag_param]") -> str:
    return (
        f"Via: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK-[call_id]-{branch}\n{routes}Max-Forwards: 70\n"
        "From: <sip:caller-[call_number]@[local_ip]:[local_port]>;tag=[pid]-[call_number]\n"
        f"To: <sip:{kind}-[call_number]@[remote_ip]:[remote_port]>{to_tag}\n"
        f"Call-ID: [call_id]\nCSeq: {cseq}\n"
    )


def _answer(
    status: str,
    body: str = _EMPTY,
    *,
    tag: str = "",
    cseq: str = "[last_CSeq:]",
    contact: str = "Contact: <sip:[local_ip]:[local_port]>\n",
) -> str:
    if status[0] > "2":
        contact = ""
    return (
        f"SIP/2.0 {status}\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n{cseq}\n"
        + contact
        + body
    )


# --------------------------------------------------------------------------------------------------------------------
# Callers


def _answered(kind: str, between: str = _TALK, provisional: str = "180") -> str:
    """INVITE to ACK, then `between`, then BYE."""
    return _up(kind, provisional) + _acknowledge(_within(kind, "1 ACK")) + between + _bye(kind)


def _up(kind: str, provisional: str = "180") -> str:
    return _ask(_invite(kind), "invite") + _hear(provisional, "invite") + _hear("200", "invite", 'rrs="true"')


def _bye(kind: str) -> str:
    return _ask(_within(kind, "9 BYE"), "bye") + _hear("200", "bye")


def _resent() -> str:
    """The server lets INVITE and BYE wait for longer than T1, so that each comes again, as if its answer was lost."""
    answered = _hear("200", "invite", 'rrs="true"') + _acknowledge(_within("resent", "1 ACK")) + _TALK
    return _ask(_invite("resent"), "invite") + answered + _bye("resent")


def _cancelled() -> str:
    return (
        _ask(_invite("cancelled"), "invite")
        + _hear("180", "invite")
        + _TALK
        + _ask(_cancel("cancelled"), "cancel")
        + _hear("200", "cancel")
        + _hear("487", "invite")
        + _acknowledge(_ack_of_failure("cancelled"))
    )


def _busy() -> str:
    return _ask(_invite("busy"), "invite") + _hear("486", "invite") + _acknowledge(_ack_of_failure("busy"))


def _hung_up() -> str:
    answer = _answer("200 OK")
    return _up("hungup") + _acknowledge(_within("hungup", "1 ACK")) + _receive("BYE") + _send(answer)


def _again() -> str:
    """A re-INVITE, as for hold."""
    between = (
        _ask(_within("again", "2 INVITE", _SDP), "again")
        + _hear("200", "again")
        + _acknowledge(_within("again", "2 ACK"), "again")
        + _TALK
    )
    return _answered("again", _TALK + between)


def _slow() -> str:
    """The first 200 counts as lost: the ACK waits until the server has sent it again."""
    up = _up("slow") + _pause(LATE_MS)
    return up + _acknowledge(_within("slow", "1 ACK")) + _TALK + _bye("slow")


def _kind(caller: str, server_hears: str, caller_hears: str) -> Kind:
    return Kind(caller, frozenset(server_hears.split(", ")), frozenset(caller_hears.split(", ")))


_CALL = "1 INVITE, 1 ACK, 9 BYE"
_ANSWERS = "200 1 INVITE, 200 9 BYE"

KINDS: Final = {
    "plain": _kind(_answered("plain"), _CALL, f"180 1 INVITE, {_ANSWERS}"),
    "resent": _kind(_resent(), _CALL, _ANSWERS),
    "cancelled": _kind(_cancelled(), "1 INVITE, 1 CANCEL, 1 ACK", "180 1 INVITE, 200 1 CANCEL, 487 1 INVITE"),
    "busy": _kind(_busy(), "1 INVITE, 1 ACK", "486 1 INVITE"),
    "again": _kind(_again(), f"{_CALL}, 2 INVITE, 2 ACK", f"180 1 INVITE, 200 2 INVITE, {_ANSWERS}"),
    "early": _kind(_answered("early", provisional="183"), _CALL, f"183 1 INVITE, {_ANSWERS}"),
    "slow": _kind(_slow(), _CALL, f"180 1 INVITE, {_ANSWERS}"),
    "hungup": _kind(_hung_up(), "1 INVITE, 1 ACK, 200 1 BYE", "180 1 INVITE, 200 1 INVITE, 1 BYE"),
}


# --------------------------------------------------------------------------------------------------------------------
# The server


_TAG = ";tag=[pid]s[call_number]"

_BYE_OF_SERVER = (
    "BYE [next_url] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-bye\n"
    "[routes]\nMax-Forwards: 70\nFrom:[$own]\nTo:[$peer]\nCall-ID: [call_id]\nCSeq: 1 BYE\n" + _EMPTY
)


def _captured(variable: str, header: str, pattern: str = ".*") -> str:
    return f'<ereg regexp="{pattern}" search_in="hdr" header="{header}:" check_it="false" assign_to="{variable}"/>\n'


def _flow(kind: str, *steps: str) -> str:
    """What the server does for a kind, up to the end of the call.

    After an ACK comes a `recv` at once: SIPp reads all that has arrived before it takes the next step, and a request
    that finds it at any other step is unexpected.
    """
    over = '<nop next="over"/>\n'
    return f'<label id="{kind}"/>\n' + "".join(steps) + over


def _accept(
    provisional: str = "180 Ringing",
    ack: str = _receive("ACK"),
    contact: str = "Contact: <sip:[local_ip]:[local_port]>\n",
) -> str:
    """Ring and answer."""
    body = _EMPTY if provisional.startswith("180") else _SDP
    ringing = _send(_answer(provisional, body, tag=_TAG, contact=contact))
    return ringing + _send(_answer("200 OK", _SDP, tag=_TAG, contact=contact), _AGAIN) + ack


_OK = _send(_answer("200 OK"))
_CAPTURING_ACK = f'<recv request="ACK"><action>{_captured("own", "To")}</action></recv>\n'

_FLOWS = {
    "plain": _flow("plain", _accept(), _receive("BYE"), _OK),
    "early": _flow("early", _accept("183 Session Progress"), _receive("BYE"), _OK),
    "again": _flow(
        "again",
        _accept(contact=_UNLISTED_CONTACT),
        *(_receive("INVITE"), _send(_answer("200 OK", _SDP, contact=_UNLISTED_CONTACT), _AGAIN), _receive("ACK")),
        *(_receive("BYE"), _OK),
    ),
    "resent": _flow(
        "resent",
        *(_pause(LATE_MS), _send(_answer("200 OK", _SDP, tag=_TAG), _AGAIN), _receive("ACK")),
        *(_receive("BYE"), _pause(LATE_MS), _OK),
    ),
    "cancelled": _flow(
        "cancelled",
        _send(_answer("180 Ringing", tag=_TAG)),
        _receive("CANCEL"),
        _send(_answer("200 OK", tag=_TAG)),
        _send(_answer("487 Request Terminated", tag=_TAG, cseq="CSeq: 1 INVITE"), _AGAIN),
        _receive("ACK"),
    ),
    "busy": _flow("busy", _send(_answer("486 Busy Here", tag=_TAG), _AGAIN), _receive("ACK")),
    "hungup": _flow(
        "hungup",
        _accept(ack=_CAPTURING_ACK, contact=_UNLISTED_CONTACT),
        *(_pause(LATE_MS), _send(_BYE_OF_SERVER, _AGAIN), _receive("200")),
    ),
}
"""Whatever has no flow of its own gets that of `plain`."""

_SERVER = (
    '<recv request="INVITE" rrs="true"><action>\n'
    + "".join(_captured(kind, "To", f"sip:{kind}-") for kind in _FLOWS)
    + _captured("peer", "From")
    + "</action></recv>\n"
    + "".join(f'<nop next="{kind}" test="{kind}"/>\n' for kind in _FLOWS)
    + "".join(_FLOWS.values())
    + '<label id="over"/>\n'
    + f'<timewait milliseconds="{TIMEWAIT_MS}"/>\n'
)
