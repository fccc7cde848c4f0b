"""How does a carrier call and answer?  SIPp scenarios with the route set of RFC 3261 12, and the sound sent back."""

from __future__ import annotations

from pathlib import Path

from tests.peers.namespace import Namespace
from tests.peers.sipp import Sipp

TALK_MS = 500
MEDIA_PORT = 16000

_SDP = """\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=carrier 1 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_HEAD = """\
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
{routes}Max-Forwards: 70
From: <sip:+4930123456@[local_ip]>;tag=[pid]-[call_number]
To: <sip:{user}@[remote_ip]>{to_tag}
Call-ID: [call_id]
CSeq: {cseq}
"""
_SAME = "[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n"
_TAG = ";tag=[pid]c[call_number]"
_CONTACT = "Contact: <sip:carrier@[local_ip]:[local_port]>\n"


def answering(host: Namespace, address: str, directory: Path) -> Sipp:
    """A carrier that takes each call and echoes its sound."""
    steps = [
        '<recv request="INVITE" rrs="true"/>',
        _send("SIP/2.0 180 Ringing\n" + _SAME.format(tag=_TAG) + _CONTACT + "Content-Length: 0\n"),
        _send("SIP/2.0 200 OK\n" + _SAME.format(tag=_TAG) + _CONTACT + _SDP, 'retrans="500"'),
        '<recv request="ACK"/>',
        '<recv request="BYE"/>',
        _send("SIP/2.0 200 OK\n" + _SAME.format(tag="") + "Content-Length: 0\n"),
    ]
    return _sipp("carrier-answers", steps, host, address, directory, port=5060)


def calling(host: Namespace, address: str, directory: Path, *, proxy: str, user: str) -> Sipp:
    """A carrier that calls `user` once at the proxy, talks for half a second and hangs up."""

    def head(cseq: str, *, inside: bool = True) -> str:
        within = {"routes": "[routes]\n", "to_tag": "[peer_tag_param]"} if inside else {"routes": "", "to_tag": ""}
        return _HEAD.format(user=user, cseq=cseq, **within)

    steps = [
        _send(
            f"INVITE sip:{user}@[remote_ip] SIP/2.0\n" + head("1 INVITE", inside=False) + _CONTACT + _SDP,
            'retrans="500"',
        ),
        '<recv response="100" optional="true"/>',
        '<recv response="180"/>',
        '<recv response="200" rrs="true"/>',
        _send("ACK [next_url] SIP/2.0\n" + head("1 ACK") + "Content-Length: 0\n"),
        f'<pause milliseconds="{TALK_MS}"/>',
        _send("BYE [next_url] SIP/2.0\n" + head("2 BYE") + "Content-Length: 0\n", 'retrans="500"'),
        '<recv response="200"/>',
    ]
    return _sipp("carrier-calls", steps, host, address, directory, port=5062, target=(proxy, 5060))


def _send(text: str, attributes: str = "") -> str:
    # SIPp drops the last line end of a message that ends with a header.
    ending = "" if "[len]" in text else "\n"
    return f"<send {attributes}><![CDATA[\n\n{text}{ending}]]></send>"


def _sipp(
    name: str,
    steps: list[str],
    host: Namespace,
    address: str,
    directory: Path,
    *,
    port: int,
    target: tuple[str, int] | None = None,
) -> Sipp:
    file = directory / f"{name}.xml"
    file.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="{name}">\n' + "\n".join(steps) + "\n</scenario>\n"
    )
    media = MEDIA_PORT + port % 1000
    options = ["-m", "1", "-mi", address, "-mp", str(media), "-rtp_echo", "-trace_msg"]
    options += ["-message_file", str(directory / f"{name}.messages")]
    return Sipp(
        file, address=address, port=port, target=target, options=options, directory=directory, name=name, namespace=host
    )
