"""What becomes of the keepalived.conf of a test, one of the files or a few lines?"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

from sipdispatch.keepalived_import import Imported, translate, virtual_routers
from sipdispatch.keepalived_read import Fate, read_keepalived
from sipdispatch.toml_text import toml_text

FILES = Path(__file__).parent / "keepalived"
NAMES = sorted(path.stem for path in FILES.glob("*.conf"))
FOR_NODE = {"one_file_for_both": "a"}


def imported(text: str, *, name: str | None = None, node: str | None = None, other: int | None = None) -> Imported:
    document = read_keepalived(text, node=node)
    routers = virtual_routers(document)
    router = routers[0] if name is None else next(each for each in routers if each.is_called(name))
    return translate(document, router, other_priority=other)


def of_file(name: str) -> Imported:
    return imported((FILES / f"{name}.conf").read_text(), node=FOR_NODE.get(name))


def tree(result: Imported) -> dict[str, Any]:
    return tomllib.loads(toml_text(result.tables))


def instance(*lines: str, above: str = "") -> str:
    inside = ["interface eth0", "virtual_router_id 51", *lines]
    if not any("virtual_ipaddress {" in line for line in lines):
        inside.append("virtual_ipaddress { 192.0.2.100/24 }")
    body = "\n".join(inside)
    return f"{above}\nvrrp_instance VI {{\n{body}\n}}\n"


def vrrp(*lines: str, above: str = "", other: int | None = None) -> dict[str, Any]:
    section: dict[str, Any] = tree(imported(instance(*lines, above=above), other=other))["vrrp"]
    return section


def remarks(*lines: str, above: str = "", other: int | None = None) -> list[tuple[Fate, str]]:
    return [(each.fate, each.what) for each in imported(instance(*lines, above=above), other=other).remarks]


def hook_output(result: Imported, after: str) -> list[str]:
    said = []
    for hook in tree(result)["hook"]:
        assert hook["on"] == ["vrrp"]
        environment = {"SIPDISPATCH_AFTER": after, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(hook["command"], env=environment, capture_output=True, text=True, check=True)
        said += done.stdout.splitlines()
    return said
