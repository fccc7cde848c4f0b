"""A name points to one address: the first of the wanted family, kept for its time to live."""

from __future__ import annotations

import pytest
import trio

from dispatcher.names import Answer, Failure, FailureKind, Lookup, Srv
from health.probe import NoAddressError
from sipdispatch.probe_names import Names, load_dns

V4, V4_NEXT, V6 = ("192.0.2.1", 5060), ("192.0.2.2", 5060), ("2001:db8::1", 5060)


class Table:
    """A name source that is asked and remembers it."""

    def __init__(self, answer: Answer | Failure) -> None:
        self.answer = answer
        self.asked: list[Lookup] = []

    async def ask(self, asked: Lookup) -> Answer | Failure:
        await trio.lowlevel.checkpoint()
        self.asked.append(asked)
        return self.answer


def names(answer: Answer | Failure, *, family: int | None = None, srv_only: bool = False) -> tuple[Names, Table]:
    table = Table(answer)
    return Names(timeout_s=1.0, family=family, srv_only=srv_only, source=table), table


@pytest.mark.parametrize(("family", "address"), [(None, V4), (4, V4), (6, V6)])
async def test_the_first_address_of_the_family(family: int | None, address: tuple[str, int]) -> None:
    found, table = names(Answer(addresses=(V4, V4_NEXT, V6)), family=family)
    assert await found.find("PBX.example.com.", None, "udp") == address
    assert table.asked == [Lookup("pbx.example.com", None, "udp")]


async def test_an_answer_is_kept_for_its_time_to_live(autojump_clock: trio.testing.MockClock) -> None:
    found, table = names(Answer(addresses=(V4,), ttl_s=30.0))
    await found.find("pbx", None, "udp")
    await trio.sleep(29.9)
    assert await found.find("pbx", None, "udp") == V4
    assert len(table.asked) == 1
    await found.find("pbx", None, "tcp")
    await trio.sleep(0.2)
    table.answer = Answer(addresses=(V4_NEXT,))
    assert await found.find("pbx", None, "udp") == V4_NEXT
    assert len(table.asked) == 3


async def test_why_there_is_none() -> None:
    found, table = names(Failure(FailureKind.NO_SUCH_NAME))
    with pytest.raises(NoAddressError, match="the DNS does not know the name"):
        await found.find("pbx", None, "udp")
    table.answer = Failure(FailureKind.SERVER_FAILURE, "SERVFAIL")
    with pytest.raises(NoAddressError, match=r"error \(SERVFAIL\)$"):
        await found.find("pbx", None, "udp")
    assert len(table.asked) == 2


async def test_a_family_that_is_not_there() -> None:
    found, _ = names(Answer(addresses=(V4,)), family=6)
    for host in ("pbx", "192.0.2.1"):
        with pytest.raises(NoAddressError, match="it has no IPv6 address"):
            await found.find(host, None, "udp")


async def test_srv_records_can_be_demanded() -> None:
    found, table = names(Answer(addresses=(V4,)), srv_only=True)
    with pytest.raises(NoAddressError, match="no SRV record"):
        await found.find("pbx", None, "udp")
    table.answer = Answer(addresses=(V4,), srv=(Srv(1, 1, 5060, "a.pbx"),))
    assert await found.find("pbx", None, "udp") == V4
    assert await found.find("192.0.2.7", None, "udp") == ("192.0.2.7", 5060)


def test_the_library_is_loaded_ahead() -> None:
    load_dns()
    load_dns()
