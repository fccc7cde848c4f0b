"""Names and numbers of the algorithms, and what is said about the others."""

from __future__ import annotations

import re

import pytest

from dispatcher.algorithm import DEFAULT, NUMBERS, Algorithm, Kind, Ranking, parse_algorithm

KAMAILIO = {
    "0": "call-id",
    "1": "from",
    "2": "to",
    "3": "request-uri",
    "4": "round-robin",
    "5": "auth-user",
    "6": "random",
    "8": "priority",
    "9": "weight",
    "10": "call-load",
    "11": "relative-weight",
    "13": "latency",
    "15": "tiers",
}

EVERY_NAME = (
    "call-id, from, to, request-uri, round-robin, auth-user, random, header:NAME, priority, weight, relative-weight, "
    "tiers, aor, latency, call-load"
)


@pytest.mark.parametrize(("number", "name"), KAMAILIO.items())
def test_a_number_of_kamailios_means_the_same_as_its_name(number: str, name: str) -> None:
    assert parse_algorithm(number) == parse_algorithm(name)
    assert str(parse_algorithm(number)) == name


@pytest.mark.parametrize("text", ["header:X-Account", "7:X-Account", " Header : X-Account "])
def test_header_has_the_name_of_a_field(text: str) -> None:
    algorithm = parse_algorithm(text)
    assert algorithm == Algorithm(Kind.HEADER, "X-Account")
    assert str(algorithm) == "header:X-Account"


def test_every_kind_is_known_by_its_name_and_can_be_written_back() -> None:
    for kind in Kind:
        text = "header:Subject" if kind is Kind.HEADER else kind.value
        assert parse_algorithm(text).kind is kind
        assert str(parse_algorithm(text)) == text
    assert set(NUMBERS.values()) == set(Kind) - {Kind.AOR}


def test_case_and_spaces_do_not_matter() -> None:
    assert parse_algorithm(" Call-ID\n") == Algorithm(Kind.CALL_ID)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wieght", "wieght is not the name of an algorithm; did you mean weight?"),
        ("round_robin", "round_robin is not the name of an algorithm; did you mean round-robin?"),
        ("callid", "callid is not the name of an algorithm; did you mean call-id?"),
        (
            "zzz",
            f"zzz is not the name of an algorithm; write one of {EVERY_NAME}",
        ),
        (
            "",
            f"nothing is not the name of an algorithm; write one of {EVERY_NAME}",
        ),
        ("header", "the header's name is missing; write header:NAME, as in header:X-Account"),
        ("7", "the header's name is missing; write header:NAME, as in header:X-Account"),
        ("header: ", "the header's name is missing; write header:NAME, as in header:X-Account"),
        ("header:a b", "a b is not the name of a header field; write header:NAME, as in header:X-Account"),
        ("weight:50", "weight takes nothing after a colon; write weight"),
        ("call_load", "call_load is not the name of an algorithm; did you mean call-load?"),
        ("12", "parallel (12) forks, which a stateless proxy must not do (RFC 3261 16.11); write weight"),
        ("14", "algorithm 14 changes with the list; write round-robin (4) or priority (8)"),
        ("64", "overload control (64) is not available; write round-robin (4)"),
        ("16", "there is no algorithm 16; write a name, as weight or call-id"),
        ("-1", "-1 is not the name of an algorithm; write one of"),
        ("9" * 5000, "is not the name of an algorithm; write one of"),
    ],
)
def test_what_is_said_about_others(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_algorithm(text)
    assert str(caught.value).count("; ") == 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "ranking"),
    [
        ("weight", Ranking.WEIGHT),
        ("call-id", Ranking.WEIGHT),
        ("aor", Ranking.WEIGHT),
        ("round-robin", Ranking.WEIGHT),
        ("latency", Ranking.WEIGHT),
        ("call-load", Ranking.WEIGHT),
        ("relative-weight", Ranking.RELATIVE_WEIGHT),
        ("tiers", Ranking.TIERS),
        ("priority", Ranking.PRIORITY),
    ],
)
def test_the_table_is_the_rankings(name: str, ranking: Ranking) -> None:
    algorithm = parse_algorithm(name)
    assert algorithm.ranking is ranking
    assert list(Ranking)[algorithm.table] is ranking


def test_soft_are_those_that_only_memory_keeps_together() -> None:
    assert {kind for kind in Kind if Algorithm(kind).soft} == {
        Kind.ROUND_ROBIN,
        Kind.RANDOM,
        Kind.AUTH_USER,
        Kind.HEADER,
        Kind.LATENCY,
        Kind.CALL_LOAD,
    }


def test_a_register_is_keyed_where_turns_or_chance_would_part_challenge_and_answer() -> None:
    assert parse_algorithm("round-robin").for_register == Algorithm(Kind.AOR)
    assert parse_algorithm("random").for_register == Algorithm(Kind.AOR)
    assert parse_algorithm("call-load").for_register == Algorithm(Kind.AOR)
    assert parse_algorithm("tiers").for_register == parse_algorithm("tiers")


def test_weight_is_the_default() -> None:
    assert parse_algorithm("weight") == DEFAULT
