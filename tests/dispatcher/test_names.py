"""From names and answers to destinations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.destination import Entry
from dispatcher.names import (
    MAX_ADDRESSES,
    MAX_TARGETS,
    Answer,
    Failure,
    FailureKind,
    Found,
    Lookup,
    Srv,
    answer_from,
    answer_from_srv,
    bounded_ttl,
    can_be_sent_to,
    expand,
    lookup,
    lookup_of,
    ordered,
)
from sip.uri import parse_uri

PBX = lookup("pbx.example", None, "udp")
PBX_5062 = lookup("pbx.example", 5062, "udp")


def entry(uri: str, *, set_id: int = 1, line: int = 1) -> Entry:
    return Entry(set_id=set_id, uri=uri, target=parse_uri(uri.encode()), line=line)


@pytest.mark.parametrize(
    ("host", "port", "transport", "expected"),
    [
        ("PBX.Example.", None, "UDP", Lookup("pbx.example", None, "udp")),
        ("192.0.2.1", 5062, "udp", Lookup("192.0.2.1", 5062, "udp")),
        ("2001:DB8:0::1", None, "udp", Lookup("2001:db8::1", None, "udp")),
        ("192.0.2.256", None, "udp", Lookup("192.0.2.256", None, "udp")),
    ],
)
def test_equal_questions_are_spelled_alike(host: str, port: int | None, transport: str, expected: Lookup) -> None:
    assert lookup(host, port, transport) == expected


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        (lookup("192.0.2.1", None, "udp"), ("192.0.2.1", 5060)),
        (lookup("192.0.2.1", 5062, "udp"), ("192.0.2.1", 5062)),
        (lookup("2001:db8::1", None, "tls"), ("2001:db8::1", 5061)),
        (lookup("192.0.2.1", None, "ws"), ("192.0.2.1", 80)),
        (lookup("192.0.2.1", None, "sctp"), ("192.0.2.1", 5060)),
        (PBX, None),
        (lookup("192.0.2.256", None, "udp"), None),
    ],
)
def test_a_numeric_host_is_its_own_answer(asked: Lookup, address: tuple[str, int] | None) -> None:
    assert asked.address == address


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (PBX, "_sip._udp.pbx.example"),
        (lookup("pbx.example", None, "tcp"), "_sip._tcp.pbx.example"),
        (lookup("pbx.example", None, "tls"), "_sips._tcp.pbx.example"),
        (lookup("pbx.example", None, "wss"), None),
        (PBX_5062, None),
    ],
)
def test_where_the_service_records_are(asked: Lookup, name: str | None) -> None:
    assert asked.srv_name("pbx.example") == name


@pytest.mark.parametrize(
    ("host", "is_name"),
    [
        ("pbx", True),
        ("pbx.example", True),
        ("_sip.pbx-1.example", True),
        ("192.0.2.256", False),
        ("pbx.5", False),
        ("7", False),
        ("a..b", False),
        ("", False),
        ("h\xe4.example", False),
        ("a b", False),
        ("2001:db8::x", False),
        ("a" * 63 + ".example", True),
        ("a" * 64 + ".example", False),
        (".".join(["a" * 61] * 4) + ".bcdef", True),
        (".".join(["a" * 61] * 4) + ".bcdefg", False),
    ],
)
def test_what_can_be_a_name(host: str, *, is_name: bool) -> None:
    assert lookup(host, None, "udp").is_name is is_name


def test_a_question_is_said_in_short() -> None:
    assert str(PBX) == "pbx.example;transport=udp"
    assert str(PBX_5062) == "pbx.example:5062;transport=udp"


@pytest.mark.parametrize(("ttl_s", "bounded"), [(0, 5), (4.9, 5), (60, 60), (86400, 3600)])
def test_nobody_makes_us_ask_all_the_time_or_never(ttl_s: float, bounded: float) -> None:
    assert bounded_ttl(ttl_s) == bounded


def test_the_order_is_by_value_whatever_the_servers_rotation() -> None:
    hosts = ["192.0.2.10", "192.0.2.9", "2001:db8::1", "10.0.0.1", "192.0.2.9"]
    rng = random.Random(1)
    seen = set()
    for _ in range(20):
        rng.shuffle(hosts)
        answer = answer_from(PBX_5062, Found(hosts=tuple(hosts), ttl_s=60))
        assert isinstance(answer, Answer)
        seen.add(answer.addresses)
    assert seen == {(("10.0.0.1", 5062), ("192.0.2.9", 5062), ("192.0.2.10", 5062), ("2001:db8::1", 5062))}


def test_without_a_port_and_service_records_the_default_port_counts() -> None:
    assert answer_from(PBX, Found(hosts=("192.0.2.1",), ttl_s=2)) == Answer(addresses=(("192.0.2.1", 5060),), ttl_s=5)


def test_service_records_are_ordered_by_priority_then_weight() -> None:
    records = [Srv(20, 9, 5060, "b"), Srv(10, 1, 5060, "c"), Srv(10, 5, 5060, "d"), Srv(10, 5, 5060, "a")]
    assert [record.target for record in ordered([*records, *records])] == ["a", "d", "c", "b"]
    assert len(ordered(Srv(1, 1, port, "a") for port in range(1, 100))) == MAX_TARGETS


def test_every_target_is_kept_with_its_port_and_the_shortest_ttl() -> None:
    records = ordered([Srv(20, 1, 5062, "backup"), Srv(10, 1, 5060, "one"), Srv(10, 1, 5061, "one")])
    found = {
        "one": Found(hosts=("192.0.2.1", "2001:db8::1"), ttl_s=50),
        "backup": Found(hosts=("192.0.2.2",), ttl_s=40),
    }
    answer = answer_from_srv(records, found, 30)
    assert answer == Answer(
        addresses=(
            ("192.0.2.1", 5060),
            ("2001:db8::1", 5060),
            ("192.0.2.1", 5061),
            ("2001:db8::1", 5061),
            ("192.0.2.2", 5062),
        ),
        ttl_s=30,
        srv=records,
    )
    longer = answer_from_srv(records, found, 60)
    assert isinstance(longer, Answer)
    assert longer.ttl_s == 40


def test_two_targets_with_one_address_are_one() -> None:
    found = {"a": Found(hosts=("192.0.2.1",)), "b": Found(hosts=("192.0.2.1",))}
    answer = answer_from_srv((Srv(1, 1, 5060, "a"), Srv(1, 1, 5060, "b")), found, 60)
    assert isinstance(answer, Answer)
    assert answer.addresses == (("192.0.2.1", 5060),)


TIMEOUT = Failure(FailureKind.TIMEOUT)
NO_NAME = Failure(FailureKind.NO_SUCH_NAME)


@pytest.mark.parametrize(
    ("records", "found", "kind"),
    [
        ((Srv(0, 0, 0, ""),), {}, FailureKind.NOT_OFFERED),
        ((Srv(0, 0, 0, "a"),), {"a": Found(hosts=("192.0.2.1",))}, FailureKind.NO_ADDRESS),
        ((Srv(0, 0, 5060, "a"),), {"a": Found()}, FailureKind.NO_ADDRESS),
        ((Srv(0, 0, 5060, "a"),), {"a": Found(failure=NO_NAME)}, FailureKind.NO_SUCH_NAME),
        (
            (Srv(0, 0, 5060, "a"), Srv(1, 0, 5060, "b")),
            {"a": Found(failure=NO_NAME), "b": Found(missing=frozenset({4, 6}), failure=TIMEOUT)},
            FailureKind.TIMEOUT,
        ),
        ((Srv(0, 0, 5060, "a"),), {"a": Found(hosts=("0.0.0.0", "::"))}, FailureKind.UNUSABLE),
    ],
)
def test_service_records_without_an_address(
    records: tuple[Srv, ...], found: dict[str, Found], kind: FailureKind
) -> None:
    assert answer_from_srv(records, found, 60) == Failure(kind)


def test_a_family_that_could_not_be_asked_is_said() -> None:
    answer = answer_from(PBX, Found(hosts=("192.0.2.1",), ttl_s=60, missing=frozenset({6}), failure=TIMEOUT))
    assert answer == Answer(
        addresses=(("192.0.2.1", 5060),), ttl_s=60, missing=frozenset({6}), failure=Failure(FailureKind.TIMEOUT)
    )


def test_an_answer_beyond_reason_is_cut() -> None:
    hosts = tuple(f"10.0.0.{number}" for number in range(1, MAX_ADDRESSES + 4))
    answer = answer_from(PBX, Found(hosts=hosts))
    assert isinstance(answer, Answer)
    assert len(answer.addresses) == MAX_ADDRESSES
    assert answer.left_out == 3


@pytest.mark.parametrize(
    ("host", "can"),
    [
        ("192.0.2.1", True),
        ("127.0.0.1", True),
        ("2001:db8::1", True),
        ("fe80::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("ff02::1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_can_be_sent_to(host: str, *, can: bool) -> None:
    assert can_be_sent_to(host) is can


def test_entries_become_destinations_in_the_order_of_the_list() -> None:
    entries = [entry("sip:192.0.2.9:5070"), entry("sip:pbx.example"), entry("sip:[2001:db8::1]")]
    answers = {PBX: Answer(addresses=(("192.0.2.1", 5060), ("192.0.2.2", 5062)))}
    destinations, problems = expand(entries, answers)
    assert problems == ()
    assert [(each.entry, each.address, each.transport) for each in destinations] == [
        (entries[0], ("192.0.2.9", 5070), "udp"),
        (entries[1], ("192.0.2.1", 5060), "udp"),
        (entries[1], ("192.0.2.2", 5062), "udp"),
        (entries[2], ("2001:db8::1", 5060), "udp"),
    ]


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({}, "it is still being looked up"),
        ({PBX: Failure(FailureKind.NO_SUCH_NAME)}, "the DNS does not know the name"),
        ({PBX: Failure(FailureKind.TIMEOUT, "detail for the log")}, "the name servers do not answer"),
    ],
)
def test_an_entry_without_an_answer_is_doubtful_and_the_others_stay(
    answers: dict[Lookup, Answer | Failure], sentence: str
) -> None:
    destinations, problems = expand(
        [entry("sip:pbx.example", line=7), entry("sip:192.0.2.1", line=8)], answers, path="dispatcher.list"
    )
    assert [each.address for each in destinations] == [("192.0.2.1", 5060)]
    (problem,) = problems
    assert (problem.path, problem.line, problem.severity) == ("dispatcher.list", 7, "warning")
    assert problem.message == f"no destination for pbx.example now: {sentence}"
    assert problem.hint == "correct the name, or write an address; it is looked up again and again"


def test_two_entries_with_one_address_keep_the_first() -> None:
    entries = [
        entry("sip:192.0.2.1", line=1),
        entry("sip:pbx.example", line=2),
        entry("sip:192.0.2.1:5060;transport=udp", line=3),
        entry("sip:192.0.2.1", line=4, set_id=2),
    ]
    answers = {PBX: Answer(addresses=(("192.0.2.1", 5060), ("192.0.2.2", 5060)))}
    destinations, problems = expand(entries, answers, path="l")
    assert [(each.entry.line, each.address[0]) for each in destinations] == [
        (1, "192.0.2.1"),
        (2, "192.0.2.2"),
        (4, "192.0.2.1"),
    ]
    assert [str(problem) for problem in problems] == [
        "l:2:1: warning: pbx.example, that is 192.0.2.1:5060, is already in set 1 by line 1; remove one of the two",
        "l:3:1: warning: 192.0.2.1:5060 is already in set 1 by line 1; remove one of the two",
    ]


def test_the_proxy_itself_is_no_destination() -> None:
    answers = {PBX: Answer(addresses=(("192.0.2.1", 5060), ("192.0.2.2", 5060)))}
    destinations, problems = expand([entry("sip:pbx.example")], answers, own={("192.0.2.1", 5060)})
    assert [each.address[0] for each in destinations] == ["192.0.2.2"]
    assert [(each.message, each.hint) for each in problems] == [
        ("pbx.example, that is 192.0.2.1:5060, is this proxy itself", "remove the line")
    ]


BOTH = Answer(addresses=(("192.0.2.1", 5060), ("2001:db8::1", 5060)))


@pytest.mark.parametrize(("family", "host"), [(4, "192.0.2.1"), (6, "2001:db8::1")])
def test_only_what_a_listener_reaches_is_a_destination(family: int, host: str) -> None:
    destinations, problems = expand([entry("sip:pbx.example")], {PBX: BOTH}, families=frozenset({family}))
    assert [each.address[0] for each in destinations] == [host]
    assert problems == ()


@pytest.mark.parametrize(("uri", "family"), [("sip:192.0.2.1", 4), ("sip:[2001:db8::1]", 6)])
def test_an_entry_that_no_listener_reaches_is_doubtful(uri: str, family: int) -> None:
    destinations, problems = expand([entry(uri)], {}, families=frozenset({4, 6}) - {family})
    assert destinations == ()
    assert [problem.message for problem in problems] == [
        f"{lookup_of(entry(uri)).host} has only IPv{family} and no listener has"
    ]
    assert problems[0].hint == f"add a listener with an IPv{family} address"


def test_a_numeric_host_that_is_no_node_is_doubtful() -> None:
    destinations, problems = expand([entry("sip:0.0.0.0")], {})
    assert destinations == ()
    assert [problem.message for problem in problems] == ["nothing can be sent to 0.0.0.0"]


def test_what_was_left_out_and_what_does_not_count_is_said() -> None:
    answer = Answer(
        addresses=(("192.0.2.1", 5060), ("192.0.2.2", 5060)),
        srv=(Srv(10, 1, 5060, "a"), Srv(20, 1, 5060, "b")),
        left_out=3,
    )
    destinations, problems = expand([entry("sip:pbx.example")], {PBX: answer})
    assert len(destinations) == 2
    assert [problem.message for problem in problems] == [
        "pbx.example has 3 addresses too many",
        "priorities or weights in the SRV records of pbx.example do not count, all its addresses are equal",
    ]
    same = Answer(addresses=answer.addresses, srv=(Srv(10, 1, 5060, "a"), Srv(10, 1, 5060, "b")))
    assert expand([entry("sip:pbx.example")], {PBX: same})[1] == ()


def test_each_failure_has_its_label_and_sentence() -> None:
    assert len({kind.label for kind in FailureKind}) == len(FailureKind)
    assert [kind for kind in FailureKind if kind.is_answer] == [
        FailureKind.NO_SUCH_NAME,
        FailureKind.NO_ADDRESS,
        FailureKind.NOT_OFFERED,
        FailureKind.UNUSABLE,
    ]


NUMERIC = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(st.lists(st.sampled_from(["a", "b", "c"])), st.lists(st.lists(NUMERIC, max_size=4), min_size=3, max_size=3))
def test_no_set_has_an_address_twice(names: list[str], hosts: list[list[str]]) -> None:
    entries = [entry(f"sip:{name}.example", line=line) for line, name in enumerate(names)]
    answers = {
        lookup(f"{name}.example", None, "udp"): answer_from(PBX, Found(hosts=tuple(found)))
        for name, found in zip("abc", hosts, strict=True)
    }
    destinations, problems = expand(entries, answers)
    addresses = [each.address for each in destinations]
    assert len(addresses) == len(set(addresses))
    assert all(can_be_sent_to(host) for host, _ in addresses)
    assert all(problem.severity == "warning" for problem in problems)
