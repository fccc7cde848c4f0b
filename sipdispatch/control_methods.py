"""What can be asked over the control socket, with which parameters, and what is answered?

A method returns a JSON value, or the pieces of a long one as an iterator of texts.  What cannot be done raises
MethodError: the standard codes of JSON-RPC for a wrong request, FAULT for the rest, as in Kamailio, and in its words
where it has some.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import trio

from dispatcher.problem import refuses
from health.board import Word
from sipdispatch import control_call
from sipdispatch.control_call import ATTEND, FAULT, Method, Methods, attend, call_method, details, echo, follow_events
from sipdispatch.control_kamailio import list_text, word_of
from sipdispatch.control_limits import LIMIT_METHODS
from sipdispatch.control_naming import ALL, find_set
from sipdispatch.control_params import (
    BadValueError,
    MethodError,
    Parameter,
    read_flag,
    read_number,
    read_seconds,
    read_text,
)
from sipdispatch.facts_json import sets_text, status_json
from sipdispatch.happening import Happening
from sipdispatch.jsonrpc import MAX_REQUEST_BYTES, Request
from sipdispatch.operations import OperationError, Operations, ReloadReport
from sipdispatch.slices import gather

MOST_EVENTS: Final = 1000
"""How many `dispatcher.history` tells when nobody says how many."""

QUESTION: Final = ("message", "call_id", "method", "uri", "from", "to", "source", "listener")
"""What `dispatcher.explain` may be asked: a whole message, or what makes one; where it comes from and arrives."""


Asking = control_call.Asking[Operations]


async def call(request: Request, asking: Asking) -> Any:
    """The result of a request to the proxy: a JSON value, or an iterator over the text of one.  Raises MethodError."""
    return await call_method(METHODS, request, asking)


# --------------------------------------------------------------------------------------------------------------------
# Kamailio's


async def _list_methods(_: Asking) -> list[str]:
    return sorted(METHODS)


async def _uptime(asking: Asking) -> dict[str, Any]:
    facts = await gather(asking.operations)
    return {
        "now": time.ctime(facts.now),
        "up_since": time.ctime(facts.started),
        "uptime": int(facts.now - facts.started),
    }


async def _version(asking: Asking) -> str:
    facts = await gather(asking.operations)
    return f"sipdispatch {facts.version} ({facts.packet_path})"


async def _list(asking: Asking, detail: str) -> Iterator[str]:
    facts = await gather(asking.operations)
    if not facts.sets:
        raise MethodError(
            FAULT, "No Destination Sets", details("the list is empty", facts.list_path, "write destinations into it")
        )
    return list_text(facts, "full" if detail == "full" else "short" if detail == "short" else "normal")


async def _set_state(asking: Asking, state: str, group: int, address: str) -> str:
    await asking.operations.set_word(group, address, _word(state), by=asking.by)
    return "Ok. Dispatcher state updated."


async def _set_duid_state(asking: Asking, state: str, group: int, duid: str) -> str:
    word = _word(state)
    facts = await gather(asking.operations)
    if not any(each.set_id == group and each.attributes.get("duid") == duid for each in facts.destinations):
        raise OperationError(f"no destination has the duid {duid}", f"set {group}", "see duid= in the list")
    await asking.operations.set_word(group, duid, word, by=asking.by)
    return "Ok. Dispatcher state updated."


def _word(state: str) -> Word:
    word = word_of(state)
    if word is None:
        told = details(
            f"{state[:20]!r} is no state",
            "parameter state",
            "write a (enabled), d (disabled), i (draining) or t (enabled), or the word",
        )
        raise MethodError(FAULT, "Unknown State Value" if state else "Invalid State Parameter", told)
    return word


async def _reload(asking: Asking, *, dry_run: bool, reset_state: bool, report: bool) -> Any:
    made = await asking.operations.reload(dry_run=dry_run, reset_state=reset_state, by=asking.by)
    return _told(made, "Reload Failed", "Ok. Dispatcher successfully reloaded.", report=report)


async def _add(
    asking: Asking, group: int, address: str, flags: int, priority: int, attrs: str, *, save: bool, report: bool
) -> Any:
    line = f"{group} {address} {flags} {priority} {attrs}".rstrip()
    made = await asking.operations.add(line, save=save, by=asking.by)
    return _told(made, "Adding dispatcher dst failed", "Ok. Dispatcher destination added.", report=report)


async def _remove(asking: Asking, group: int | None, address: str, *, save: bool, report: bool) -> Any:
    group = await find_set(asking.operations, group, address)
    made = await asking.operations.remove(group, address, save=save, by=asking.by)
    return _told(made, "Removing dispatcher dst failed", "Ok. Dispatcher destination removed.", report=report)


def _told(made: ReloadReport, fault: str, sentence: str, *, report: bool) -> Any:
    """What has been done: in Kamailio's sentence, or all of it; raises MethodError for a list that is refused."""
    if made.dry_run or (made.done and report):
        return report_json(made)
    if made.done:
        return sentence
    errors = [problem for problem in made.problems if problem.severity == "error"]
    first = errors[0] if errors else None
    told = details(
        "the list is not taken over" if first is None else first.message,
        "the list" if first is None else f"{first.path}:{first.line}:{first.column}" if first.line else first.path,
        "look at it with sipdispatch check" if first is None or not first.hint else first.hint,
    )
    raise MethodError(FAULT, fault, {**told, "report": report_json(made)})


def report_json(made: ReloadReport) -> dict[str, Any]:
    """A report as plain values; `refused` says that the list has errors."""
    return {
        "done": made.done,
        "dry_run": made.dry_run,
        "refused": refuses(made.problems),
        "destinations": made.destinations,
        "added": list(made.added),
        "removed": list(made.removed),
        "changed": list(made.changed),
        "problems": [problem.to_json() for problem in made.problems],
    }


async def _hash(asking: Asking, nslots: int, val1: str, val2: str) -> dict[str, int]:
    slot = asking.operations.slot(val1 + val2)
    return {"hashid": slot, "slot": slot % nslots if nslots else 0}


async def _ping_active(asking: Asking, state: bool | None) -> dict[str, int]:  # noqa: FBT001 - a parameter of the method
    facts = await gather(asking.operations)
    is_active = any(each.letters.endswith("P") for each in facts.destinations)
    if state is None:
        return {"OldPingState": int(is_active)}
    if state is not is_active:
        raise OperationError(
            "probing is not switched on and off while the proxy runs",
            "dispatcher.ping_active",
            "write enabled in [health], or flag 32 in the line of a destination",
        )
    return {"NewPingState": int(is_active), "OldPingState": int(is_active)}


# --------------------------------------------------------------------------------------------------------------------
# Our own


async def _show(asking: Asking, set_id: int | None) -> Iterator[str]:
    facts = await gather(asking.operations)
    shown = [one for one in facts.sets if set_id in (None, one.set_id)]
    if set_id is not None and not shown:
        sets = ", ".join(str(one.set_id) for one in facts.sets)
        raise OperationError(f"there is no set {set_id}", facts.list_path, f"name one of {sets}" if sets else "add one")
    return sets_text(shown, now=facts.now)


async def _status(asking: Asking) -> dict[str, Any]:
    return status_json(await gather(asking.operations))


async def _drain(asking: Asking, destination: str, set_id: int | None) -> dict[str, Any]:
    return await _say_word(asking, destination, set_id, Word.DRAINING)


async def _undrain(asking: Asking, destination: str, set_id: int | None) -> dict[str, Any]:
    return await _say_word(asking, destination, set_id, Word.ENABLED)


async def _set_word(asking: Asking, word: str, destination: str, set_id: int | None) -> dict[str, Any]:
    return await _say_word(asking, destination, set_id, _word(word))


async def _say_word(asking: Asking, destination: str, set_id: int | None, word: Word) -> dict[str, Any]:
    set_id = await find_set(asking.operations, set_id, destination)
    count = await asking.operations.set_word(set_id, destination, word, by=asking.by)
    return {"set": set_id, "destination": destination, "word": word.name.lower(), "destinations": count}


async def _wait_drained(
    asking: Asking,
    destination: str,
    set_id: int | None,
    timeout: float | None,  # noqa: ASYNC109 - the client's
) -> dict[str, Any]:
    set_id = await find_set(asking.operations, set_id, destination)
    began = trio.current_time()
    with trio.move_on_at(float("inf") if timeout is None else began + timeout) as limit:
        await asking.operations.wait_drained(set_id, destination)
    waited = trio.current_time() - began
    facts = await gather(asking.operations)
    return {
        "set": set_id,
        "destination": destination,
        "drained": not limit.cancelled_caught,
        "waited": round(waited, 3),
        "known_since": facts.started,
    }


async def _explain(asking: Asking, **question: str | None) -> dict[str, Any]:
    asked = {name.rstrip("_"): value for name, value in question.items() if value is not None}
    if not asked:
        raise OperationError(
            "there is no message to explain", "dispatcher.explain", f"give one or more of {', '.join(QUESTION)}"
        )
    return await asking.operations.explain(asked)


async def _history(asking: Asking, destination: str | None, set_id: int | None, limit: int) -> Iterator[str]:
    if destination == ALL:
        destination = None
    if destination is not None:
        set_id = await find_set(asking.operations, set_id, destination)
    past = asking.operations.history(set_id, destination)
    return _events_text(past[-limit:] if limit else ())


def _events_text(past: Sequence[Happening]) -> Iterator[str]:
    yield '{"events": ['
    for place, happening in enumerate(past):
        yield f"{', ' if place else ''}{json.dumps(happening.to_json())}"
    yield "]}"


# --------------------------------------------------------------------------------------------------------------------
# The table


def _read_state(value: Any) -> str:
    """As Kamailio reads it: a number is a text too, and the method itself says what is no state."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValueError("a state is a text", "write a, d, i or t")
    return str(value)


def _read_detail(value: Any) -> str:
    if value not in ("short", "normal", "full"):
        raise BadValueError("there is no such detail", "write short or full, or nothing")
    return str(value)


def _read_attributes(value: Any) -> str:
    text = read_text(value)
    if len(text.split()) > 1:
        raise BadValueError("attributes have no blanks", "write them as in weight=50;duid=a")
    return text


def _read_address(value: Any) -> str:
    text = read_text(value)
    if len(text.split()) > 1 or "#" in text:
        raise BadValueError("an address has no blanks and no #", "write a URI, as in sip:192.0.2.21:5060")
    return text


def _read_message(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_REQUEST_BYTES:
        raise BadValueError("this is no message", "write the text of a SIP message")
    return value


_GROUP: Final = Parameter("group", read_number)
_ADDRESS: Final = Parameter("address", _read_address)
_SET: Final = Parameter("set", read_number, None)
_DESTINATION: Final = Parameter("destination", read_text)
_SAVE: Final = Parameter("save", read_flag, default=False)
_REPORT: Final = Parameter("report", read_flag, default=False)

METHODS: Final[Methods] = {
    ATTEND: Method(attend),
    "core.echo": Method(echo, takes_anything=True),
    "core.uptime": Method(_uptime),
    "core.version": Method(_version),
    "system.listMethods": Method(_list_methods),
    "dispatcher.list": Method(_list, (Parameter("detail", _read_detail, "normal"),)),
    "dispatcher.set_state": Method(
        _set_state, (Parameter("state", _read_state), _GROUP, _ADDRESS), "State Update Failed", changes=True
    ),
    "dispatcher.set_duid_state": Method(
        _set_duid_state,
        (Parameter("state", _read_state), _GROUP, Parameter("duid", read_text)),
        "State Update Failed",
        changes=True,
    ),
    "dispatcher.reload": Method(
        _reload,
        (
            Parameter("dry_run", read_flag, default=False),
            Parameter("reset_state", read_flag, default=False),
            _REPORT,
        ),
        "Reload Failed",
        changes=True,
    ),
    "dispatcher.add": Method(
        _add,
        (
            _GROUP,
            _ADDRESS,
            Parameter("flags", read_number, 0),
            Parameter("priority", read_number, 0),
            Parameter("attrs", _read_attributes, ""),
            _SAVE,
            _REPORT,
        ),
        "Adding dispatcher dst failed",
        changes=True,
    ),
    "dispatcher.remove": Method(
        _remove,
        (Parameter("group", read_number, None), _ADDRESS, _SAVE, _REPORT),
        "Removing dispatcher dst failed",
        changes=True,
    ),
    "dispatcher.hash": Method(
        _hash, (Parameter("nslots", read_number), Parameter("val1", read_text), Parameter("val2", read_text, ""))
    ),
    "dispatcher.ping_active": Method(_ping_active, (Parameter("state", read_flag, None),), "Ping State Update Failed"),
    "dispatcher.show": Method(_show, (_SET,)),
    "dispatcher.set_word": Method(_set_word, (Parameter("word", _read_state), _DESTINATION, _SET), changes=True),
    "dispatcher.drain": Method(_drain, (_DESTINATION, _SET), changes=True),
    "dispatcher.undrain": Method(_undrain, (_DESTINATION, _SET), changes=True),
    "dispatcher.wait_drained": Method(_wait_drained, (_DESTINATION, _SET, Parameter("timeout", read_seconds, None))),
    "dispatcher.explain": Method(
        _explain,
        tuple(Parameter(name, _read_message if name == "message" else read_text, None) for name in QUESTION),
    ),
    "dispatcher.history": Method(
        _history, (Parameter("destination", read_text, None), _SET, Parameter("limit", read_number, MOST_EVENTS))
    ),
    **LIMIT_METHODS,
    "status": Method(_status),
    "events": Method(follow_events),
}
"""Every method; the order of its parameters is that by position."""
