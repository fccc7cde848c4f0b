"""Does a Kamailio with a test's own configuration start, answer and say why when it cannot?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.kamailio import Kamailio
from tests.peers.ports import free_port
from tests.peers.program import PeerError
from tests.peers.sipsak import sipsak

pytestmark = pytest.mark.peers


def test_kamailio_answers_as_configured(tmp_path: Path) -> None:
    port = free_port()
    route = 'request_route { sl_send_reply("200", "As configured"); }\n'
    with Kamailio(route, listen=[("127.0.0.1", port)], modules=["sl"], directory=tmp_path) as kamailio:
        answered = sipsak("-vv", "-s", f"sip:s@127.0.0.1:{port}")
        pid = kamailio.pid
    assert answered.code == 0, answered.output
    assert "200 As configured" in answered.output
    assert not Path(f"/proc/{pid}").exists()


def test_a_wrong_configuration_is_told_with_kamailios_own_words(tmp_path: Path) -> None:
    kamailio = Kamailio("request_route { nonsense }\n", listen=[("127.0.0.1", free_port())], directory=tmp_path)
    with pytest.raises(PeerError, match="syntax error"), kamailio:
        pass
