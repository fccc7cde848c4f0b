"""How is an account told to a program?"""

from __future__ import annotations

import json
from typing import Any, Final

from dispatcher.considered import Reason
from dispatcher.outcome import Drop, Forward, Reply, Resolve
from dispatcher.snapshot import Snapshot
from sip.uri import host_port
from sipdispatch.explain import Account, Choice, RouteSeen, destination_of
from sipdispatch.explain_words import Setting, first_line, outcome_words, side_words, state_word, text, way_words

FORMAT_VERSION: Final = 1
"""Of the JSON document: rises when a key changes its meaning or goes."""


def as_json(snapshot: Snapshot, account: Account, setting: Setting) -> str:
    """One document; keys without a value are null."""
    document = {
        "version": FORMAT_VERSION,
        "message": _message_json(account),
        "source": {
            "address": host_port(account.source),
            "side": None if account.side is None else "core" if account.side.is_core else "edge",
            "reason": None if account.side is None else side_words(account.side),
        },
        "listener": setting.listeners[account.arrival],
        "routes": [_route_json(seen) for seen in account.routes],
        "way": None if account.way is None else {"kind": account.way.value, "reason": way_words(account.way, account)},
        "choice": None if account.choice is None else _choice_json(account.choice),
        "outcome": _outcome_json(snapshot, account, setting),
        "assumed": sorted(setting.assumed),
        "looked_up": {name: list(found) for name, found in setting.looked_up.items()},
        "secret": {"path": setting.secret_path, "fingerprint": setting.fingerprint},
        "notes": list(setting.notes),
    }
    return json.dumps(document, indent=2)


def _message_json(account: Account) -> dict[str, Any]:
    message = account.message
    kind = None if message is None else "request" if message.method else "reply"
    call_id = None if message is None else message.value(b"call-id")
    return {
        "kind": kind,
        "start": first_line(account),
        "call_id": None if call_id is None else text(call_id),
        "fault": account.fault or None,
    }


def _route_json(seen: RouteSeen) -> dict[str, Any]:
    token = None if not seen.is_ours else "valid" if seen.claims else "invalid" if seen.has_user else "none"
    claims = seen.claims
    return {
        "uri": text(seen.uri),
        "ours": seen.is_ours,
        "request_uri": seen.is_request_uri,
        "token": token,
        "edge": None if claims is None else host_port(claims.edge),
        "core": None if claims is None else host_port(claims.core),
        "behind_nat": None if claims is None else claims.behind_nat,
        "path": None if claims is None else claims.is_path,
    }


def _choice_json(choice: Choice) -> dict[str, Any]:
    return {
        "rule": choice.rule,
        "set": choice.set_id,
        "algorithm": str(choice.algorithm),
        "used": str(choice.used),
        "key": None if choice.key is None else text(choice.key),
        "slot": choice.slot,
        "panic": choice.panic,
        "candidates": [
            {
                "uri": each.destination.entry.uri,
                "address": host_port(each.destination.address),
                "state": state_word(each.state),
                "letters": each.state.letters(probed=False),
                "weight": each.destination.entry.weight,
                "rweight": each.destination.entry.rweight,
                "priority": each.destination.entry.priority,
                "latency": each.latency or None,
                "calls": each.calls,
                "ramp": each.ramp,
                "chosen": each.reason is Reason.CHOSEN,
                "reason": each.reason.value,
            }
            for each in choice.candidates
        ],
    }


def _outcome_json(snapshot: Snapshot, account: Account, setting: Setting) -> dict[str, Any]:
    outcome = account.outcome
    there = destination_of(snapshot, outcome) if isinstance(outcome, Forward) and not outcome.status else None
    kinds = {Forward: "forward", Reply: "answer", Drop: "drop", Resolve: "drop"}
    return {
        "kind": kinds[type(outcome)],
        "address": host_port(outcome.address) if isinstance(outcome, Forward | Reply) else None,
        "listener": setting.listeners[outcome.listener] if isinstance(outcome, Forward | Reply) else None,
        "destination": None if there is None else there.entry.uri,
        "status": outcome.status if isinstance(outcome, Reply) else None,
        "drop": outcome.reason.label if isinstance(outcome, Drop) else None,
        "refusal": None if account.refusal is None else account.refusal.label,
        "reason": outcome_words(snapshot, account, setting),
    }
