"""What did a server's outage do to the calls, by the messages that crossed the edge?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from tests.e2e.ladder import Crossing, Refusal

CLOCKS_SECONDS = 0.01
"""How late an answer to a probe may still be in time: the balancer's clock is another one than the capture's."""
NO_PROOF = frozenset({"408", "500", "502", "503", "504"})
"""Answers to a probe that do not count as good."""


@attrs.frozen(kw_only=True)
class Outage:
    """Which server was struck and when it was given back; `balancer` and `client` are the addresses of the others.

    `probe_seconds` is how long the balancer waits for the answer to a probe.
    """

    balancer: str
    client: str
    victim: str
    struck_at: float
    returned_at: float
    probe_seconds: float = 0.5


@attrs.frozen(kw_only=True)
class Story:
    """What an outage did.  Times in seconds; None for what did not happen."""

    last_new_call: float
    """From the signal to the last new call that was sent to the server."""
    last_after_refusal: float | None
    """From its host's first refusal of a packet to the last new call that was sent there after it; 0.0 without one."""
    back_after: float | None
    """From the server's first answer to the first new call."""
    good_probes: int
    """How many of those it had answered by then."""
    hit: int
    """Calls whose first INVITE was sent to the server and not answered by it before it came back."""
    hit_failed: int
    longest_wait: float | None
    """From the first INVITE of a call that was hit, and succeeded, to its answer."""
    held: int
    """Calls that were up on the server, or being set up there, when it was struck."""
    held_failed: int
    others: int
    """All other calls: those of the other server, and those after the return."""
    others_in_progress: int
    """How many of them were up when the server was struck."""
    others_failed: int


@attrs.define
class Call:
    """One Call-ID.  Moments are infinite for what did not happen."""

    server: str
    """Where its first INVITE was sent."""
    begun_at: float
    servers_answer_at: float = math.inf
    """When that server first said anything to its INVITE: a caller who has heard 100 does not ask again."""
    heard: dict[str, tuple[float, str]] = attrs.field(factory=dict)
    """When the caller had its first final answer to INVITE and to BYE, and which code that was."""

    def success_at(self, method: str) -> float:
        at, code = self.heard.get(method, (math.inf, ""))
        return at if code == "200" else math.inf

    @property
    def up_at(self) -> float:
        return self.success_at("INVITE")

    @property
    def over_at(self) -> float:
        return self.success_at("BYE")

    @property
    def succeeded(self) -> bool:
        """Whether the caller had a 200 to its INVITE and to its BYE, and nothing else before."""
        return self.up_at < self.over_at < math.inf


def calls_of(crossings: Iterable[Crossing], *, balancer: str, client: str) -> dict[str, Call]:
    """All calls by their Call-ID, in the order in which they were first sent to a server."""
    calls: dict[str, Call] = {}
    for one in crossings:
        code, _, method = one.what.rpartition(" ")
        if method not in ("INVITE", "BYE"):
            continue
        call_id = one.header("Call-ID")
        call = calls.get(call_id)
        if call is None:
            if not code and method == "INVITE" and one.source[0] == balancer:
                calls[call_id] = Call(one.target[0], one.at)
        elif code and one.target[0] == client:
            if code >= "200":
                call.heard.setdefault(method, (one.at, code))
        elif code and method == "INVITE" and one.source[0] == call.server:
            call.servers_answer_at = min(call.servers_answer_at, one.at)
    return calls


def story_of(crossings: Sequence[Crossing], refusals: Iterable[Refusal], outage: Outage) -> Story:
    """Read the story out of a capture that ended after the last call did."""
    struck, returned, victim = outage.struck_at, outage.returned_at, outage.victim
    calls = calls_of(crossings, balancer=outage.balancer, client=outage.client).values()
    theirs = [call for call in calls if call.server == victim and call.begun_at < returned]
    hit = [call for call in theirs if call.servers_answer_at >= returned and call.over_at > struck]
    held = [call for call in theirs if call.servers_answer_at < returned and call.over_at > struck]
    affected = set(map(id, hit + held))
    others = [call for call in calls if id(call) not in affected]
    last = max((call.begun_at for call in theirs if call.begun_at >= struck), default=struck)
    refused = min((one.at for one in refusals if one.source == victim and struck <= one.at < returned), default=None)
    back = min((call.begun_at for call in calls if call.server == victim and call.begun_at >= returned), default=None)
    answers = min((one.at for one in crossings if one.source[0] == victim and one.at >= returned), default=None)
    return Story(
        last_new_call=last - struck,
        last_after_refusal=None if refused is None else max(0.0, last - refused),
        back_after=None if back is None or answers is None else back - answers,
        good_probes=_good_probes(crossings, outage, math.inf if back is None else back),
        hit=len(hit),
        hit_failed=sum(not call.succeeded for call in hit),
        longest_wait=max((call.up_at - call.begun_at for call in hit if call.succeeded), default=None),
        held=len(held),
        held_failed=sum(not call.succeeded for call in held),
        others=len(others),
        others_in_progress=sum(call.up_at < struck < call.over_at for call in others),
        others_failed=sum(not call.succeeded for call in others),
    )


def _good_probes(crossings: Iterable[Crossing], outage: Outage, until: float) -> int:
    """How many probes the server has answered well, and in time, since its return and until then."""
    asked: dict[str, float] = {}
    good: set[str] = set()
    for one in crossings:
        if one.at >= until:
            break
        if one.target[0] == outage.victim and one.what == "OPTIONS":
            asked.setdefault(one.header("Call-ID"), one.at)
        elif one.source[0] == outage.victim and one.at >= outage.returned_at and one.what.endswith(" OPTIONS"):
            call_id = one.header("Call-ID")
            waited = one.at - asked.get(call_id, -math.inf)
            if one.what[:3] not in NO_PROOF and waited < outage.probe_seconds + CLOCKS_SECONDS:
                good.add(call_id)
    return len(good)
