"""What do the sections beside [proxy] say: [health], [control], [http], [vrrp], [[hook]] and [[notify]]?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from sipdispatch import address_readers, readers
from sipdispatch.config import Control, Health, Http, Sections, Start
from sipdispatch.consistency import Finding
from sipdispatch.door_tables import control_table, http_table
from sipdispatch.notice_sections import read_notice_sections
from sipdispatch.tables import Table, Tables, many
from sipdispatch.vrrp_section import read_vrrp_section

_HEALTH: Final = Table(
    cls=Health,
    reads={
        "enabled": readers.read_bool,
        "interval": readers.read_as_attribute("probe_interval"),
        "timeout": readers.read_as_attribute("probe_timeout"),
        "rise": readers.read_int(1, 1000, "a number of probes"),
        "fall": readers.read_int(1, 1000, "a number of probes"),
        "source": many(address_readers.read_source, tuple),
        "from_uri": readers.read_as_attribute("ping_from"),
        "reply_codes": readers.read_as_attribute("reply_codes"),
        "start": readers.read_word(get_args(Start)),
        "slow_start": readers.read_duration(0, 3600, '"0s" to "60m"', "10s"),
    },
    hint="write the line [health] above its keys",
    names={"from_uri": "from"},
    meant={
        "probe_interval": "write interval: in [health] the keys have no probe_ in front",
        "probe_timeout": "write timeout: in [health] the keys have no probe_ in front",
        "ping_interval": "write interval",
        "ping_from": "write from",
        "threshold": "write fall, the failures in a row that make a destination down",
        "probing_threshold": "write fall, the failures in a row that make a destination down",
        "inactive_threshold": "write rise, the good probes in a row that bring a destination back",
    },
)
_HTTP: Final = http_table(Http, "http", 9275)
_CONTROL: Final = partial(control_table, Control, "control")

KEYS: Final = {"health": _HEALTH.keys, "control": _CONTROL(Path("/")).keys, "http": _HTTP.keys}
"""The keys of each section."""


def read_sections(tree: Mapping[str, Any], base: Path) -> tuple[Sections, list[Finding]]:
    """Those of the file, each with its defaults where it has a mistake, and all that is wrong with them."""
    tables = Tables()
    for table in (_HEALTH, _HTTP, _CONTROL(base)):
        tables.teach(table)
    found: list[Finding] = []
    health, wrong = tables.try_read(tree.get("health", {}), Health, ("health",))
    found += wrong
    control, wrong = tables.try_read(tree.get("control", {}), Control, ("control",))
    found += wrong
    http = None
    if "http" in tree:
        http, wrong = tables.try_read(tree["http"], Http, ("http",))
        found += wrong
    vrrp = None
    if "vrrp" in tree:
        vrrp, wrong = read_vrrp_section(tree["vrrp"], base)
        found += wrong
    notices, wrong = read_notice_sections(tree, base)
    found += wrong
    return Sections(
        health=health or Health(),
        control=control or Control(),
        http=http,
        vrrp=vrrp,
        hooks=notices.hooks,
        notifiers=notices.notifiers,
    ), found
