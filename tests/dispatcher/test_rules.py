"""Does the first matching rule decide, and do ACK and CANCEL follow their INVITE?"""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.rules import Rule, first_match
from dispatcher.user_pattern import USER_LENGTH_LIMIT, compile_user_pattern

LISTENER = "udp:192.0.2.10:5060"


def matched(
    *rules: Rule,
    method: bytes = b"INVITE",
    user: bytes | None = b"8005",
    host: str = "example.com",
    source: str = "198.51.100.7",
    listener: str = LISTENER,
) -> Rule | None:
    return first_match(rules, method=method, user=user, host=host, source=source, listener=listener)


def test_no_rules_match_nothing() -> None:
    assert matched() is None


def test_a_rule_without_conditions_matches_everything() -> None:
    rule = Rule(set_id=2)
    assert rule.is_unconditional()
    assert matched(rule) is rule
    assert matched(rule, user=None, host="", source="2001:db8::1") is rule


def test_the_first_match_wins() -> None:
    first = Rule(user_prefixes=(b"9",), set_id=9)
    second = Rule(user_prefixes=(b"8",), set_id=8)
    third = Rule(algorithm=Algorithm(Kind.AOR))
    assert matched(first, second, third) is second
    assert matched(first, second, third, user=b"70") is third


def test_every_condition_must_hold() -> None:
    rule = Rule(
        methods=frozenset((b"INVITE", b"REGISTER")),
        user_prefixes=(b"80", b"+49"),
        user_regex=compile_user_pattern("5$"),
        hosts=frozenset(("example.com",)),
        sources=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")),
        listeners=frozenset((LISTENER,)),
        set_id=2,
    )
    assert not rule.is_unconditional()
    assert matched(rule) is rule
    assert matched(rule, source="2001:db8:1::7") is rule
    assert matched(rule, user=b"+495") is rule
    assert matched(rule, method=b"OPTIONS") is None
    assert matched(rule, user=b"9005") is None
    assert matched(rule, user=None) is None
    assert matched(rule, user=b"8006") is None
    assert matched(rule, host="example.org") is None
    assert matched(rule, source="198.51.101.0") is None
    assert matched(rule, source="198.51.99.255") is None
    assert matched(rule, source="2001:db9::") is None
    assert matched(rule, listener="udp:192.0.2.11:5060") is None


@pytest.mark.parametrize(
    "condition",
    [
        {"methods": frozenset((b"BYE",))},
        {"user_prefixes": (b"8",)},
        {"user_regex": compile_user_pattern("8")},
        {"hosts": frozenset(("example.com",))},
        {"sources": (ip_network("0.0.0.0/0"),)},
        {"listeners": frozenset((LISTENER,))},
    ],
)
def test_one_condition_is_a_condition(condition: dict[str, object]) -> None:
    assert not Rule(**condition).is_unconditional()  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["198.51.100.0", "198.51.100.255", "2001:db8::", "2001:db8:ffff::1"])
def test_a_network_has_its_first_and_its_last_address(source: str) -> None:
    rule = Rule(sources=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")))
    assert matched(rule, source=source) is rule


def test_an_ipv4_network_never_holds_an_ipv6_source() -> None:
    assert matched(Rule(sources=(ip_network("0.0.0.0/0"),)), source="::1") is None
    assert matched(Rule(sources=(ip_network("::/0"),)), source="10.0.0.1") is None


@pytest.mark.parametrize("method", [b"ACK", b"CANCEL"])
def test_ack_and_cancel_match_as_their_invite(method: bytes) -> None:
    invites = Rule(methods=frozenset((b"INVITE",)), set_id=1)
    others = Rule(set_id=2)
    assert matched(invites, others, method=method) is invites
    assert matched(invites, others, method=b"BYE") is others


@given(
    rules=st.lists(
        st.builds(
            Rule,
            methods=st.frozensets(st.sampled_from((b"INVITE", b"REGISTER", b"BYE")), max_size=2),
            user_prefixes=st.lists(st.sampled_from((b"8", b"80", b"+")), max_size=2).map(tuple),
            hosts=st.frozensets(st.sampled_from(("a", "b")), max_size=1),
        ),
        max_size=5,
    ),
    user=st.none() | st.sampled_from((b"8005", b"%380", b"+49;x=1", b"9")),
    host=st.sampled_from(("a", "b", "")),
)
def test_a_transaction_has_one_rule_whatever_its_method(rules: list[Rule], user: bytes | None, host: str) -> None:
    invite, ack, cancel = (matched(*rules, method=m, user=user, host=host) for m in (b"INVITE", b"ACK", b"CANCEL"))
    assert invite is ack is cancel


@pytest.mark.parametrize(
    ("user", "found"),
    [(b"%2B49", True), (b"+49;phone-context=example.com", True), (b"0%3B", False), (b"%2b49", True), (b"", False)],
)
def test_users_are_compared_unescaped_and_without_parameters(user: bytes, *, found: bool) -> None:
    for rule in (Rule(user_prefixes=(b"+4",)), Rule(user_regex=compile_user_pattern(r"^\+49$"))):
        assert (matched(rule, user=user) is rule) is found


def test_a_semicolon_that_is_escaped_belongs_to_the_user() -> None:
    rule = Rule(user_prefixes=(b"a;b",))
    assert matched(rule, user=b"a%3Bb") is rule
    assert matched(rule, user=b"a;b") is None


def test_a_user_that_is_not_utf_8_is_no_reason_to_fail() -> None:
    rule = Rule(user_regex=compile_user_pattern("^a.b"))
    assert matched(rule, user=b"a\xffb") is rule


def test_a_user_that_is_too_long_matches_no_pattern() -> None:
    rule = Rule(user_regex=compile_user_pattern("^a"))
    assert matched(rule, user=b"a" * USER_LENGTH_LIMIT) is rule
    assert matched(rule, user=b"a" * (USER_LENGTH_LIMIT + 1)) is None


def test_equal_rules_are_equal() -> None:
    assert Rule(sources=(ip_network("10.0.0.0/8"),)) == Rule(sources=(ip_network("10.0.0.0/8"),))
    assert "_source_ranges" not in repr(Rule())
