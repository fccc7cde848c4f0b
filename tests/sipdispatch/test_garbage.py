"""Is nothing looked at for garbage while a list is taken over, nor what it has become?"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sipdispatch.garbage import FEW, THRESHOLD, Garbage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*before)


def test_what_is_made_meanwhile_is_looked_at_neither_then_nor_later() -> None:
    garbage = Garbage()
    assert gc.get_threshold()[0] == THRESHOLD
    with garbage.at_rest():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)
    assert not any(each is made for each in gc.get_objects())


def test_the_looking_begins_again_when_the_last_has_finished() -> None:
    garbage = Garbage()
    with garbage.at_rest():
        with garbage.at_rest():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_ends_the_rest_too() -> None:
    with pytest.raises(ZeroDivisionError), Garbage().at_rest():
        raise ZeroDivisionError
    assert gc.isenabled()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def gone(cycle: weakref.ref[Cycle]) -> bool:
    gc.collect()
    return cycle() is None


def test_what_ends_after_a_short_list_was_taken_over_is_found() -> None:
    garbage = Garbage()
    with garbage.at_rest():
        pass  # the start, at whose end all that lives is frozen
    with garbage.at_rest():
        connection = Cycle()
    ended = weakref.ref(connection)
    del connection
    assert gone(ended)


def test_a_long_list_is_frozen_and_what_was_garbage_before_it_is_not() -> None:
    garbage = Garbage()
    with garbage.at_rest():
        pass
    ended = weakref.ref(Cycle())
    frozen = gc.get_freeze_count()
    with garbage.at_rest():
        assert ended() is None
        made = [[number] for number in range(FEW + 1)]
    assert gc.get_freeze_count() >= frozen + len(made)


def test_a_long_list_is_frozen_too_when_it_takes_the_place_of_another() -> None:
    garbage = Garbage()
    with garbage.at_rest():
        made = [[number] for number in range(FEW + 1)]
    with garbage.at_rest():
        made = [[number] for number in range(FEW + 1)]
    assert not any(each is made for each in gc.get_objects())
