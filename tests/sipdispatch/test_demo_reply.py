"""What does the demo's answerer say about audio?"""

from __future__ import annotations

import pytest

from sipdispatch.demo_reply import silent_answer

OFFER = "v=0\r\no=- 5 5 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
HEAD = ["v=0", "o=- 1 1 IN IP4 127.0.0.2", "s=-", "c=IN IP4 127.0.0.2", "t=0 0"]


@pytest.mark.parametrize(
    ("offer", "media"),
    [
        ("m=audio 4000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\n", ["m=audio 9 RTP/AVP 8", "a=inactive"]),
        ("m=audio 4000 RTP/AVPF 8\n", ["m=audio 9 RTP/AVPF 8", "a=inactive"]),
        ("m=audio 4000 RTP/SAVP 8\r\n", ["m=audio 0 RTP/SAVP 8"]),
        ("m=audio 0 RTP/AVP 8\r\n", ["m=audio 0 RTP/AVP 8"]),
        (
            "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 96\r\n",
            ["m=audio 9 RTP/AVP 0", "a=inactive", "m=video 0 RTP/AVP 96"],
        ),
        ("m=audio\r\n", ["m=audio 9 RTP/AVP 0", "a=inactive"]),
    ],
)
def test_every_stream_of_the_offer_has_its_answer(offer: str, media: list[str]) -> None:
    assert silent_answer((OFFER + offer).encode(), "127.0.0.2").decode().splitlines() == HEAD + media


def test_without_an_offer_it_makes_one() -> None:
    answer = silent_answer(b"", "127.0.0.2").decode()
    assert answer.splitlines() == [*HEAD, "m=audio 9 RTP/AVP 0", "a=inactive"]
    assert answer.endswith("\r\n")
