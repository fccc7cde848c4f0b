"""Do a file, its defaults and the options of the command line make the tree that the operator means?"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from dispatcher.algorithm import Algorithm, Kind
from dispatcher.listener import Listener
from dispatcher.rules import Rule
from dispatcher.user_pattern import compile_user_pattern
from sipdispatch.config import Config, ConfigProblem, Flags, Proxy
from sipdispatch.load import load, read_config
from tests.sipdispatch.configured import LISTEN, good, said, written

# --------------------------------------------------------------------------------------------------------------------
# The tree


def test_the_defaults(tmp_path: Path) -> None:
    assert good(tmp_path, LISTEN) == Proxy(
        listen=(Listener("udp", ("192.0.2.10", 5060)),),
        list_path=tmp_path / "dispatcher.list",
        secret_file=Path("/var/lib/sipdispatch/secret"),
        state_dir=Path("/var/lib/sipdispatch"),
        set_id=1,
        algorithm=Algorithm(Kind.WEIGHT),
        aor_domain=False,
        domains=(),
        core_networks=(),
        rewrite_host=False,
        force_rport="nat",
        no_destination=503,
        retry_after=5,
        recent_choices=262_144,
        receive_buffer=8 << 20,
        send_buffer=8 << 20,
        server_header="sipdispatch",
        log_level="info",
        log_format="auto",
        fastpath="auto",
        workers=None,
        routes=(),
    )


def test_every_key(tmp_path: Path) -> None:
    text = r"""
[proxy]
listen = [
    "UDP:192.0.2.10",
    "[2001:0DB8::1]:5080",
    { address = "198.51.100.10:5060", advertise = "SIP.example.com." },
    { address = "udp:198.51.100.11", advertise = "[2001:db8:0::9]:5090" },
]
list = "lists/dispatcher.list"
set = 2
algorithm = "header:X-Account"
aor_domain = true
domains = ["Example.com", "203.0.113.5", "[2001:db8::5]"]
core_networks = ["10.0.0.0/8", "2001:db8:5::/48", "172.16.0.9"]
secret_file = "/etc/sipdispatch/secret"
state_dir = "state"
rewrite_host = true
force_rport = "always"
no_destination = "panic"
retry_after = 0
recent_choices = 16
receive_buffer = "512KiB"
send_buffer = 65536
server_header = ""
log_level = "debug"
log_format = "json"
fastpath = "on"
workers = 2

[[proxy.route]]
method = "REGISTER"
host = ["example.com", "Example.ORG"]
source = "198.51.100.0/24"
listener = "192.0.2.10"
set = 3

[[proxy.route]]
method = ["INVITE", "X-Ping"]
user_prefix = ["+49", "0049"]
listener = ["udp:192.0.2.10:5060", "[2001:db8::1]:5080"]
algorithm = 15

[[proxy.route]]
user_regex = '^\d{4}$'
source = ["10.0.0.1", "::/0"]
set = 0
algorithm = "aor"
"""
    assert good(tmp_path, text) == Proxy(
        listen=(
            Listener("udp", ("192.0.2.10", 5060)),
            Listener("udp", ("2001:db8::1", 5080)),
            Listener("udp", ("198.51.100.10", 5060), ("sip.example.com", 5060)),
            Listener("udp", ("198.51.100.11", 5060), ("2001:db8::9", 5090)),
        ),
        list_path=tmp_path / "lists/dispatcher.list",
        secret_file=Path("/etc/sipdispatch/secret"),
        state_dir=tmp_path / "state",
        set_id=2,
        algorithm=Algorithm(Kind.HEADER, "X-Account"),
        aor_domain=True,
        domains=("example.com", "203.0.113.5", "2001:db8::5"),
        core_networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8:5::/48"), ip_network("172.16.0.9")),
        rewrite_host=True,
        force_rport="always",
        no_destination="panic",
        retry_after=0,
        recent_choices=16,
        receive_buffer=524_288,
        send_buffer=65_536,
        server_header="",
        log_level="debug",
        log_format="json",
        fastpath="on",
        workers=2,
        routes=(
            Rule(
                methods=frozenset((b"REGISTER",)),
                hosts=frozenset(("example.com", "example.org")),
                sources=(ip_network("198.51.100.0/24"),),
                listeners=frozenset(("udp:192.0.2.10:5060",)),
                set_id=3,
            ),
            Rule(
                methods=frozenset((b"INVITE", b"X-Ping")),
                user_prefixes=(b"+49", b"0049"),
                listeners=frozenset(("udp:192.0.2.10:5060", "udp:[2001:db8::1]:5080")),
                algorithm=Algorithm(Kind.TIERS),
            ),
            Rule(
                user_regex=compile_user_pattern(r"^\d{4}$"),
                sources=(ip_network("10.0.0.1"), ip_network("::/0")),
                set_id=0,
                algorithm=Algorithm(Kind.AOR),
            ),
        ),
    )


def test_one_value_may_stand_for_a_list_of_one(tmp_path: Path) -> None:
    text = '[proxy]\nlisten = "192.0.2.10"\ndomains = "example.com"\ncore_networks = "10.0.0.0/8"\n'
    proxy = good(tmp_path, text)
    assert proxy.listen == (Listener("udp", ("192.0.2.10", 5060)),)
    assert proxy.domains == ("example.com",)
    assert proxy.core_networks == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("line", "field", "expected"),
    [
        ("no_destination = 404", "no_destination", 404),
        ('server_header = "PBX 1.0 (edge)"', "server_header", "PBX 1.0 (edge)"),
        ('receive_buffer = "1GiB"', "receive_buffer", 1 << 30),
        ("algorithm = 9", "algorithm", Algorithm(Kind.WEIGHT)),
        ('algorithm = "0"', "algorithm", Algorithm(Kind.CALL_ID)),
        ("set = 0", "set_id", 0),
    ],
)
def test_other_values(tmp_path: Path, line: str, field: str, expected: object) -> None:
    assert getattr(good(tmp_path, LISTEN + line + "\n"), field) == expected


@pytest.mark.parametrize("table", ["listen = { address = '192.0.2.10' }", "listen = [{ address = '192.0.2.10' }]"])
def test_a_listener_may_be_a_table_without_advertise(tmp_path: Path, table: str) -> None:
    assert good(tmp_path, f"[proxy]\n{table}\n").listen == (Listener("udp", ("192.0.2.10", 5060)),)


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [
        ("sip.example.com", ("sip.example.com", 5070)),
        ("sip.example.com:5080", ("sip.example.com", 5080)),
        ("203.0.113.9", ("203.0.113.9", 5070)),
        ("[2001:DB8::9]", ("2001:db8::9", 5070)),
        ("udp.example.com", ("udp.example.com", 5070)),
        ("localhost", ("localhost", 5070)),
    ],
)
def test_advertise_of_the_section_is_that_of_the_one_listener(
    tmp_path: Path, advertise: str, expected: tuple[str, int]
) -> None:
    proxy = good(tmp_path, f'[proxy]\nlisten = ["192.0.2.10:5070"]\nadvertise = "{advertise}"\n')
    assert proxy.listen == (Listener("udp", ("192.0.2.10", 5070), expected),)


def test_a_wildcard_may_be_advertised_and_then_says_nothing(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[proxy]\nlisten = "0.0.0.0"\nadvertise = "203.0.113.9"\n'), environ={}, uid=0)
    assert isinstance(loaded, Config)
    assert loaded.warnings == ()
    assert loaded.proxy.listen[0].is_wildcard


def test_a_rule_may_name_an_address_that_a_wildcard_will_mean(tmp_path: Path) -> None:
    rule = '[[proxy.route]]\nset = 2\nlistener = ["192.0.2.10", "[2001:db8::1]"]\n'
    proxy = good(tmp_path, f'[proxy]\nlisten = ["0.0.0.0", "[::]"]\n{rule}')
    assert proxy.routes[0].listeners == {"udp:192.0.2.10:5060", "udp:[2001:db8::1]:5060"}
    path = written(tmp_path, f'[proxy]\nlisten = ["0.0.0.0:5070"]\n{rule}')
    place = f"{path}:5:12: error: proxy.route[0].listener"
    assert [line for line in said(path) if "error" in line] == [
        f"{place}: udp:192.0.2.10:5060 is not in listen; write one of udp:0.0.0.0:5070",
        f"{place}: udp:[2001:db8::1]:5060 is not in listen; write one of udp:0.0.0.0:5070",
    ]


def test_one_name_for_both_families_is_right(tmp_path: Path) -> None:
    both = ", ".join(
        f'{{ address = "{address}", advertise = "sip.example.com" }}' for address in ("192.0.2.10", "[2001:db8::1]")
    )
    assert len(good(tmp_path, f"[proxy]\nlisten = [{both}]\n").listen) == 2


def test_inner_listener_inside_core_networks_is_right(tmp_path: Path) -> None:
    text = '[proxy]\nlisten = ["192.0.2.10", "10.0.0.5"]\ncore_networks = ["10.0.0.0/8", "2001:db8::/32"]\n'
    loaded = load(written(tmp_path, text), environ={}, uid=0)
    assert isinstance(loaded, Config)
    assert loaded.warnings == ()


def test_reading_again_with_the_same_options_gives_the_same(tmp_path: Path) -> None:
    first = load(written(tmp_path, LISTEN), Flags(set_id=7), environ={}, uid=0)
    assert isinstance(first, Config)
    assert first.flags == Flags(set_id=7)
    assert load(first.path, first.flags, environ={}, uid=0) == first


def test_the_tree_cannot_be_changed(tmp_path: Path) -> None:
    proxy = good(tmp_path, LISTEN)
    with pytest.raises(AttributeError):
        proxy.set_id = 2  # type: ignore[misc]


# --------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + LISTEN.encode(), LISTEN.replace("\n", "\r\n").encode()])
def test_files_of_windows_editors_are_read(tmp_path: Path, text: bytes) -> None:
    assert good(tmp_path, text) == good(tmp_path, LISTEN)


def test_what_is_said_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"
    assert said(path) == [
        f"{path}: error: the file cannot be read: No such file or directory; name a file that can be read"
    ]
    assert said(tmp_path) == [
        f"{tmp_path}: error: the file cannot be read: Is a directory; name a file that can be read"
    ]


def test_what_is_said_of_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = written(tmp_path, LISTEN.encode() + b"list = '\xfc'\n")
    assert said(path) == [f"{path}:3:9: error: the byte 0xfc is not UTF-8; save the file as UTF-8"]


def test_what_is_said_of_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = written(tmp_path, "#" * (1 << 20) + "\n")
    assert said(path) == [
        f"{path}: error: the file is longer than 1048576 bytes; name the configuration, a file of some dozen lines"
    ]


def test_what_is_said_of_brackets_without_end(tmp_path: Path) -> None:
    path = written(tmp_path, "[proxy]\nlisten = " + "[" * 20_000 + "\n")
    assert said(path) == [f"{path}: error: lists or tables are nested too deeply; write fewer brackets"]


@pytest.mark.parametrize(
    ("line", "place", "hint"),
    [
        (
            "algorithm = weight",
            "3:13",
            'write text in quotes, as in algorithm = "weight"; true and false in lower case',
        ),
        ("aor_domain = True", "3:14", 'write text in quotes, as in algorithm = "weight"; true and false in lower case'),
        ("algorithm weight", "3:11", "write a line as key = value, a section as [proxy]"),
        ("algorithm: weight", "3:10", "write a line as key = value, a section as [proxy]"),
        ("set = 1\nset = 2", "4:8", "the key stands twice in its section: leave one of them out"),
        ("[proxy]", "3:7", "the section stands twice: put its keys together"),
        ("domains = [", "3:12", 'write text in quotes, as in algorithm = "weight"; true and false in lower case'),
        ("domains = ['a'", "3:15", "close the list with ]"),
        ("domains = { a = 1", "3:18", "close the table with }, in the same line"),
        ('algorithm = "weight', "3:20", "close the quotes in this line, or take the invisible character out"),
        ('algorithm = """weight', "3:22", "close the text with the quote that it began with"),
        (r'list = "^\+49"', "3:12", "write text with backslashes in single quotes"),
        ("set = 1 list = 'x'", "3:9", "write one key in a line, text in quotes, and a comment after #"),
        ("=", "3:1", "write a line as key = value, a section as [proxy], a comment after #"),
        ('"a\\u00"="x"', "3:5", "look at this line and above"),
    ],
)
def test_what_is_said_of_a_file_that_is_not_toml(tmp_path: Path, line: str, place: str, hint: str) -> None:
    path = written(tmp_path, f"{LISTEN}{line}\n")
    (problem,) = said(path)
    assert problem.startswith(f"{path}:{place}: error: this is not TOML: ")
    assert problem.endswith(f"; {hint}")


def test_relative_paths_start_at_the_file_not_at_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    written(tmp_path / "etc", LISTEN + 'list = "a.list"\n')
    monkeypatch.chdir(tmp_path)
    loaded = load(Path("etc/sipdispatch.toml"), environ={}, uid=0)
    assert isinstance(loaded, Config)
    assert loaded.proxy.list_path == tmp_path / "etc" / "a.list"
    assert loaded.path == Path("etc/sipdispatch.toml")


# --------------------------------------------------------------------------------------------------------------------
# Where state is kept


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({}, 0, "/var/lib/sipdispatch"),
        ({"STATE_DIRECTORY": "/var/lib/one"}, 1000, "/var/lib/one"),
        ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, 0, "/var/lib/one"),
        ({"XDG_STATE_HOME": "/home/eve/state", "HOME": "/home/eve"}, 1000, "/home/eve/state/sipdispatch"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/eve"}, 1000, "/home/eve/.local/state/sipdispatch"),
        ({"HOME": "/home/eve"}, 1000, "/home/eve/.local/state/sipdispatch"),
        ({"XDG_STATE_HOME": "/x"}, 0, "/var/lib/sipdispatch"),
    ],
)
def test_the_folder_of_state(tmp_path: Path, environ: dict[str, str], uid: int, expected: str) -> None:
    loaded = load(written(tmp_path, LISTEN), environ=environ, uid=uid)
    assert isinstance(loaded, Config)
    assert loaded.proxy.state_dir == Path(expected)
    assert loaded.proxy.secret_file == Path(expected, "secret")


def test_without_a_home_the_folder_must_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, LISTEN)
    (problem,) = read_config(path, environ={"HOME": ""}, uid=1000).problems
    assert str(problem) == (
        f"{path}:1:1: error: proxy.state_dir: is missing;"
        ' write state_dir = "/var/lib/sipdispatch": this process has no home directory'
    )


def test_the_process_itself_decides_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    loaded = load(written(tmp_path, LISTEN))
    assert isinstance(loaded, Config)
    assert loaded.proxy.state_dir == tmp_path


def test_the_secret_follows_the_folder_of_state(tmp_path: Path) -> None:
    assert good(tmp_path, LISTEN + 'state_dir = "s"\n').secret_file == tmp_path / "s" / "secret"


# --------------------------------------------------------------------------------------------------------------------
# Problems


def test_the_list_is_known_beside_a_wrong_configuration(tmp_path: Path) -> None:
    wrong = read_config(written(tmp_path, LISTEN + "set = 'x'\nlist = 'a.list'\n"))
    assert wrong.config is None
    assert wrong.list_path == tmp_path / "a.list"
    assert read_config(written(tmp_path, LISTEN + "list = 5\n")).list_path is None
    assert read_config(tmp_path / "missing").list_path is None
    assert (
        read_config(written(tmp_path, "[proxy]\nlisten = 'x'\nstate_dir = 5\n")).list_path
        == tmp_path / "dispatcher.list"
    )


def test_a_problem_as_plain_values() -> None:
    problem = ConfigProblem(path="a.toml", line=3, column=7, key="proxy.set", message="wrong", hint="right")
    assert problem.to_json() == {
        "path": "a.toml",
        "line": 3,
        "column": 7,
        "severity": "error",
        "key": "proxy.set",
        "message": "wrong",
        "hint": "right",
    }
    assert ConfigProblem(option="--set", message="wrong").to_json()["path"] == "option --set"
    assert str(ConfigProblem(path="a.toml", message="wrong")) == "a.toml: error: wrong"
