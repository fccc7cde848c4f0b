"""Are calls counted where they are, once each, and no longer than they last?"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.callfact import CallFact, CallStep
from dispatcher.callload import ANSWERED_S, CHALLENGED_S, MOST_EXPIRED, RINGING_S, CallTable
from dispatcher.outcome import Forward, Reply
from dispatcher.snapshot import Policy
from health.board import State, Verdict
from sip.message import Message
from sip.uri import Address
from tests.dispatcher.both import both as both_of
from tests.dispatcher.world import PHONE, Dialog, Node, destination, make_snapshot, reply_to, request, values

both = both_of(CallTable)
BEGIN, ANSWERED, GOING, CHALLENGED, FAILED, END = CallStep
A, B = 1000, 1001


@attrs.define
class Counted:
    """A table, and steps of calls told to it in short."""

    table: CallTable = attrs.field(factory=CallTable)

    def __call__(self, step: CallStep, key: int = 1, number: int | None = A, now: float = 0.0) -> int:
        """The calls of A after this step."""
        self.table.note(CallFact(key, step), number, now)
        return self.table.active(A)


@both
def test_a_call_counts_from_its_invite_to_its_bye(table: type[CallTable]) -> None:
    tell = Counted(table())
    assert tell(BEGIN) == 1
    assert tell(BEGIN, key=2) == 2
    assert tell(ANSWERED, number=None) == 2
    assert tell(END, number=None) == 1
    assert tell(END, number=None) == 1, "a BYE that comes again"
    assert tell(FAILED, key=2) == 0
    assert tell.table.begun(A) == 2
    assert (tell.table.begun(B), tell.table.active(B), len(tell.table)) == (0, 0, 0)


@both
def test_it_is_known_since_when_a_destination_has_no_call(table: type[CallTable]) -> None:
    tell = Counted(table())
    assert tell.table.idle_since(A) == float("-inf")
    tell(BEGIN, now=1.0)
    tell(BEGIN, key=2, now=1.0)
    tell(BEGIN, key=3, number=B, now=1.0)
    tell(END, now=2.0)
    assert tell.table.idle_since(A) == float("-inf")
    tell(FAILED, key=2, now=3.0)
    assert (tell.table.idle_since(A), tell.table.idle_since(B)) == (3.0, float("-inf"))
    tell.table.expire(1.0 + RINGING_S)
    assert (tell.table.idle_since(A), tell.table.idle_since(B)) == (3.0, 1.0 + RINGING_S)


@both
def test_a_retransmission_counts_once(table: type[CallTable]) -> None:
    tell = Counted(table())
    assert [tell(BEGIN, now=now) for now in (0.0, 0.5, 1.5)] == [1, 1, 1]
    tell(ANSWERED)
    assert tell(BEGIN, now=3.0) == 1
    assert tell.table.begun(A) == 1


@both
def test_a_retransmission_to_another_server_takes_its_call_along(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    assert tell(BEGIN, number=B) == 0
    assert (tell.table.active(B), tell.table.begun(A), tell.table.begun(B)) == (1, 1, 1)
    tell(ANSWERED)
    assert tell(BEGIN, number=A) == 0, "what has been answered stays"


@both
def test_a_failure_within_a_call_does_not_end_it(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(ANSWERED)
    tell(GOING)
    assert tell(FAILED) == 1
    assert tell(END) == 0


@both
def test_a_challenged_call_keeps_its_place_for_its_credentials(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    assert tell(CHALLENGED, now=1.0) == 1
    assert tell(CHALLENGED, now=2.0) == 1
    assert tell(BEGIN, now=2.0) == 1
    assert tell.table.begun(A) == 1
    tell.table.expire(2.0 + RINGING_S - 0.1)
    assert tell.table.active(A) == 1
    tell.table.expire(2.0 + RINGING_S)
    assert tell.table.active(A) == 0


@both
def test_who_has_no_credentials_loses_its_place_soon(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(CHALLENGED, now=1.0)
    tell(CHALLENGED, now=2.0)
    tell.table.expire(1.0 + CHALLENGED_S)
    assert (tell.table.active(A), len(tell.table)) == (0, 0)


@both
@pytest.mark.parametrize(("step", "left"), [(FAILED, 0), (END, 0), (ANSWERED, 1), (GOING, 1)])
def test_a_challenge_that_comes_late_misleads_nobody(table: type[CallTable], step: CallStep, left: int) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(CHALLENGED)
    assert tell(step) == left
    assert tell(END) == 0


@both
def test_what_is_answered_needs_no_credentials(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(CHALLENGED)
    tell(ANSWERED)
    tell.table.expire(CHALLENGED_S)
    assert tell.table.active(A) == 1


@both
def test_a_challenge_within_a_call_does_not_end_it(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(ANSWERED)
    assert tell(CHALLENGED) == 1
    tell.table.expire(CHALLENGED_S)
    assert tell.table.active(A) == 1


@both
def test_a_challenged_call_may_come_again_to_another_server(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(CHALLENGED)
    assert tell(BEGIN, number=B) == 0
    assert (tell.table.active(B), len(tell.table)) == (1, 1)


@both
def test_a_caller_may_hang_up_before_the_answer(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    assert tell(END) == 0


@both
@pytest.mark.parametrize("step", [ANSWERED, GOING, CHALLENGED, FAILED, END])
def test_what_is_not_known_to_have_begun_is_nothing(table: type[CallTable], step: CallStep) -> None:
    tell = Counted(table())
    assert tell(step) == 0
    assert len(tell.table) == 0


@both
def test_a_call_that_nobody_has_in_the_list_is_not_counted(table: type[CallTable]) -> None:
    tell = Counted(table())
    assert tell(BEGIN, number=None) == 0
    assert len(tell.table) == 0


@both
def test_a_phone_rings_for_three_minutes(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(BEGIN, now=100.0)
    tell(GOING, now=100.0)
    tell.table.expire(RINGING_S - 0.1)
    assert tell.table.active(A) == 1
    tell.table.expire(RINGING_S)
    assert (tell.table.active(A), len(tell.table)) == (0, 0)


@both
def test_a_call_lasts_two_hours_from_its_last_sign_of_life(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    tell(ANSWERED, now=10.0)
    tell(BEGIN, key=2, now=20.0)
    tell(ANSWERED, key=2, now=30.0)
    tell(GOING, now=1000.0)
    tell(ANSWERED, now=2000.0)
    tell.table.expire(30.0 + ANSWERED_S)
    assert tell.table.active(A) == 1
    tell.table.expire(2000.0 + ANSWERED_S - 0.1)
    assert tell.table.active(A) == 1
    tell.table.expire(2000.0 + ANSWERED_S)
    assert tell.table.active(A) == 0


@both
def test_all_whose_time_is_over_are_taken_away_a_few_in_each_step(table: type[CallTable]) -> None:
    tell = Counted(table())
    for key in range(20):
        tell(BEGIN, key=key)
    tell(BEGIN, key=50, now=RINGING_S / 2)
    steps = tell.table.expire_all(RINGING_S)
    next(steps)
    assert tell.table.active(A) == 21 - MOST_EXPIRED
    assert len([*steps]) == 20 // MOST_EXPIRED - 1
    assert tell.table.active(A) == 1


@both
def test_who_is_forgotten_begins_anew_and_keeps_its_calls(table: type[CallTable]) -> None:
    tell = Counted(table())
    tell(BEGIN)
    assert tell.table.begun_by_number() == {A: 1}
    tell.table.forget(A)
    assert (tell.table.begun(A), tell.table.active(A), tell.table.begun_by_number()) == (0, 1, {})


@both
def test_a_step_takes_away_a_few_only(table: type[CallTable]) -> None:
    tell = Counted(table())
    for key in range(20):
        tell(BEGIN, key=key)
    assert tell(GOING, key=99, now=RINGING_S) == 20 - MOST_EXPIRED
    for _ in range(4):
        tell.table.expire(RINGING_S)
    assert tell.table.active(A) == 0


@both
def test_when_there_are_too_many_those_go_whose_time_is_over_first(table: type[CallTable]) -> None:
    tell = Counted(table(3))
    tell(BEGIN, key=1)
    tell(ANSWERED, key=1)
    for key, now in ((2, 1.0), (3, 2.0), (4, 3.0), (5, 4.0)):
        tell(BEGIN, key=key, number=B, now=now)
    assert len(tell.table) == 3
    assert (tell.table.active(A), tell.table.active(B)) == (1, 2), (
        "a flood of INVITEs does not push out what is answered"
    )
    tell(ANSWERED, key=4)
    tell(ANSWERED, key=5)
    assert tell(BEGIN, key=6, number=B, now=5.0) == 0
    assert tell.table.active(B) == 3


@both
def test_without_room_nothing_is_remembered(table: type[CallTable]) -> None:
    tell = Counted(table(0))
    assert tell(BEGIN) == 0
    assert (len(tell.table), tell.table.begun(A)) == (0, 1)


steps = st.lists(
    st.tuples(
        st.sampled_from(CallStep),
        st.integers(0, 5),
        st.sampled_from((A, B, None)),
        st.sampled_from((0.0, 0.0, 1.0, 100.0, 4000.0)),
    ),
    max_size=60,
)


@both
@given(steps, st.integers(0, 4))
def test_what_is_counted_is_what_is_there(
    table: type[CallTable], told: list[tuple[CallStep, int, int | None, float]], entries: int
) -> None:
    tell = Counted(table(entries))
    now = 0.0
    for step, key, number, pause in told:
        now += pause
        tell(step, key, number, now)
        kept = tell.table
        assert kept.active(A) + kept.active(B) == len(kept) <= entries
        assert kept.active(A) >= 0 <= kept.active(B)
    for _ in range(30):
        tell.table.expire(now + ANSWERED_S)
    assert tell.table.active(A) + tell.table.active(B) == len(tell.table) == 0


# With the pipeline


SERVERS: tuple[Address, ...] = (("10.0.0.11", 5060), ("10.0.0.12", 5060), ("10.0.0.13", 5060))


@attrs.define
class Counting:
    """A proxy with `call-load` and its table."""

    maxload: tuple[int, int, int] = (0, 0, 0)
    table: CallTable = attrs.field(factory=CallTable)
    node: Node = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        listed = (destination(each, maxload=most) for each, most in zip(SERVERS, self.maxload, strict=True))
        self.node = Node(make_snapshot(*listed, policy=Policy(algorithm=Algorithm(Kind.CALL_LOAD))))

    def take(self, datagram: bytes, source: Address) -> Forward | Reply:
        self.node.calls = {number: self.table.active(number) for number in self.node.snapshot.numbers}
        outcome = self.node.take(datagram, source)
        assert isinstance(outcome, Forward | Reply), outcome
        if isinstance(outcome, Forward) and outcome.call is not None:
            place = outcome.destination
            self.table.note(outcome.call, None if place is None else self.node.snapshot.numbers[place], self.node.now)
        return outcome

    def call(self, name: str) -> tuple[bytes, Forward] | None:
        """An INVITE that is dispatched: as it arrived, and where to; None when nobody has room."""
        outcome = self.take(request(call_id=name, branch=f"z9hG4bK-{name}"), PHONE)
        return (outcome.payload, outcome) if isinstance(outcome, Forward) else None

    @property
    def loads(self) -> list[int]:
        return [self.table.active(number) for number in self.node.snapshot.numbers]


def dialog(invite: bytes, forward: Forward, name: str) -> Dialog:
    return Dialog(
        caller=PHONE,
        callee=forward.address,
        record_routes=tuple(values(Message.parse(invite), "record-route")),
        call_id=name,
        from_tag="from-tag",
    )


def test_calls_go_to_who_has_the_fewest() -> None:
    here = Counting()
    for number in range(9):
        assert here.call(f"call-{number}") is not None
        assert max(here.loads) - min(here.loads) <= 1
    assert here.loads == [3, 3, 3]


@settings(max_examples=60, deadline=None)
@given(
    maxload=st.tuples(*[st.integers(1, 3)] * 3),
    deeds=st.lists(
        st.tuples(st.sampled_from(("call", "call", "again", "answer", "fail", "hang up")), st.integers(0, 11)),
        max_size=40,
    ),
)
def test_nobody_has_more_calls_than_its_maxload(maxload: tuple[int, int, int], deeds: list[tuple[str, int]]) -> None:
    here = Counting(maxload)
    going: dict[int, tuple[str, bytes, Forward]] = {}
    for count, (deed, number) in enumerate(deeds):
        if deed == "call" and number not in going:
            name = f"call-{count}"  # a Call-ID is never used again for another call
            begun = here.call(name)
            if begun is None:
                assert here.loads == list(maxload), "refused only when everybody is full"
            else:
                going[number] = (name, *begun)
        elif number in going:
            name, invite, forward = going[number]
            if deed in ("call", "again"):
                again = here.call(name)
                assert again is not None
                assert again[1].address == forward.address
            elif deed == "hang up":
                call = dialog(invite, forward, name)
                if number % 2:
                    here.take(call.from_caller(), PHONE)
                else:
                    here.take(call.from_callee(), forward.address)
                del going[number]
            else:
                status = {"answer": "200 OK", "challenge": "401 Unauthorized", "fail": "486 Busy Here"}[deed]
                here.take(reply_to(Message.parse(invite), status), forward.address)
                if deed == "fail":
                    here.take(dialog(invite, forward, name).from_caller(), PHONE)
                    del going[number]
        assert all(load <= most for load, most in zip(here.loads, maxload, strict=True))


def test_a_call_that_comes_again_after_its_failure_meets_its_server_even_if_that_is_full() -> None:
    """The messages of one Call-ID stay together, whatever that costs."""
    here = Counting((1, 1, 1))
    first = here.call("one")
    assert first is not None
    here.take(reply_to(Message.parse(first[0]), "486 Busy Here"), first[1].address)
    assert all(here.call(name) for name in ("two", "three", "four"))
    again = here.call("one")
    assert again is not None
    assert again[1].address == first[1].address


@pytest.mark.parametrize("by_caller", [True, False])
def test_a_bye_from_either_end_ends_the_call(*, by_caller: bool) -> None:
    here = Counting()
    begun = here.call("one")
    assert begun is not None
    invite, forward = begun
    here.take(reply_to(Message.parse(invite)), forward.address)
    call = dialog(invite, forward, "one")
    again = call.from_caller("INVITE", branch="z9hG4bK-again")
    inside = here.take(again, PHONE)
    assert isinstance(inside, Forward)
    here.take(reply_to(Message.parse(inside.payload), "488 No"), forward.address)
    assert sum(here.loads) == 1
    if by_caller:
        here.take(call.from_caller(), PHONE)
    else:
        here.take(call.from_callee(), forward.address)
    assert here.loads == [0, 0, 0]


def test_a_call_follows_its_retransmission_to_a_living_server() -> None:
    here = Counting()
    begun = here.call("one")
    assert begun is not None
    place = SERVERS.index(begun[1].address)
    codes = [State().code] * 3
    codes[place] = State(verdict=Verdict.DOWN).code
    here.node.snapshot = attrs.evolve(here.node.snapshot, liveness={1: bytes(codes)})
    again = here.call("one")
    assert again is not None
    assert again[1].address != begun[1].address
    assert sum(here.loads) == 1
    assert here.loads[place] == 0
