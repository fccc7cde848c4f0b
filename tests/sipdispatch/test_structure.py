"""Does the reading of a tree tell its own mistakes from those of the operator?"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from sipdispatch import structure
from sipdispatch.config import Control, Health, Http, Proxy
from sipdispatch.sections import KEYS
from sipdispatch.tables import Tables

BASE = Path("/etc/sipdispatch")


def tree(**keys: object) -> dict[str, object]:
    needed = {"listen": ["192.0.2.10"], "list": "l", "state_dir": "s", "secret_file": "k"}
    return {"proxy": needed | keys}


def test_a_tree_that_is_right_has_no_findings() -> None:
    read = structure.structure(tree(), BASE)
    assert read.findings == ()
    assert read.proxy is not None
    assert read.proxy.list_path == read.list_path == BASE / "l"


def test_a_mistake_of_our_own_is_not_told_as_the_operators() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Tables().findings_of(ZeroDivisionError(), ("proxy",)))


def test_every_field_of_the_tree_has_a_reader() -> None:
    """A field that is added without one would be read by cattrs, which takes "yes" for true."""
    for key in structure.PROXY_KEYS:
        found = structure.structure(tree(**{key: 1.5}), BASE).findings
        assert [finding.at for finding in found] == [("proxy", key)], key
    assert len(structure.PROXY_KEYS) == len(attrs.fields(Proxy)) + len(("advertise",))


@pytest.mark.parametrize(("section", "cls"), [("health", Health), ("control", Control), ("http", Http)])
def test_every_field_of_the_other_sections_has_a_reader(section: str, cls: type[attrs.AttrsInstance]) -> None:
    for key in KEYS[section]:
        found = structure.structure(tree() | {section: {key: []}}, BASE).findings
        wanted = [] if key == "source" else [(section, key)]
        assert [finding.at for finding in found if finding.at[1:]] == wanted, key
    assert len(KEYS[section]) == len(attrs.fields(cls))


def test_a_tree_may_come_with_findings_that_do_not_refuse_it() -> None:
    read = structure.structure(tree(algorithm="random"), BASE)
    assert [finding.severity for finding in read.findings] == ["warning"]
    assert read.proxy is not None
