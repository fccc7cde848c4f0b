"""Do the options of `sipdispatch proxy` become the configuration that the proxy runs with?"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from dispatcher.algorithm import Algorithm, Kind
from sipdispatch.cli import main
from sipdispatch.config import Config


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Config]:
    """The configurations that a proxy was started with; it ends at once, with status 5."""
    configurations: list[Config] = []

    def run(config: Config) -> int:
        configurations.append(config)
        return 5

    proxy = ModuleType("sipdispatch.proxy")
    proxy.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, "sipdispatch.proxy", proxy)
    monkeypatch.chdir(tmp_path)
    return configurations


def test_options_become_the_configuration(started: list[Config], tmp_path: Path) -> None:
    options = "proxy --listen 192.0.2.10 --list a.list --set 2 --algorithm aor --advertise sip.example.com:5080"
    assert main(options.split()) == 5
    (config,) = started
    assert config.path is None
    assert config.proxy.listen[0].advertise == ("sip.example.com", 5080)
    assert config.proxy.list_path == tmp_path / "a.list"
    assert config.proxy.set_id == 2
    assert config.proxy.algorithm == Algorithm(Kind.AOR)


def test_several_listeners(started: list[Config]) -> None:
    assert main(["proxy", "--listen", "192.0.2.10", "--listen", "[2001:db8::1]:5070"]) == 5
    assert [str(listener) for listener in started[0].proxy.listen] == ["udp:192.0.2.10:5060", "udp:[2001:db8::1]:5070"]


def test_a_file_and_an_option_over_it(started: list[Config]) -> None:
    Path("sipdispatch.toml").write_text('[proxy]\nlisten = "192.0.2.10"\nset = 1\n')
    assert main(["proxy", "--config", "sipdispatch.toml", "--set", "0"]) == 5
    assert started[0].path == Path("sipdispatch.toml")
    assert started[0].proxy.set_id == 0


def test_what_is_wrong_is_told_all_at_once_and_nothing_starts(
    started: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sipdispatch.toml").write_text('[proxy]\nset = "1"\nalgorithm = "random"\n')
    assert main(["proxy", "--config", "sipdispatch.toml", "--listen", "eth0"]) == 2
    assert started == []
    assert capsys.readouterr().err == (
        'sipdispatch: error: proxy.set: must be a whole number, not text ("1")\n'
        "  where: sipdispatch.toml:2:7\n"
        "  to do: write 1 without quotes\n"
        'sipdispatch: error: "eth0" is a name, and a listener has an address\n'
        "  where: option --listen\n"
        "  to do: write the address, as in udp:192.0.2.10:5060, and the name with --advertise\n"
    )


def test_a_file_that_is_not_there(started: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["proxy", "--config", "missing.toml"]) == 2
    assert started == []
    assert capsys.readouterr().err == (
        "sipdispatch: error: the file cannot be read: No such file or directory\n"
        "  where: missing.toml\n"
        "  to do: name a file that can be read\n"
    )
