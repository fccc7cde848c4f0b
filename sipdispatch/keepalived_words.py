"""What becomes of the keywords of keepalived that have no key of their own here?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sipdispatch.keepalived_read import Fate

_GARP: Final = (
    Fate.CHANGED,
    "the address is announced at once, after one and after five seconds, and again as announce_every says",
)
_VMAC: Final = (
    Fate.LEFT_OUT,
    "the address has the MAC address of its interface, and moves by gratuitous ARP and neighbour advertisements",
)
_ACCEPT: Final = (Fate.CHANGED, "what is sent to the address is always accepted: a proxy has to be reached there")
_ROUTES: Final = (Fate.LEFT_OUT, 'only addresses move; a [[hook]] with on = ["vrrp"] can set routes and rules')
_MAIL: Final = (Fate.LEFT_OUT, "write a [[notify]] with smtp, from and to")
_FIFO: Final = (Fate.LEFT_OUT, "there is no FIFO; `sipdispatch vrrp events --follow` prints a line for each change")
_ALWAYS: Final = None
"""Carried over: that is how this agent always is, or it concerns keepalived's own insides."""

Verdict = tuple[Fate, str] | None

INSTANCE: Final[Mapping[str, Verdict]] = {
    "linkbeat_use_polling": (Fate.CHANGED, "the kernel tells of the link"),
    "dont_track_primary": (Fate.LEFT_OUT, "a node whose own interface is down never keeps the address"),
    "use_vmac": _VMAC,
    "use_vmac_addr": _VMAC,
    "vmac_xmit_base": _VMAC,
    "use_ipvlan": _VMAC,
    "vrf": (Fate.LEFT_OUT, "write the interface that is in the VRF as interface"),
    "garp_master_delay": _GARP,
    "garp_master_repeat": _GARP,
    "garp_master_refresh_repeat": _GARP,
    "garp_lower_prio_delay": _GARP,
    "garp_lower_prio_repeat": _GARP,
    "garp_extra_if": _GARP,
    "lower_prio_no_advert": (Fate.CHANGED, "a lower advert is always answered with an own one (RFC 9568 6.4.3)"),
    "higher_prio_send_advert": _ALWAYS,
    "preempt": _ALWAYS,
    "accept": _ALWAYS,
    "no_accept": _ACCEPT,
    "strict_mode": _ACCEPT,
    "skip_check_adv_addr": _ALWAYS,
    "check_unicast_src": _ALWAYS,
    "unicast_fault_no_peer": _ALWAYS,
    "track_src_ip": _ALWAYS,
    "native_ipv6": _ALWAYS,
    "debug": _ALWAYS,
    "kernel_rx_buf_size": _ALWAYS,
    "promote_secondaries": (Fate.LEFT_OUT, "set sysctl net.ipv4.conf.INTERFACE.promote_secondaries = 1 yourself"),
    "old_unicast_checksum": (Fate.LEFT_OUT, "the checksum of keepalived 1.3.6 and older is not known here"),
    "virtual_routes": _ROUTES,
    "virtual_rules": _ROUTES,
    "track_process": (
        Fate.LEFT_OUT,
        "write control = true below [vrrp.track] if the process was the proxy, else a [[vrrp.track.command]]",
    ),
    "track_bfd": (Fate.LEFT_OUT, 'write interval = "10ms" or more instead: adverts are quick enough'),
    "notify_deleted": (Fate.LEFT_OUT, "an agent has one virtual router, and it is not deleted while it runs"),
    "notify_master_rx_lower_pri": (
        Fate.LEFT_OUT,
        "the address is announced again by itself; where an API moves it, write [vrrp.mover] with verify",
    ),
    "notify_priority_changes": _FIFO,
    "smtp_alert": _MAIL,
    "global_tracking": _ALWAYS,
    "sync_group_tracking_weight": (Fate.CHANGED, "there are no weights"),
}
"""Of vrrp_instance and vrrp_sync_group."""

GLOBAL: Final[Mapping[str, Verdict]] = {
    "smtp_alert": _MAIL,
    "smtp_alert_vrrp": _MAIL,
    "script_user": (Fate.CHANGED, "commands and hooks run as the user of the agent"),
    "vrrp_garp_master_delay": _GARP,
    "vrrp_garp_master_repeat": _GARP,
    "vrrp_garp_master_refresh_repeat": _GARP,
    "vrrp_garp_lower_prio_delay": _GARP,
    "vrrp_garp_lower_prio_repeat": _GARP,
    "vrrp_garp_interval": _GARP,
    "vrrp_gna_interval": _GARP,
    "vrrp_min_garp": _GARP,
    "vrrp_garp_extra_if": _GARP,
    "vrrp_strict": _ACCEPT,
    "vrrp_startup_delay": (Fate.LEFT_OUT, "a node takes part as soon as each of its tracks has had its first verdict"),
    "vrrp_delay_after_boot": (
        Fate.LEFT_OUT,
        "a node takes part as soon as each of its tracks has had its first verdict",
    ),
    "vrrp_lower_prio_no_advert": INSTANCE["lower_prio_no_advert"],
    "vrrp_rt_priority": (Fate.CHANGED, "the scheduling is that of the agent's unit: CPUSchedulingPriority"),
    "vrrp_priority": (Fate.CHANGED, "the scheduling is that of the agent's unit: CPUSchedulingPriority"),
    "vrrp_no_swap": (Fate.CHANGED, "the memory is locked where the unit allows it: LimitMEMLOCK"),
    "vrrp_notify_fifo": _FIFO,
    "vrrp_notify_fifo_script": _FIFO,
    "notify_fifo": _FIFO,
    "notify_fifo_script": _FIFO,
    "vrrp_notify_priority_changes": _FIFO,
    "vrrp_down_timer_adverts": (Fate.LEFT_OUT, "it is 3, as in the RFCs; the peers have to have the same"),
    "net_namespace": (Fate.LEFT_OUT, "write NetworkNamespacePath= into the agent's unit"),
    "enable_snmp_vrrp": (Fate.LEFT_OUT, "there is no SNMP; `sipdispatch vrrp metrics` has the counters"),
    "enable_snmp_keepalived": (Fate.LEFT_OUT, "there is no SNMP; `sipdispatch vrrp metrics` has the counters"),
    "enable_traps": (Fate.LEFT_OUT, "there is no SNMP; write a [[notify]]"),
    "enable_dbus": (Fate.LEFT_OUT, "there is no D-Bus; `sipdispatch vrrp status --json` says the same"),
    "vrrp_version": _ALWAYS,
    "vrrp_mcast_group4": _ALWAYS,
    "vrrp_mcast_group6": _ALWAYS,
    "vrrp_garp_master_refresh": _ALWAYS,
    "v3_checksum_as_v2": _ALWAYS,
    "default_interface": _ALWAYS,
    "vrrp_higher_prio_send_advert": _ALWAYS,
    "vrrp_skip_check_adv_addr": _ALWAYS,
    "vrrp_check_unicast_src": _ALWAYS,
    "vrrp_iptables": _ALWAYS,
    "vrrp_ipsets": _ALWAYS,
    "nftables": _ALWAYS,
    "dynamic_interfaces": _ALWAYS,
    "router_id": _ALWAYS,
    "enable_script_security": _ALWAYS,
    "use_symlink_paths": _ALWAYS,
    "json_version": _ALWAYS,
    "max_auto_priority": _ALWAYS,
    "use_pid_dir": _ALWAYS,
    "process_names": _ALWAYS,
    "fifo_write_vrrp_states_on_reload": _ALWAYS,
}
"""Of global_defs.  Where the agent reads one of them elsewhere, it is here so that nothing is said of it twice."""

GLOBAL_PREFIXES: Final = (
    "notification_email",
    "smtp_",
    "lvs_",
    "checker_",
    "bfd_",
    "snmp_",
    "nftables_",
    "vrrp_rlimit_",
    "vrrp_cpu_",
    "vrrp_process_",
    "vrrp_rx_bufs",
    "reload_",
    "shutdown_",
    "disable_local_igmp",
    "random_seed",
)
"""Of keywords of global_defs that concern keepalived's own insides; mail is told of at smtp_alert, which uses it."""

TOP: Final[Mapping[str, Verdict]] = {
    "virtual_server": (Fate.LEFT_OUT, "IPVS is not done here; for SIP servers write them into dispatcher.list"),
    "virtual_server_group": (Fate.LEFT_OUT, "IPVS is not done here; for SIP servers write them into dispatcher.list"),
    "static_ipaddress": (Fate.LEFT_OUT, "write addresses that stay into the system's own network configuration"),
    "static_routes": (Fate.LEFT_OUT, "write routes that stay into the system's own network configuration"),
    "static_rules": (Fate.LEFT_OUT, "write rules that stay into the system's own network configuration"),
    "track_group": (Fate.LEFT_OUT, "only addresses move"),
    "garp_group": _GARP,
    "bfd_instance": INSTANCE["track_bfd"],
    "linkbeat_interfaces": (Fate.CHANGED, "the kernel tells of the link"),
    "interface_up_down_delays": (Fate.LEFT_OUT, "the full priority returns 10 s after the last track has"),
    "net_namespace": GLOBAL["net_namespace"],
    "net_namespace_ipvs": _ALWAYS,
    "namespace_with_ipsets": _ALWAYS,
    "instance": _ALWAYS,
    "use_pid_dir": _ALWAYS,
    "child_wait_time": _ALWAYS,
    "linkbeat_use_polling": (Fate.CHANGED, "the kernel tells of the link"),
    "SSL": _ALWAYS,
}
"""Outside of all blocks."""

UNKNOWN: Final = (Fate.LEFT_OUT, "this keyword is not known here")
