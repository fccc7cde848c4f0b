"""Does `sipdispatch vrrp import` write a file that can be used, and tell what is not in it?"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sipdispatch.cli import main
from sipdispatch.config import VrrpConfig
from sipdispatch.vrrp_load import load_agent

FILES = Path(__file__).parent / "keepalived"


def run(*arguments: str | Path) -> int:
    return main(["vrrp", "import", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def test_the_result_is_the_agents_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "sipdispatch.toml"
    assert run(FILES / "article_a.conf", "-o", output) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("VI_SIP: 3 changed, 1 to do\n")
    loaded = load_agent(output)
    assert isinstance(loaded, VrrpConfig)
    assert loaded.vrrp.track.sip == ("192.0.2.11", 5060)
    assert not loaded.warnings


def test_the_result_goes_to_standard_output_and_remarks_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FILES / "dual_stack.conf") == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("# From dual_stack.conf, by sipdispatch vrrp import.\n\n[vrrp]\n")
    assert tomllib.loads(captured.out)["vrrp"]["vrid"] == 10
    first, *_ = captured.err.splitlines()
    assert first.startswith(f"{FILES}/dual_stack.conf:12: left out: 192.0.2.100/24 brd ")


def test_no_file_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "there.toml"
    output.write_text("mine")
    assert "the file is there already" in refused(capsys, FILES / "article_a.conf", "-o", output)
    assert output.read_text() == "mine"
    link = tmp_path / "link.toml"
    link.symlink_to(tmp_path / "nowhere")
    assert "the file is there already" in refused(capsys, FILES / "article_a.conf", "-o", link)
    assert "cannot be written" in refused(capsys, FILES / "article_a.conf", "-o", tmp_path / "no" / "x.toml")


def test_the_first_of_several_is_written_and_the_others_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FILES / "two_halves.conf") == 1
    captured = capsys.readouterr()
    assert "control" not in tomllib.loads(captured.out)["vrrp"]
    assert "two_halves.conf:9: left out: vrrp_instance VI_2: " in captured.err
    assert run(FILES / "two_halves.conf", "--instance", "VI_1") == 0


def test_each_further_one_has_a_control_socket_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "second.toml"
    assert run(FILES / "two_halves.conf", "--instance", "VI_2", "-o", output) == 0
    assert "to do: vrrp_instance VI_2" in capsys.readouterr().err
    loaded = load_agent(output)
    assert isinstance(loaded, VrrpConfig)
    assert loaded.vrrp.vrid == 52
    assert loaded.vrrp.control.socket == Path("/run/sipdispatch-vrrp-VI-2/vrrp.sock")


def test_a_name_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "write one of VI_1, VI_2" in refused(capsys, FILES / "two_halves.conf", "--instance", "VI_3")


def test_the_lines_of_a_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--node" in refused(capsys, FILES / "one_file_for_both.conf")
    run(FILES / "one_file_for_both.conf", "--node", "b")
    assert tomllib.loads(capsys.readouterr().out)["vrrp"]["source"] == "192.0.2.12"


def test_the_other_nodes_file_keeps_the_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "vrrp_instance VI {{ interface eth0\nvirtual_router_id 1\npriority {}\nvirtual_ipaddress {{ 192.0.2.1 }}\n}}"
    paths = tmp_path / "a.conf", tmp_path / "b.conf"
    for path, priority in zip(paths, (100, 90), strict=True):
        path.write_text(text.format(priority))
    priorities = []
    for ours, theirs in (paths, paths[::-1]):
        run(ours, "--other", theirs)
        priorities.append(tomllib.loads(capsys.readouterr().out)["vrrp"]["priority"])
    assert priorities == [101, 100]
    assert "there is no vrrp_instance VI" in refused(capsys, paths[0], "--other", FILES / "ipv6.conf")
    assert "no vrrp_instance" in refused(capsys, paths[0], "--other", "/dev/null")


def test_a_file_that_makes_no_sense_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_bytes(b"\xff\n\nvrrp_instance x {\n")
    assert f"{path}:3" in refused(capsys, path)
    assert "cannot be read" in refused(capsys, tmp_path / "none")
    assert "there is no vrrp_instance in it" in refused(capsys, "/dev/null")


def test_what_our_reader_would_refuse_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = tmp_path / "keepalived.conf", tmp_path / "out.toml"
    path.write_text("vrrp_instance VI { interface a/b\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n}")
    assert "vrrp.interface" in refused(capsys, path, "-o", output)
    assert not output.exists()
