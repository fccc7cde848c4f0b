"""Who holds a port: the real /proc of this node, and written ones."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dispatcher.holder import Holder, command_of, udp_holder

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n"


def line(local: str, uid: int, inode: int) -> str:
    return f"  12: {local} 00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 2 0000 0\n"


def proc(folder: Path, *, udp: str = "", udp6: str = "") -> Path:
    (folder / "net").mkdir()
    (folder / "net" / "udp").write_text(HEADER + udp)
    (folder / "net" / "udp6").write_text(HEADER + udp6)
    return folder


def process(folder: Path, pid: int, command: str, inode: int) -> None:
    (folder / str(pid) / "fd").mkdir(parents=True)
    (folder / str(pid) / "comm").write_text(command + "\n")
    (folder / str(pid) / "fd" / "0").symlink_to("/dev/null")
    (folder / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_this_process_is_found(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        holder = udp_holder((host, sock.getsockname()[1]))
    assert holder is not None
    assert holder == Holder(os.getuid(), os.getpid(), command_of(os.getpid()))
    assert f"pid {os.getpid()}" in str(holder)


@pytest.mark.parametrize(
    ("wanted", "bound"),
    [
        ("192.0.2.1", "010200C0:13C4"),
        ("192.0.2.1", "00000000:13C4"),
        ("0.0.0.0", "010200C0:13C4"),
    ],
)
def test_a_wildcard_is_in_the_way_of_all_and_all_of_a_wildcard(tmp_path: Path, wanted: str, bound: str) -> None:
    process(proc(tmp_path, udp=line("0100007F:0035", 1, 1) + line(bound, 104, 77)), 4711, "kamailio", 77)
    assert udp_holder((wanted, 5060), proc=tmp_path) == Holder(104, 4711, "kamailio")
    assert str(udp_holder((wanted, 5060), proc=tmp_path)) == "kamailio (pid 4711)"


def test_an_ipv6_wildcard_is_in_the_way_of_ipv4(tmp_path: Path) -> None:
    proc(tmp_path, udp6=line("0" * 32 + ":13C4", 0, 5))
    assert udp_holder(("192.0.2.1", 5060), proc=tmp_path) == Holder(0)


def test_another_address_or_port_is_not(tmp_path: Path) -> None:
    proc(tmp_path, udp=line("020200C0:13C4", 0, 5) + line("010200C0:13C5", 0, 6))
    assert udp_holder(("192.0.2.1", 5060), proc=tmp_path) is None


def test_a_scope_is_not_part_of_the_address(tmp_path: Path) -> None:
    proc(tmp_path, udp6=line("000080FE" + "0" * 16 + "01000000" + ":13C4", 3, 5))
    assert udp_holder(("fe80::1%eth0", 5060), proc=tmp_path) == Holder(3)


def test_without_the_right_to_look_only_the_user_is_known(tmp_path: Path) -> None:
    process(proc(tmp_path, udp=line("010200C0:13C4", 104, 77)), 4711, "other", 78)
    (tmp_path / "4712").mkdir()  # its fd folder cannot be read
    (tmp_path / "self").mkdir()
    assert str(udp_holder(("192.0.2.1", 5060), proc=tmp_path)) == "a process of user id 104"


def test_a_process_without_a_name_has_its_pid(tmp_path: Path) -> None:
    process(proc(tmp_path, udp=line("010200C0:13C4", 104, 77)), 4711, "", 77)
    assert str(udp_holder(("192.0.2.1", 5060), proc=tmp_path)) == "process (pid 4711)"


def test_no_proc_is_no_holder(tmp_path: Path) -> None:
    assert udp_holder(("192.0.2.1", 5060), proc=tmp_path) is None
    assert command_of(1, proc=tmp_path) is None
