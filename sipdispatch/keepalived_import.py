"""Which configuration of ours stands for a virtual router in a keepalived.conf, and what cannot be said in it?

Virtual routers in one vrrp_sync_group become one: here all addresses of a node move together.  Pure: nothing that the
file names is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Final

import attrs

from sipdispatch import keepalived_words
from sipdispatch.keepalived_read import Document, Fate, Remark, Statement, UnreadableError, find_all, find_last, shown
from sipdispatch.keepalived_tracks import STATES, Names, Tracks, hook_of, seconds_of, whole_of
from sipdispatch.toml_text import TextTable, Value, toml_time

PASSWORD_FILE: Final = "/etc/sipdispatch/vrrp.password"
KEYS_FILE: Final = "/etc/sipdispatch/vrrp.keys"
LEAST, MOST, USUAL = 100, 254, 100
"""Priorities; that of a virtual router without one."""
_ADDRESSES: Final = ("virtual_ipaddress", "virtual_ipaddress_excluded")
_TRACKS: Final = ("track_interface", "track_script", "track_file")
_TAKEN: Final = frozenset(
    {
        "state",
        "interface",
        "virtual_router_id",
        "priority",
        "advert_int",
        "version",
        "nopreempt",
        "preempt_delay",
        "unicast_src_ip",
        "mcast_src_ip",
        "mcast_dst_ip",
        "unicast_peer",
        "unicast_ttl",
        "authentication",
        "auth_hmac",
        "garp_master_refresh",
        "v3_checksum_as_v2",
        "down_timer_adverts",
        "group",
        "notify",
        *STATES,
        *_ADDRESSES,
        *_TRACKS,
    }
)
"""Keywords that the translation looks at by itself."""
_NO: Final = ("off", "false", "no")
_GROUPS: Final = ("224.0.0.18", "ff02::12")


@attrs.frozen
class VirtualRouter:
    """What one agent does: an instance, or all of a sync group, whose first one decides."""

    name: str
    instances: tuple[Statement, ...]
    group: Statement | None = None

    @property
    def first(self) -> Statement:
        """The one that decides."""
        return self.instances[0]

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.first.line

    def is_called(self, name: str) -> bool:
        """Whether it, or one of its instances, has this name."""
        return name == self.name or any(each.value == name for each in self.instances)


@attrs.frozen
class Imported:
    """The tables of our configuration, and what is to be known about them in the order of the lines."""

    router: VirtualRouter
    tables: tuple[TextTable, ...]
    remarks: tuple[Remark, ...]


def virtual_routers(document: Document) -> tuple[VirtualRouter, ...]:
    """In the order of the file; raises UnreadableError when there are none."""
    instances = {each.value: each for each in find_all(document.statements, "vrrp_instance")}
    if not instances:
        raise UnreadableError(0, "there is no vrrp_instance in it", "name the file that keepalived reads")
    found: list[VirtualRouter] = []
    grouped: set[str] = set()
    for group in find_all(document.statements, "vrrp_sync_group"):
        members = [name for name in _members(group) if name in instances and name not in grouped]
        if members:
            grouped.update(members)
            found.append(VirtualRouter(group.value, tuple(instances[name] for name in members), group))
    found += [VirtualRouter(name, (each,)) for name, each in instances.items() if name not in grouped]
    return tuple(sorted(found, key=lambda router: router.line))


def _members(group: Statement) -> list[str]:
    names = [word for each in find_all(group.inside, "group") for line in each.inside for word in line.words]
    return list(dict.fromkeys(names))


def priority_of(router: VirtualRouter) -> int:
    """As it stands there, 100 without; raises UnreadableError."""
    found = find_last(router.first.inside, "priority")
    if found is None:
        return USUAL
    number = whole_of(found.value)
    if number is None or not 1 <= number <= 255:
        raise _not_a(found, "priority", "write a number from 1 to 255")
    return number


def _not_a(statement: Statement, what: str, hint: str) -> UnreadableError:
    """For a value that means nothing here: one with $ may be defined in lines that are for one node only."""
    if "$" in statement.value:
        hint = "say with --node which node this is, if it is defined for one node only, or write it out"
    return UnreadableError(statement.line, f"{statement.value or 'nothing'} is no {what}", hint)


def translate(document: Document, router: VirtualRouter, *, other_priority: int | None = None) -> Imported:
    """The configuration for one of its virtual routers; raises UnreadableError.

    `other_priority`: what the other node's file says.  With it the order of the two is kept when one is below 100.
    """
    return _Translation(document, router, other_priority).imported()


class _Translation:
    def __init__(self, document: Document, router: VirtualRouter, other_priority: int | None) -> None:
        self._document = document
        self._router = router
        self._other = other_priority
        self._inside = router.first.inside
        self._global = tuple(each for block in find_all(document.statements, "global_defs") for each in block.inside)
        self._remarks: list[Remark] = list(document.remarks)

    def imported(self) -> Imported:
        """All of it."""
        addresses = list(self._addresses())
        if not addresses:
            raise UnreadableError(
                self._router.line,
                f"{self._router.name} has no address that could be moved",
                'where an API moves it, write [vrrp.mover] with driver = "exec" by hand',
            )
        is_ipv6 = addresses[0][0].version == 6
        interface = self._interface(addresses)
        keys: dict[str, Value] = {"interface": interface, "vrid": self._vrid(), "priority": self._priority()}
        keys["addresses"] = [
            str(address) if device in (None, interface) else {"address": str(address), "interface": device}
            for address, device, _ in addresses
        ]
        keys |= self._protocol(is_ipv6=is_ipv6)
        virtual = frozenset(str(address.ip) for address, _, _ in addresses)
        keys |= self._ways(virtual, [address for address, _, _ in addresses], is_ipv6=is_ipv6)
        keys |= self._secrets(version=keys["version"])
        self._advertised(addresses, interface)
        source = keys.get("source")
        tracks = self._tracks(interface, virtual, source if isinstance(source, str) else None)
        hooks = self._hooks()
        self._rest()
        tables = (TextTable("vrrp", keys), *tracks.tables(), *hooks)
        ordered = sorted(dict.fromkeys(self._remarks), key=lambda remark: remark.line)
        return Imported(self._router, tables, tuple(ordered))

    # The virtual router

    def _interface(self, addresses: Sequence[tuple[IPv4Interface | IPv6Interface, str | None, Statement]]) -> str:
        found = find_last(self._inside, "interface")
        if found is not None and found.value:
            return found.value
        default = find_last(self._global, "default_interface")
        named = next((device for _, device, _ in addresses if device), None)
        guess = named or (default.value if default is not None and default.value else "eth0")
        self._remark(
            self._router.first,
            Fate.TO_DO,
            f"no interface is named; {guess} stands there now: write the one that the nodes see each other on",
        )
        return guess

    def _vrid(self) -> int:
        found = find_last(self._inside, "virtual_router_id")
        number = None if found is None else whole_of(found.value)
        if found is None or number is None or not 1 <= number <= 255:
            raise UnreadableError(
                self._router.line if found is None else found.line,
                f"{self._router.first.value} has no virtual_router_id from 1 to 255",
                "write the one that both nodes have",
            )
        for each in self._router.instances[1:]:
            own = find_last(each.inside, "virtual_router_id")
            self._remark(
                each,
                Fate.CHANGED,
                f"its addresses move with those of {self._router.first.value}, under the number {number}"
                + (f" instead of {own.value}" if own is not None and own.value != str(number) else "")
                + ": change both nodes together",
            )
        return number

    def _priority(self) -> int:
        priority = priority_of(self._router)
        at = find_last(self._inside, "priority") or self._router.first
        other = self._other
        if priority > MOST:
            wanted, why = MOST, "it becomes 254: 255 is for the node whose own address it is, and this one moves"
        elif priority < LEAST:
            wanted = LEAST
            if other is not None and LEAST > priority > other:
                wanted = LEAST + 1
            why = f"it becomes {wanted}: below 100 is what a node says of itself that is not well"
            if other is None:
                why += "; write more on the other node if it has 100 or less, as --other does"
        elif other is not None and other < LEAST == priority:
            wanted, why = LEAST + 1, "it becomes 101, because the other node's is raised to 100"
        else:
            return priority
        self._remark(at, Fate.CHANGED, why)
        return wanted

    def _protocol(self, *, is_ipv6: bool) -> dict[str, Value]:
        version = self._version(is_ipv6=is_ipv6)
        keys: dict[str, Value] = {"version": version, "interval": self._interval(version)}
        delay = find_last(self._inside, "preempt_delay")
        never = find_last(self._inside, "nopreempt")
        state = find_last(self._inside, "state")
        if never is not None:
            keys["preempt"] = "never"
        elif delay is not None and (seconds_of(delay.value) or 0) >= 0.001:
            keys["preempt"] = f"after {toml_time(min(86_400.0, seconds_of(delay.value) or 0))}"
        if state is not None and state.value.upper() != "BACKUP":
            why = "every node starts as backup, and takes over after three intervals if nobody better is there"
            if never is not None or delay is not None:
                why += f"; keepalived ignores {(never or delay or state).keyword} beside it, and here that counts"
            self._remark(state, Fate.CHANGED, why)
        refresh = find_last(self._inside, "garp_master_refresh") or find_last(self._global, "vrrp_garp_master_refresh")
        every = None if refresh is None else seconds_of(refresh.value)
        if every:
            keys["announce_every"] = toml_time(min(86_400.0, max(1.0, every)))
        form = find_last(self._inside, "v3_checksum_as_v2") or find_last(self._global, "v3_checksum_as_v2")
        if form is not None and form.value not in _NO:
            keys["checksum"] = "message"
        adverts = find_last(self._inside, "down_timer_adverts")
        if adverts is not None and adverts.value != "3":
            self._remark(adverts, Fate.LEFT_OUT, "it is 3, as in the RFCs; the peers have to have the same")
        return keys

    def _version(self, *, is_ipv6: bool) -> int:
        own = find_last(self._inside, "version") or find_last(self._global, "vrrp_version")
        wanted = 2 if own is None else whole_of(own.value)
        if wanted not in (2, 3):
            raise _not_a(own or self._router.first, "version", "write 2 or 3")
        return 3 if is_ipv6 else wanted

    def _interval(self, version: int) -> str:
        found = find_last(self._inside, "advert_int")
        seconds = 1.0 if found is None else seconds_of(found.value)
        if found is None or seconds is None:
            if found is not None:
                raise _not_a(found, "time", "write it in seconds")
            return "1s"
        if version == 2:
            wanted = float(min(255, max(1, round(seconds))))
            why = "version 2 has whole seconds only; write version = 3 on both nodes for less"
        else:
            wanted = min(40.95, max(0.01, round(seconds, 2)))
            why = "version 3 has hundredths of a second, up to 40.95 seconds"
        if wanted != seconds:
            self._remark(found, Fate.CHANGED, f"it becomes {toml_time(wanted)}: {why}")
        return toml_time(wanted)

    # Addresses

    def _addresses(self) -> Iterator[tuple[IPv4Interface | IPv6Interface, str | None, Statement]]:
        """Each with the interface that it says, or that of its instance where several are joined."""
        seen: set[str] = set()
        for keyword in _ADDRESSES:
            for instance in self._router.instances:
                own = find_last(instance.inside, "interface")
                default = own.value if own is not None and instance is not self._router.first else None
                for block in find_all(instance.inside, keyword):
                    for entry in block.inside:
                        address = self._address(entry, seen)
                        if address is not None:
                            yield address, self._device(entry) or default, entry

    def _address(self, entry: Statement, seen: set[str]) -> IPv4Interface | IPv6Interface | None:
        try:
            address = ip_interface(entry.keyword)
        except ValueError:
            self._remark(entry, Fate.LEFT_OUT, "this is not an address")
            return None
        ip = address.ip
        if ip.is_multicast or ip.is_unspecified or ip.is_loopback or "%" in entry.keyword:
            self._remark(entry, Fate.LEFT_OUT, "this is no address that one node has at a time")
            return None
        if str(ip) in seen:
            self._remark(entry, Fate.LEFT_OUT, "the address stands there twice")
            return None
        seen.add(str(ip))
        return address

    def _device(self, entry: Statement) -> str | None:
        """The interface, and remarks on all else that stands behind an address."""
        words, device = list(entry.values), None
        while words:
            word = words.pop(0)
            value = words.pop(0) if word in ("brd", "dev", "scope", "label", "peer", "preferred_lft") and words else ""
            if word == "dev" and value:
                device = value
            elif word == "label":
                self._remark(entry, Fate.LEFT_OUT, "the address has no label; `ip address` shows it without")
            elif (word, value) in (("scope", "global"), ("brd", "+"), ("preferred_lft", "0")) or word == "-nodad":
                continue
            elif word == "no_track":
                self._remark(entry, Fate.CHANGED, "an address that somebody removes is set again")
            else:
                self._remark(entry, Fate.LEFT_OUT, f"{word} cannot be said of an address here")
        return device

    def _advertised(
        self, addresses: Sequence[tuple[IPv4Interface | IPv6Interface, str | None, Statement]], interface: str
    ) -> None:
        """Say where the addresses in an advert are others than keepalived's: up to 2.3.2 it refuses such a peer's."""
        family = addresses[0][0].version
        here = [each for each in addresses if each[0].version == family]
        told = [each for each in here if each[1] in (None, interface)] or here
        excluded = {id(each) for block in find_all(self._inside, "virtual_ipaddress_excluded") for each in block.inside}
        for each in addresses:
            is_told, was_told = each in told, id(each[2]) not in excluded
            if is_told is not was_told and len(self._router.instances) == 1:
                self._remark(
                    each[2],
                    Fate.CHANGED,
                    f"adverts {'name it too' if is_told else 'do not name it'} here: a keepalived up to 2.3.2 on the "
                    "other node needs skip_check_adv_addr for as long as it is there",
                )

    # Who speaks to whom

    def _ways(
        self, virtual: frozenset[str], addresses: Sequence[IPv4Interface | IPv6Interface], *, is_ipv6: bool
    ) -> dict[str, Value]:
        keys: dict[str, Value] = {}
        source = find_last(self._inside, "unicast_src_ip", "mcast_src_ip")
        if source is not None and self._is_node(source, source.value, virtual, is_ipv6=is_ipv6):
            keys["source"] = str(ip_address(source.value))
        peers: list[str] = []
        least: list[int] = []
        for entry in (each for block in find_all(self._inside, "unicast_peer") for each in block.inside):
            if not self._is_node(entry, entry.keyword, virtual, is_ipv6=is_ipv6):
                continue
            peer = str(ip_address(entry.keyword))
            if peer in peers or peer == keys.get("source"):
                continue
            peers.append(peer)
            least += self._least_ttl(entry)
        if peers:
            keys["peers"] = peers
            if least:
                keys["least_ttl"] = min(least)
            elif not _on_one_network(peers, addresses):
                keys["least_ttl"] = 1
                self._remark(
                    find_all(self._inside, "unicast_peer")[0],
                    Fate.CHANGED,
                    "adverts may have passed routers, as with keepalived: leave least_ttl = 1 out if both nodes are on "
                    "one network, and adverts from elsewhere are refused",
                )
        self._groups()
        return keys

    def _is_node(self, statement: Statement, text: str, virtual: frozenset[str], *, is_ipv6: bool) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            self._remark(statement, Fate.LEFT_OUT, f"{text or 'nothing'} is not an address")
            return False
        if "%" in text or address.is_multicast or address.is_unspecified or str(address) in virtual:
            self._remark(statement, Fate.LEFT_OUT, "this is no address that stays on one node")
        elif (address.version == 6) is not is_ipv6:
            self._remark(statement, Fate.LEFT_OUT, "it is not of the family of the first virtual address")
        else:
            return True
        return False

    def _least_ttl(self, entry: Statement) -> list[int]:
        words = entry.words
        if "max_ttl" in words[:-1] and words[words.index("max_ttl") + 1] != "255":
            self._remark(entry, Fate.LEFT_OUT, "there is no max_ttl")
        number = whole_of(words[words.index("min_ttl") + 1]) if "min_ttl" in words[:-1] else None
        return [] if number is None else [min(255, max(1, number))]

    def _groups(self) -> None:
        ttl = find_last(self._inside, "unicast_ttl")
        if ttl is not None and ttl.value != "255":
            self._remark(ttl, Fate.LEFT_OUT, "adverts leave with 255")
        for own in (find_last(self._inside, "mcast_dst_ip"), find_last(self._global, "vrrp_mcast_group4")):
            if own is not None and own.value not in _GROUPS:
                self._remark(own, Fate.LEFT_OUT, "the group is 224.0.0.18 or ff02::12: change both nodes together")

    def _secrets(self, *, version: object) -> dict[str, Value]:
        keys: dict[str, Value] = {}
        for block in find_all(self._inside, "authentication"):
            kind = find_last(block.inside, "auth_type")
            if kind is not None and kind.value.upper() != "PASS":
                self._remark(kind, Fate.LEFT_OUT, "there is no IPsec here; write keys_file, if the peers know it")
            elif find_last(block.inside, "auth_pass") is None:
                continue
            elif version != 2:
                self._remark(block, Fate.LEFT_OUT, "version 3 has no password, and keepalived sends none either")
            else:
                keys["password_file"] = PASSWORD_FILE
                self._remark(
                    block,
                    Fate.TO_DO,
                    f"write the password into {PASSWORD_FILE}, at most 8 bytes of it (keepalived sends no more), and "
                    "give the file to the agent's user with mode 0600",
                )
        for block in find_all(self._inside, "auth_hmac"):
            mode = find_last(block.inside, "mode")
            keys["keys_file"] = KEYS_FILE
            keys["keys_enforced"] = mode is None or mode.value == "enforce"
            self._remark(
                block,
                Fate.TO_DO,
                f"write a line with number and key for each into {KEYS_FILE}, the active one first, and give the file "
                "to the agent's user with mode 0600",
            )
        return keys

    # Tracks, hooks, and what is left

    def _blocks(self) -> Iterator[tuple[Statement, str]]:
        """The instances and the group, and what keepalived calls them."""
        for each in self._router.instances:
            yield each, "INSTANCE"
        if self._router.group is not None:
            yield self._router.group, "GROUP"

    def _tracks(self, interface: str, virtual: frozenset[str], source: str | None) -> Tracks:
        tracks = Tracks(self._document, frozenset({interface}), virtual, source, self._remarks)
        for each in self._router.instances[1:]:
            own = find_last(each.inside, "interface")
            if own is not None and own.value:
                tracks.watch_interface(own.value)
        for block, _ in self._blocks():
            for statement in find_all(block.inside, *_TRACKS):
                tracks.add(statement)
        return tracks

    def _hooks(self) -> list[TextTable]:
        names, priority = Names(), priority_of(self._router)
        made = [
            hook_of(statement, kind, block.value, priority, names=names, remarks=self._remarks)
            for block, kind in self._blocks()
            for statement in find_all(block.inside, "notify", *STATES)
        ]
        return [hook for hook in made if hook is not None]

    def _rest(self) -> None:
        for block, _ in self._blocks():
            for statement in block.inside:
                if statement.keyword not in _TAKEN:
                    self._judge(statement, keepalived_words.INSTANCE.get(statement.keyword, keepalived_words.UNKNOWN))
        for each in self._router.instances[1:]:
            for statement in find_all(each.inside, "unicast_peer", "unicast_src_ip", "mcast_src_ip", "authentication"):
                self._remark(statement, Fate.LEFT_OUT, f"only that of {self._router.first.value} counts")
        for statement in self._global:
            if not statement.keyword.startswith(keepalived_words.GLOBAL_PREFIXES):
                self._judge(statement, keepalived_words.GLOBAL.get(statement.keyword, keepalived_words.UNKNOWN))
        known = ("global_defs", "vrrp_instance", "vrrp_sync_group", "vrrp_script", "track_file", "vrrp_track_file")
        for statement in self._document.statements:
            if statement.keyword not in (*known, "vrrp_track_process", "track_process"):
                self._judge(statement, keepalived_words.TOP.get(statement.keyword, keepalived_words.UNKNOWN))

    def _judge(self, statement: Statement, verdict: keepalived_words.Verdict) -> None:
        if verdict is not None and not (statement.value in _NO and statement.block is None):
            self._remark(statement, *verdict)

    def _remark(self, statement: Statement, fate: Fate, why: str) -> None:
        self._remarks.append(Remark(statement.line, fate, shown(" ".join(statement.words)), why))


def _on_one_network(peers: Sequence[str], addresses: Sequence[IPv4Interface | IPv6Interface]) -> bool:
    """Whether a virtual address with a network says that its peers are no router away."""
    return all(any(ip_address(peer) in address.network for address in addresses) for peer in peers)
