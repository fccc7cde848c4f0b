"""Do the commands about limits and bans ask, say and end as they should?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipdispatch.cli import main
from sipdispatch.facts_json import limits_json, status_json
from sipdispatch.limit_words import bans_text, limits_text, rate_words, top_text
from sipdispatch.status_command import as_text
from tests.sipdispatch.control_world import Running
from tests.sipdispatch.fake_operations import EMPTY, LIMITED
from tests.sipdispatch.manual_proxy import ManualProxy, facts

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    def go(*arguments: str) -> tuple[int, str, str]:
        status = main(("limits", *arguments))
        told = capsys.readouterr()
        return status, told.out, told.err

    return go


def as_json(told: str) -> Any:
    document = json.loads(told)
    assert document.pop("version") == 1
    return document


@pytest.mark.usefixtures("proxy")
def test_every_command_speaks_json_too(run: Run) -> None:
    assert as_json(run("show", "--json")[1]) == limits_json(LIMITED)
    assert as_json(run("top", "--json")[1])["sources"][0]["source"] == "203.0.113.77"
    (ban,) = as_json(run("bans", "--json")[1])["bans"]
    assert (ban["source"], ban["dropped"]) == ("203.0.113.9", 812_004)
    done = as_json(run("ban", "203.0.113.8", "--json")[1])
    assert done["until"] - done["since"] == 300
    assert as_json(run("unban", "203.0.113.8", "--json")[1])["source"] == "203.0.113.8"
    assert as_json(run("set", "--rate", "7", "--json")[1])["rate"] == 7


def test_only_what_is_given_is_asked_for(run: Run, proxy: Running[ManualProxy]) -> None:
    assert run("set", "--ban-after", "0", "--ban-for", "1h")[0] == 0
    assert run("set", "--rate", "20", "--burst", "0", "--ban-after", "1m")[0] == 0
    assert proxy.operations.limiting.asked == [
        {"rate": None, "burst": None, "ban_after": 0.0, "ban_for": 3600.0},
        {"rate": 20, "burst": 0, "ban_after": 60.0, "ban_for": None},
    ]


@pytest.mark.usefixtures("proxy")
def test_one_line_is_shown_where_one_is_asked_for(run: Run) -> None:
    assert run("top", "-n", "1")[1].splitlines()[1:] == ["203.0.113.77  4 s   36,118"]


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set",), "nothing is to be set"),
        (("set", "--rate", "-1"), "-1 is not in the range"),
        (("set", "--rate", "1000001"), "1000001 is not in the range"),
        (("set", "--ban-after", "2h"), '"2h" is out of range'),
        (("set", "--ban-for", "0"), '"0" is not a time'),
        (("ban", "203.0.113.9", "--for", "ever"), '"ever" is not a time'),
        (("ban", "203.0.113.9", "--for", "721h"), '"721h" is out of range'),
        (("ban",), "SOURCE is missing"),
        (("bann", "x"), "there is no command limits bann"),
        (("unban", "203.0.113.8"), "203.0.113.8 is not banned"),
    ],
)
def test_what_is_wrong_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "to do: " in err


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    status, out, err = run()
    assert (status, out) == (2, "")
    assert all(verb in err for verb in ("show", "top", "set", "bans", "ban", "unban"))


# --------------------------------------------------------------------------------------------------------------------
# Words


def test_what_there_is_not_is_said_in_words() -> None:
    nothing = limits_json(EMPTY.limits)
    assert rate_words(nothing) == "no limit"
    assert limits_text(nothing) == (
        "limit       no limit\nbans        by hand, for 5 min\n"
        "over it     0 sources\nbanned      0; 0 bans since the start"
    )
    assert bans_text({"now": 0.0, "bans": []}) == "nobody is banned"
    assert top_text({"now": 0.0, "sources": []}) == "nobody is over the limit"


def test_several_networks_are_listed_below_each_other() -> None:
    text = limits_text({**limits_json(LIMITED), "allow": ["192.0.2.0/24", "2001:db8::/48"], "bans": 1})
    assert "allowed     192.0.2.0/24\n            2001:db8::/48\n" in text
    assert text.endswith("banned      1; 1 ban since the start")


def test_the_status_has_a_line_for_limits_where_there_are_some() -> None:
    assert "limits" not in as_text(status_json(EMPTY))
    assert "\nlimits      50 messages/s from each source, burst 100; 2 over it, 1 banned\n" in as_text(
        status_json(facts())
    )
    banned = {**status_json(EMPTY), "limits": {**limits_json(EMPTY.limits), "banned": 3}}
    assert "\nlimits      no limit; 0 over it, 3 banned\n" in as_text(banned)
