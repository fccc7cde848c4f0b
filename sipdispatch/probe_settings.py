"""What do the options of `sipdispatch probe` mean together?"""

from __future__ import annotations

import math
import re
from typing import Final, Literal

import attrs

from health.options import USER_AGENT, Identity, Question, compose_options
from health.probe import LookUp, Manner, numeric_only
from sip.errors import SipError
from sip.uri import Address, numeric
from sipdispatch.errors import CommandError
from sipdispatch.probe_command import ProbeOptions
from sipdispatch.probe_files import read_credentials, read_file, read_request_file
from sipdispatch.probe_limits import (
    Thresholds,
    read_codes,
    read_duration,
    read_field_pattern,
    read_pattern,
    read_thresholds,
)
from sipdispatch.probe_run import Plan
from sipdispatch.probe_target import Aiming, read_host_port, read_targets
from sipdispatch.probe_verdict import Expectation

VERDICT_RUN: Final = 2
"""--rise and --fall when they are not given, as in the proxy."""

_HERE: Final = "sipdispatch probe"
_OF_A_CALL: Final = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE"})
_CONTENT_TYPE: Final = re.compile(rb"(?:content-type|c)[ \t]*:", re.IGNORECASE)
_ANYBODY: Final = Identity(b"z9hG4bK-", b"check", 1, b"check")

Format = Literal["people", "quiet", "json", "jsonl", "nagios", "prom"]


@attrs.frozen(kw_only=True)
class Settings:
    """All that the options say."""

    plan: Plan
    format: Format
    verbose: int = 0
    warn: Thresholds = Thresholds()  # noqa: RUF009 - frozen
    crit: Thresholds = Thresholds()  # noqa: RUF009


def read_settings(options: ProbeOptions) -> Settings:
    """All that the options say; raises CommandError."""
    if options["sipsak"]:
        raise CommandError("--sipsak is not the first option", _HERE, "write sipdispatch probe --sipsak OPTIONS")
    source = None if options["source"] is None else read_source(options["source"], "--source")
    proxy = None if options["proxy"] is None else read_host_port(options["proxy"], f"{_HERE}, option --proxy")
    aiming = Aiming(transport=options["transport"], user=options["user"], proxy=proxy, srv=options["srv"])
    timeout_s = _duration(options["timeout"], "-W", least_s=0.001, most_s=3600)
    aims = read_targets(options["targets"], aiming)
    family = _family(options, source)
    has_names = any(numeric(aim.host) is None for aim in aims)
    until = _until(options)
    plan = Plan(
        aims=aims,
        timeout_s=timeout_s,
        manner=_manner(options, source),
        look_up=look_up(timeout_s, family, has_names=has_names, srv_only=options["srv"] is True),
        judge=_expectation(options).judge,
        count=_count(options),
        interval_s=_duration(options["interval"], "-i", least_s=0, most_s=86_400),
        deadline_s=math.inf if options["deadline"] is None else _duration(options["deadline"], "-D", most_s=math.inf),
        most_per_second=options["flood_safe"],
        until=until,
        rise=options["rise"] or VERDICT_RUN,
        fall=options["fall"] or VERDICT_RUN,
    )
    check_request(plan)
    return Settings(
        plan=plan,
        format=_format(options),
        verbose=options["verbose"],
        warn=_thresholds(options["warn"], "--warn"),
        crit=_thresholds(options["crit"], "--crit"),
    )


def read_source(text: str, option: str) -> Address:
    """A numeric address, with port 0 when none is written; raises CommandError."""
    host, port = read_host_port(text, f"{option} {text}")
    address = numeric(host)
    if address is None:
        raise CommandError(f"{text} is not a numeric address", f"{option} {text}", "write one of this machine's")
    return address, port or 0


def look_up(timeout_s: float, family: int | None, *, has_names: bool, srv_only: bool = False) -> LookUp:
    """Who is asked for addresses; a family that is wanted holds for numeric targets too."""
    if not has_names and family is None:
        return numeric_only
    from sipdispatch.probe_names import Names, load_dns  # noqa: PLC0415 - not where every target is numeric

    if has_names:
        load_dns()
    return Names(timeout_s=timeout_s, family=family, srv_only=srv_only).find


def check_request(plan: Plan) -> None:
    """Compose each request once, so that what is wrong in it is told before anything is sent; raises CommandError."""
    if plan.manner.template is not None:
        return
    for aim in plan.aims:
        try:
            compose_options(
                uri=aim.uri,
                source=(plan.manner.sent_by or "192.0.2.1", 5060),
                from_uri=plan.manner.from_uri or "sip:sipdispatch@192.0.2.1",
                identity=_ANYBODY,
                question=plan.manner.question,
            )
        except SipError as error:
            raise CommandError(
                f"no legal request comes of it: {error.reason}",
                f"the request to {aim.label}",
                "correct the option that says it: --method, --from, --to, --header, --ua or --user",
            ) from error


def _manner(options: ProbeOptions, source: Address | None) -> Manner:
    method = options["method"]
    if method.upper() in _OF_A_CALL:
        raise CommandError(
            f"{method} belongs to a call, and a probe makes none",
            f"{_HERE}, option --method",
            "ask with OPTIONS, INFO, MESSAGE or REGISTER",
        )
    body = b"" if options["body"] is None else read_file(options["body"], "--body")
    fields = tuple(_bytes(field) for field in options["header"])
    if body and not any(_CONTENT_TYPE.match(field) for field in fields):
        fields += (b"Content-Type: text/plain",)
    agent = options["ua"]
    question = Question(
        method=_bytes(method),
        to_uri=options["to"],
        max_forwards=options["max_forwards"],
        user_agent=USER_AGENT if agent is None else _bytes(agent),
        fields=fields,
        body=body,
    )
    if options["file"] is not None and (question != Question() or options["from_"] is not None):
        raise CommandError(
            "a request from a file is sent as it is written",
            f"{_HERE}, option --file",
            "leave out --method, --from, --to, --max-forwards, --header, --body and --ua",
        )
    return Manner(
        question=question,
        template=None if options["file"] is None else read_request_file(options["file"], verbatim=False),
        from_uri=options["from_"],
        source=source,
        interface=options["iface"],
        t1_s=_duration(options["t1"], "--t1", least_s=0.001, most_s=60),
        retransmit=options["retransmit"],
        credentials=None if options["auth_file"] is None else read_credentials(options["auth_file"]),
    )


def _expectation(options: ProbeOptions) -> Expectation:
    if options["any_reply"] and options["ok"] is not None:
        raise CommandError("--any-reply and --ok contradict each other", _HERE, "leave out one of the two")
    return Expectation(
        codes=None if options["any_reply"] else read_codes(options["ok"] or "2xx", f"{_HERE}, option --ok"),
        fields=tuple(read_field_pattern(text, f"{_HERE}, option --match") for text in options["match"]),
        texts=tuple(read_pattern(text, f"{_HERE}, option --grep") for text in options["grep"]),
    )


def _family(options: ProbeOptions, source: Address | None) -> int | None:
    if options["ipv4"] and options["ipv6"]:
        raise CommandError("-4 and -6 contradict each other", _HERE, "leave out one of the two")
    family = 4 if options["ipv4"] else 6 if options["ipv6"] else None
    own = None if source is None else 6 if ":" in source[0] else 4
    if family is not None and own not in (None, family):
        raise CommandError(
            f"-{family} and an IPv{own} --source contradict each other", _HERE, "leave out one of the two"
        )
    return family or own


def _until(options: ProbeOptions) -> Literal["up", "down"] | None:
    if options["until"] == "up":
        return "up"
    if options["until"] == "down":
        return "down"
    for name, value in (("rise", options["rise"]), ("fall", options["fall"])):
        if value is not None:
            raise CommandError(f"--{name} says nothing without --until", _HERE, "add --until up or --until down")
    return None


def _count(options: ProbeOptions) -> int:
    """Without a number it is one probe, or with --until as many as it takes."""
    if options["count"] is not None:
        return options["count"]
    return 0 if options["until"] else 1


def _format(options: ProbeOptions) -> Format:
    given: dict[Format, bool] = {
        "quiet": options["quiet"],
        "json": options["json"],
        "jsonl": options["jsonl"],
        "nagios": options["nagios"],
        "prom": options["prom"],
    }
    wanted = [name for name, is_given in given.items() if is_given]
    if len(wanted) > 1:
        raise CommandError(f"--{wanted[0]} and --{wanted[1]} contradict each other", _HERE, "leave out one of the two")
    return wanted[0] if wanted else "people"


def _thresholds(text: str | None, option: str) -> Thresholds:
    return Thresholds() if text is None else read_thresholds(text, f"{_HERE}, option {option}")


def _duration(text: str, option: str, *, least_s: float = 0.001, most_s: float) -> float:
    return read_duration(text, f"{_HERE}, option {option}", least_s=least_s, most_s=most_s)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
