"""Do the scripts of a keepalived.conf become tracks and hooks that judge and run as they did?"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sipdispatch.keepalived_read import Fate
from tests.sipdispatch.keepalived_scene import hook_output, imported, instance, of_file, remarks, tree, vrrp


def test_tracks_become_interfaces_and_commands() -> None:
    section = tree(of_file("tracked"))["vrrp"]
    assert section["track"]["interfaces"] == ["eth1"]
    check, port, maintenance = section["track"]["command"]
    assert check == {
        "name": "check",
        "command": ["/usr/bin/pgrep", "-x", "asterisk"],
        "interval": "1s",
        "timeout": "1s",
        "rise": 3,
        "fall": 3,
    }
    assert port["command"] == ["/bin/sh", "-c", "/bin/true < /dev/null"]
    assert maintenance["command"][-1] == "/var/run/keepalived.maintenance"


@pytest.mark.parametrize(
    ("weight", "content", "good"),
    [
        ("", "0", True),
        ("", "5", True),
        ("", "-5", False),
        ("weight 0", "0", True),
        ("weight 0", "1", False),
        ("weight -10", "1", False),
        ("weight -10", "-1", True),
        ("weight -10", "0\n", True),
        ("weight -10", None, True),
        ("weight -10", "", True),
    ],
)
def test_the_number_in_a_file_counts_as_in_keepalived(
    weight: str, content: str | None, *, good: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    above = f'track_file f {{\nfile "{path}"\n{weight}\n}}'
    (track,) = vrrp("track_file { f }", above=above)["track"]["command"]
    assert (subprocess.run(track["command"], check=False).returncode == 0) is good


def script(text: str, *more: str, lines: tuple[str, ...] = ()) -> dict[str, Any]:
    above = f'vrrp_script s {{\nscript "{text}"\n' + "\n".join(more) + "\n}"
    track: dict[str, Any] = vrrp("track_script { s }", *lines, above=above)["track"]
    return track


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("sipsak -s sip:s@192.0.2.11", "192.0.2.11:5060"),
        ("/usr/bin/sipsak -vvN -D1 -s sip:s@192.0.2.11:5070", "192.0.2.11:5070"),
        ("sipsak -r 5080 -s sip:192.0.2.11:5070", "192.0.2.11:5080"),
        ("sipsak -p 192.0.2.11:5090 -s sip:s@example.com", "192.0.2.11:5090"),
        ("/usr/bin/timeout --signal KILL -k 1 2 sipsak -s sip:localhost", "127.0.0.1:5060"),
        ("env timeout 2 sipsak -s sip:[2001:db8::1]:5061", "[2001:db8::1]:5061"),
    ],
)
def test_sipsak_becomes_the_agents_own_question(text: str, target: str) -> None:
    assert script(text) == {"sip": target}


@pytest.mark.parametrize(
    "text",
    [
        "sipsak",
        "sipsak -s nonsense",
        "sipsak -p : -s sip:192.0.2.11",
        "sipsak -s sip:proxy.example.com",
        "sipsak -s sip:s@192.0.2.11;transport=tcp",
        "sipsak -s sips:s@192.0.2.11",
        "sipsak -E tcp -s sip:s@192.0.2.11",
        "sipsak -q alive -s sip:s@192.0.2.11",
        "sipsak -s sip:s@0.0.0.0",
        "timeout 2",
        "timeout",
        "/usr/bin/check -s sip:192.0.2.11",
    ],
)
def test_another_question_stays_a_command(text: str) -> None:
    track = script(text.replace(";", "\\;") if ";" in text else text)
    assert "sip" not in track
    assert len(track["command"]) == 1


def test_the_second_sipsak_stays_a_command() -> None:
    above = "\n".join(f'vrrp_script s{n} {{ script "sipsak -s sip:192.0.2.11:507{n}" }}' for n in (1, 2))
    track = vrrp("track_script {\ns1\ns2\ns1\n}", above=above)["track"]
    assert track["sip"] == "192.0.2.11:5071"
    assert [each["name"] for each in track["command"]] == ["s2"]


def test_the_virtual_address_is_not_asked() -> None:
    asks = 'vrrp_script s { script "sipsak -s sip:192.0.2.100" }'
    assert remarks("track_script { s }", above=asks) == [(Fate.LEFT_OUT, "script sipsak -s sip:192.0.2.100")]
    section = vrrp("track_script { s }", "mcast_src_ip 192.0.2.11", above=asks)
    assert section["track"] == {"sip": "192.0.2.11:5060"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((), ("1s", "1s", 1, 1)),
        (("interval 5", "rise 2", "fall 3"), ("5s", "5s", 2, 3)),
        (("interval 0.5", "timeout 3"), ("500ms", "3s", 1, 1)),
        (("interval 0", "timeout 100000", "rise 0", "fall 99999"), ("10ms", "3600s", 1, 1000)),
        (("interval x", "rise y"), ("1s", "1s", 1, 1)),
    ],
)
def test_times_and_counts_of_a_script(more: tuple[str, ...], expected: tuple[str, str, int, int]) -> None:
    (command,) = script("/bin/true", *more)["command"]
    assert (command["interval"], command["timeout"], command["rise"], command["fall"]) == expected


def test_a_script_may_stand_without_quotes_and_has_to_stand_there() -> None:
    above = "vrrp_script s { script killall -0 asterisk }\nvrrp_script t { script '  ' }\nvrrp_script u { interval 1 }"
    section = vrrp("track_script { s }", above=above)
    assert section["track"]["command"][0]["command"] == ["/usr/bin/env", "killall", "-0", "asterisk"]
    assert [fate for fate, _ in remarks("track_script {\nt\nu\n}", above=above)] == [Fate.LEFT_OUT] * 2


@pytest.mark.parametrize(
    ("lines", "above"),
    [
        (("track_script { s weight 5 reverse }",), "vrrp_script s { script /bin/true }"),
        (("track_script { s }",), "vrrp_script s {\nscript /bin/true\nweight 5 reverse\n}"),
        (("track_interface { eth1 weight 5 reverse }",), ""),
        (("track_file { f weight 5 reverse }",), "track_file f { file /x }"),
        (("track_file { f }",), "track_file f {\nfile /x\nweight 5 reverse\n}"),
        (("track_file { f }",), ""),
        (("track_process { p }",), ""),
    ],
)
def test_what_cannot_be_tracked_is_left_out(lines: tuple[str, ...], above: str) -> None:
    assert "track" not in vrrp(*lines, above=above)
    assert Fate.LEFT_OUT in {fate for fate, _ in remarks(*lines, above=above)}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("active", ["to master", "all INSTANCE VI MASTER 120"]),
        ("backup", ["to backup", "all INSTANCE VI BACKUP 120"]),
        ("fault", ["to fault", "all INSTANCE VI FAULT 120"]),
        ("initialize", ["to stop", "all INSTANCE VI STOP 120"]),
        ("test", []),
    ],
)
def test_notify_scripts_run_when_they_did(after: str, expected: list[str]) -> None:
    states = ("master", "backup", "fault", "stop")
    lines = [f"notify_{state} \"/bin/echo 'to {state}'\" root root" for state in states]
    assert hook_output(imported(instance("priority 120", *lines, 'notify "/bin/echo all"')), after) == expected


def test_a_notify_without_a_command_is_left_out() -> None:
    result = imported(instance('notify_master ""'))
    assert "hook" not in tree(result)
    assert [each.fate for each in result.remarks] == [Fate.LEFT_OUT]
