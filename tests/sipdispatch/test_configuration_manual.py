"""Does the manual page of the configuration say what the program does?"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from dispatcher.engine import MOST_WORKERS
from dispatcher.limits import LimitPolicy
from sipdispatch import readers
from sipdispatch.config import Config, Health, Proxy
from sipdispatch.load import load
from sipdispatch.sections import KEYS
from sipdispatch.structure import LIMIT_KEYS, LISTEN_KEYS, PROXY_KEYS, RULE_KEYS
from tests.sipdispatch.manual import blocks, entry, page

CONFIGURATION = page("sipdispatch.toml")


@pytest.mark.parametrize("text", [text for _, text in blocks(CONFIGURATION, "toml")])
def test_every_configuration_in_the_manual_is_right(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sipdispatch.toml"
    path.write_text(text)
    loaded = load(path, environ={}, uid=0)
    assert isinstance(loaded, Config), loaded
    assert loaded.warnings == ()


def test_every_key_is_in_the_manual_and_no_other() -> None:
    described = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^(`.*)\n:", CONFIGURATION, re.MULTILINE))))
    sections = {key for keys in KEYS.values() for key in keys}
    assert described == {*PROXY_KEYS, *RULE_KEYS, *LISTEN_KEYS, *LIMIT_KEYS, *sections} - {"route", "limits", "address"}
    assert "`[[proxy.route]]`" in CONFIGURATION
    assert "`[proxy.limits]`" in CONFIGURATION


def test_the_defaults_in_the_manual_are_those_of_the_tree() -> None:
    defaults = {field.name: field.default for field in attrs.fields(Proxy)}
    spoken = {
        "set": defaults["set_id"],
        "algorithm": f'`"{defaults["algorithm"]}"`',
        "aor_domain": "false",
        "rewrite_host": "false",
        "no_destination": defaults["no_destination"],
        "retry_after": defaults["retry_after"],
        "recent_choices": defaults["recent_choices"],
        "force_rport": f'`"{defaults["force_rport"]}"`',
        "server_header": f'`"{defaults["server_header"]}"`',
        "log_level": f'`"{defaults["log_level"]}"`',
        "log_format": f'`"{defaults["log_format"]}"`',
        "fastpath": f'`"{defaults["fastpath"]}"`',
        "workers": f"one for each core that the process may use, {MOST_WORKERS} at most",
    }
    for key, value in spoken.items():
        assert f"Default: {value}" in entry(CONFIGURATION, key), key
    assert defaults["workers"] is None
    assert (defaults["aor_domain"], defaults["rewrite_host"]) == (False, False)
    assert defaults["receive_buffer"] == defaults["send_buffer"] == 8 << 20


def test_the_defaults_of_health_in_the_manual_are_those_of_the_tree() -> None:
    health = Health()
    probes = CONFIGURATION.partition("### Probes")[2].partition("### ")[0]
    spoken = {
        "enabled": "true",
        "interval": f'`"{health.interval:g}s"`',
        "timeout": f'`"{health.timeout * 1000:g}ms"`',
        "rise": f"{health.rise}.",
        "fall": f"{health.fall}.",
        "start": f'`"{health.start}"`',
        "slow_start": f'`"{health.slow_start:g}s"`',
    }
    for key, value in spoken.items():
        assert f"Default: {value}" in entry(probes, key), key


def test_the_defaults_of_the_limits_in_the_manual_are_those_of_the_tree() -> None:
    limits = CONFIGURATION.partition("### Limits")[2].partition("### ")[0]
    policy = LimitPolicy()
    assert (policy.rate, policy.burst, policy.ban_after, policy.allow) == (None, None, None, ())
    assert f'Default: `"{policy.ban_for / 60:g}m"`.' in entry(limits, "ban_for")
    assert (readers.BAN_AFTER_MAXIMUM_H, readers.BAN_MAXIMUM_H) == (1, 720)
    assert 'from `"1s"` to `"1h"`' in entry(limits, "ban_after")
    assert 'from `"1s"` to `"720h"`' in entry(limits, "ban_for")
