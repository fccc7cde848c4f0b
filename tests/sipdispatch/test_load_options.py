"""Do the options of the command line stand in place of keys, and are their mistakes told beside those of the file?"""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.listener import Listener
from sipdispatch.config import Config, Flags
from sipdispatch.load import load
from tests.sipdispatch.configured import LISTEN, good, said, written


def test_options_stand_in_place_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = Flags(
        listen=("udp:192.0.2.11:5070",), list_path="other.list", set_id=7, algorithm="aor", advertise="a.example"
    )
    (tmp_path / "etc").mkdir()
    proxy = good(tmp_path / "etc", LISTEN + 'set = 1\nlist = "x"\nalgorithm = "wrong"\n', flags)
    assert proxy.listen == (Listener("udp", ("192.0.2.11", 5070), ("a.example", 5070)),)
    assert proxy.list_path == tmp_path / "other.list"
    assert proxy.set_id == 7
    assert proxy.algorithm == Algorithm(Kind.AOR)


def test_options_alone_are_enough() -> None:
    loaded = load(None, Flags(listen=("127.0.0.1", "[::1]")), environ={}, uid=0)
    assert isinstance(loaded, Config)
    assert loaded.path is None
    assert [str(listener) for listener in loaded.proxy.listen] == ["udp:127.0.0.1:5060", "udp:[::1]:5060"]
    assert loaded.proxy.list_path == Path("/etc/sipdispatch/dispatcher.list")


def test_nothing_at_all_is_told_to_listen_somewhere() -> None:
    assert said(None) == [
        (
            "command line: error: proxy.listen: there is no address to listen on;"
            " give --listen udp:ADDRESS:5060, or --config FILE, as /etc/sipdispatch/sipdispatch.toml"
        )
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            Flags(listen=("sip.example.com", "192.0.2.10")),
            (
                'option --listen: error: "sip.example.com" is a name, and a listener has an address;'
                " write the address, as in udp:192.0.2.10:5060, and the name with --advertise"
            ),
        ),
        (
            Flags(listen=("192.0.2.10", "192.0.2.11"), advertise="a.example"),
            (
                "option --advertise: error: there are 2 listeners, and this names one; write it with its listener:"
                ' listen = [{ address = "udp:192.0.2.10:5060", advertise = "a.example" }, ...]'
            ),
        ),
        (
            Flags(listen=("192.0.2.10",), list_path=""),
            "option --list: error: is empty; write a value, or leave the key out",
        ),
        (
            Flags(listen=("192.0.2.10",), list_path="~/x"),
            'option --list: error: "~/x" is not expanded as a shell does it; write the whole path, from /',
        ),
        (
            Flags(listen=("192.0.2.10",), set_id=-1),
            "option --set: error: -1 is out of range; write the number of a set from 0 to 2147483647",
        ),
        (
            Flags(listen=("192.0.2.10",), algorithm="wieght"),
            "option --algorithm: error: wieght is not the name of an algorithm; did you mean weight?",
        ),
    ],
)
def test_what_is_said_of_a_wrong_option(flags: Flags, expected: str) -> None:
    assert said(None, flags) == [expected]


def test_mistakes_of_file_and_options_are_told_together_the_files_first(tmp_path: Path) -> None:
    path = written(tmp_path, LISTEN + "set = 'x'\nlist = 5\n")
    assert said(path, Flags(algorithm="x", advertise=":")) == [
        (
            f'{path}:3:7: error: proxy.set: must be a whole number, not text ("x");'
            " write the number of a set from 0 to 2147483647"
        ),
        f'{path}:4:8: error: proxy.list: must be text, not a number (5); write "5", in quotes',
        'option --advertise: error: "" is not a port; write a port from 1 to 65535',
        (
            "option --algorithm: error: x is not the name of an algorithm; write one of call-id, from, to, request-uri,"
            " round-robin, auth-user, random, header:NAME, priority, weight, relative-weight, tiers, aor,"
            " latency, call-load"
        ),
    ]


def test_options_do_not_hide_that_the_section_is_no_table(tmp_path: Path) -> None:
    path = written(tmp_path, "proxy = 1\n")
    assert said(path, Flags(listen=("192.0.2.10",))) == [
        f"{path}:1:9: error: proxy: must be a table, not a number (1); write the line [proxy] above its keys"
    ]
