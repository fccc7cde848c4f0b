"""Are nftables' rules read as the kernel reads them?"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sipdispatch.doctor_finding import Verdict
from sipdispatch.doctor_firewall import Advert, Ruleset, Way, firewall_findings
from tests.peers.namespace import Namespace, Network
from tests.peers.need import require

IN = Advert(incoming=True, interface="eth0", source="192.0.2.12", destination="224.0.0.18")
FROM_ANYBODY = Advert(incoming=True, interface="eth0", source=None, destination="224.0.0.18")
TO_ME = Advert(incoming=True, interface="eth0", source="192.0.2.12", destination="192.0.2.11")
IN6 = Advert(incoming=True, interface="eth0", source="fe80::12", destination="ff02::12")
OUT = Advert(incoming=False, interface="eth0", source="192.0.2.11", destination="224.0.0.18")

ACCEPT, DROP = {Way.ACCEPT}, {Way.DROP}
BOTH = ACCEPT | DROP


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    require("nft")
    with Network() as network:
        host, other = network.host("a"), network.host("b")
        network.wire(host, "192.0.2.11/24", other, "192.0.2.12/24")
        yield host


def ruleset(host: Namespace, text: str) -> Ruleset:
    host.nft("flush ruleset")
    host.nft(text)
    return Ruleset(json.loads(host.run(str(require("nft")), "-j", "list", "ruleset")))


def table(rules: str, *, policy: str = "drop", more: str = "", hook: str = "input") -> str:
    chain = f"chain base {{\ntype filter hook {hook} priority 0; policy {policy};\n{rules}\n}}"
    return f"table inet filter {{\n{more}\n{chain}\n}}"


VRRP_CHAIN = "chain vrrp {\nip protocol 112 ip saddr 192.0.2.12 ip ttl 255 accept\nmeta l4proto 112 drop\n}"
FRIENDS = "set friends {\ntype ipv4_addr; flags interval\nelements = { 192.0.2.0/28, 198.51.100.1-198.51.100.9 }\n}"
VERDICTS = "map verdicts {\ntype inet_proto : verdict\nelements = { 112 : accept }\n}"
ASKED = [
    ("", IN, DROP),
    ("ip protocol 112 accept", IN, ACCEPT),
    ("ip protocol vrrp accept", IN6, DROP),
    ("ip6 nexthdr 112 accept", IN6, ACCEPT),
    ("meta l4proto { tcp, vrrp } accept", IN, ACCEPT),
    ("meta l4proto != tcp accept", IN, ACCEPT),
    ("ip protocol != 112 accept", IN, DROP),
    ("ip protocol 100-112 accept", IN, ACCEPT),
    ("ip protocol 1-111 accept", IN, DROP),
    ("udp dport 5060 accept", IN, DROP),
    ('iifname "eth0" accept', IN, ACCEPT),
    ('iifname "eth*" accept', IN, ACCEPT),
    ('iifname { "eth1", "eth2" } accept', IN, DROP),
    ('iif "lo" accept', IN, DROP),
    ('oifname "eth0" accept', IN, DROP),
    ("ip saddr 192.0.2.12 accept", IN, ACCEPT),
    ("ip saddr 192.0.2.12 accept", FROM_ANYBODY, BOTH),
    ("ip saddr != 192.0.2.0/24 accept", IN, DROP),
    ("ip saddr 192.0.2.10-192.0.2.20 accept", IN, ACCEPT),
    ("ip saddr @friends accept", IN, ACCEPT),
    ("ip daddr 224.0.0.0/4 accept", IN, ACCEPT),
    ("ip daddr 224.0.0.0/4 accept", TO_ME, DROP),
    ("ip ttl >= 255 accept", IN, ACCEPT),
    ("ip ttl < 255 accept", IN, DROP),
    ("meta pkttype multicast accept", IN, ACCEPT),
    ("fib daddr type multicast accept", IN, ACCEPT),
    ("fib daddr type local accept", TO_ME, ACCEPT),
    ("meta nfproto ipv4 accept", IN6, DROP),
    ("ct state established,related accept", IN, DROP),
    ("ct state established,related accept", TO_ME, BOTH),
    ("ct state new accept", IN, ACCEPT),
    ("ct mark 1 accept", IN, BOTH),
    ("limit rate 10/second accept", IN, BOTH),
    ('counter log prefix "x" accept', IN, ACCEPT),
    ("ip saddr 192.0.2.12 reject\naccept", IN, DROP),
    ("jump vrrp", IN, ACCEPT),
    ("jump vrrp", IN6, DROP),
    ("goto empty\naccept", IN, DROP),
    ("jump empty\naccept", IN, ACCEPT),
    ("jump leaving\naccept", IN, ACCEPT),
    ("meta l4proto vmap { tcp : drop, 112 : jump vrrp }", IN, ACCEPT),
    ("meta l4proto vmap { tcp : accept }", IN, DROP),
    ("meta l4proto vmap @verdicts", IN, ACCEPT),
    ("ct mark vmap { 1 : accept }", IN, BOTH),
    ("return\naccept", IN, DROP),
]


@pytest.mark.parametrize(
    ("rules", "advert", "expected"), ASKED, ids=[f"{rules}-{n}" for n, (rules, *_) in enumerate(ASKED)]
)
def test_a_rule_lets_an_advert_pass_or_not(rules: str, advert: Advert, expected: set[Way], host: Namespace) -> None:
    more = f"{FRIENDS}\n{VERDICTS}\n{VRRP_CHAIN}\nchain empty {{ }}\nchain leaving {{\nreturn\n}}"
    ((chain, ways),) = ruleset(host, table(rules, more=more)).judge(advert)
    assert chain == "inet filter base"
    assert ways == expected


def test_only_chains_that_the_advert_meets_are_asked(host: Namespace) -> None:
    rules = ruleset(
        host, table("drop", hook="output") + "\n" + "table ip nat {\nchain x {\ntype nat hook input priority 0;\n}\n}"
    )
    assert not list(rules.judge(IN))
    assert [ways for _, ways in rules.judge(OUT)] == [DROP]
    (finding_in, finding_out) = firewall_findings(rules, [IN, OUT])
    assert (finding_in.verdict, finding_out.verdict) == (Verdict.OK, Verdict.WRONG)
    assert "nft insert rule inet filter base ip protocol 112 accept" in finding_out.to_do


def test_what_is_not_clear_is_not_called_wrong(host: Namespace) -> None:
    (finding, _) = firewall_findings(ruleset(host, table("limit rate 1/second accept")), [IN])
    assert finding.verdict is Verdict.SKIPPED


def test_the_remedy_mends_it(host: Namespace) -> None:
    rules = ruleset(host, table(""))
    (finding, _) = firewall_findings(rules, [IN])
    remedy = finding.to_do.partition(", and")[0].removeprefix("nft ")
    host.nft(remedy)
    again = Ruleset(json.loads(host.run(str(require("nft")), "-j", "list", "ruleset")))
    assert next(firewall_findings(again, [IN])).verdict is Verdict.OK


@pytest.mark.parametrize(
    "expression",
    [
        {"xt": None},
        {"queue": {"num": 1}},
        {"match": None},
        {"match": {"op": "==", "left": {"payload": {"base": "th"}}, "right": 1}},
        {"match": {"op": "==", "left": {"socket": "x"}, "right": 1}},
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"what": 1}}},
        {"match": {"op": "<", "left": {"meta": {"key": "iifname"}}, "right": 1}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"range": [1, 2]}}},
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                "right": {"prefix": {"addr": "x", "len": 1}},
            }
        },
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"range": ["what", 2]}}},
        {"vmap": {"key": {"meta": {"key": "mark"}}, "data": {"set": ["x", [1, {"accept": None}]]}}},
        "text",
        {"a": 1, "b": 2},
    ],
)
def test_what_is_not_understood_leaves_both_ways_open(expression: object) -> None:
    chain = {"family": "inet", "table": "t", "name": "c", "hook": "input", "type": "filter", "policy": "drop"}
    rule = {"family": "inet", "table": "t", "chain": "c", "expr": [expression, {"accept": None}]}
    ((_, ways),) = Ruleset({"nftables": [{"chain": chain}, {"rule": rule}, "text"]}).judge(IN)
    assert ways == BOTH


def test_jumps_in_a_circle_end() -> None:
    chain = {"family": "inet", "table": "t", "name": "c", "hook": "input", "type": "filter"}
    rule = {"family": "inet", "table": "t", "chain": "c", "expr": [{"jump": {"target": "c"}}]}
    ((_, ways),) = Ruleset({"nftables": [{"chain": chain}, {"rule": rule}]}).judge(IN)
    assert ways == BOTH
