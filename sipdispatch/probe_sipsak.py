"""What does a script's sipsak command line mean, and what would sipsak have said?

For the scripts that people have: sipsak's options, its silence, its exit statuses and its texts for Nagios.  Only
what asks with OPTIONS, or with a request from a file, is there; its modes that register, call or flood are not.
"""

from __future__ import annotations

from typing import Final, TypedDict, Unpack

import click

from sipdispatch.errors import CommandError
from sipdispatch.output import say

HERE: Final = "sipdispatch probe --sipsak"

_OTHER_MODES: Final = {
    "-U": "registers",
    "-I": "makes calls",
    "-M": "sends messages to itself",
    "-F": "floods",
    "-R": "sends random bytes",
    "-b": "counts user names",
    "-e": "counts user names",
    "-t": "sends random bytes",
    "-z": "removes registrations",
    "--tls-ca-cert": "speaks TLS",
    "--tls-client-cert": "speaks TLS",
    "--tls-ignore-cert-failure": "speaks TLS",
}


class SipsakOptions(TypedDict):
    """What click hands to the command; options without effect are left out."""

    uri: str | None
    verbose: int
    nagios: bool
    warn: int | None
    factor: int
    t1_ms: int
    transport: str
    local_port: int
    remote_port: int | None
    local_ip: str | None
    proxy: str | None
    hostname: str | None
    password: str
    user: str | None
    ha1: str | None
    search: str | None
    timing: int | None
    trace: bool
    max_forwards: int | None
    file: str | None
    no_via: bool
    headers: str | None
    replace: bool
    replacement: str
    version: bool


def _other_mode(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing:
        name = next(each for each in parameter.opts if each in _OTHER_MODES)
        raise CommandError(
            f"{name} is of a mode that this program does not have: it {_OTHER_MODES[name]}",
            HERE,
            "leave it out to probe with OPTIONS, or run sipsak itself",
        )


def _refused(*names: str, is_flag: bool = False) -> click.Option:
    return click.Option(names, is_flag=is_flag, expose_value=False, hidden=True, callback=_other_mode)


def _ignored(*names: str, is_flag: bool = False) -> click.Option:
    return click.Option(names, is_flag=is_flag, expose_value=False, hidden=True)


_WITHOUT_EFFECT: Final = (
    _ignored("-B", "--message-body"),
    _ignored("-c", "--from"),
    _ignored("-C", "--contact"),
    _ignored("-d", "--ignore-redirects", is_flag=True),
    _ignored("-K", "--syslog"),
    _ignored("-L", "--no-crlf", is_flag=True),
    _ignored("-n", "--numeric", is_flag=True),
    _ignored("-o", "--sleep"),
    _ignored("-O", "--disposition"),
    _ignored("-P", "--processes"),
    _ignored("-S", "--symmetric", is_flag=True),
    _ignored("-w", "--extract-ip", is_flag=True),
    _ignored("-x", "--expires"),
)
_REFUSED: Final = (
    _refused("-U", "--usrloc-mode", is_flag=True),
    _refused("-I", "--invite-mode", is_flag=True),
    _refused("-M", "--message-mode", is_flag=True),
    _refused("-F", "--flood-mode", is_flag=True),
    _refused("-R", "--random-mode", is_flag=True),
    _refused("-b", "--appendix-begin"),
    _refused("-e", "--appendix-end"),
    _refused("-t", "--trash-chars"),
    _refused("-z", "--remove-bindings"),
    _refused("--tls-ca-cert"),
    _refused("--tls-client-cert"),
    _refused("--tls-ignore-cert-failure", is_flag=True),
)


@click.command(name="probe")
@click.option("-s", "--sip-uri", "uri", metavar="SIPURI", help="The server, as in sip:user@host:port.")
@click.option("-v", "--verbose", count=True, help="Show the answer; -vv times too, -vvv the request too.")
@click.option("-N", "--nagios-code", "nagios", is_flag=True, help="Print SIP ok, SIP warning or SIP failure.")
@click.option("-W", "--nagios-warn", "warn", type=click.IntRange(0), help="Warn above so many retransmissions.")
@click.option("-D", "--timeout-factor", "factor", type=click.IntRange(1, 10_000), default=64, help="Wait so many T1.")
@click.option("-Z", "--timer-t1", "t1_ms", type=click.IntRange(1, 60_000), default=500, help="T1 in milliseconds.")
@click.option("-E", "--transport", default="udp", help="udp or tcp.")
@click.option("-l", "--local-port", type=click.IntRange(0, 65_535), default=0, help="Send from this port.")
@click.option("-r", "--remote-port", type=click.IntRange(1, 65_535), help="Send to this port.")
@click.option("-k", "--local-ip", help="Send from this address.")
@click.option("-p", "--outbound-proxy", "proxy", metavar="HOST[:PORT]", help="Send to this next hop.")
@click.option("-H", "--hostname", help="The host in Via, From and Contact.")
@click.option("-a", "--password", default="", help="Answer challenges with this password; others can see it in ps.")
@click.option("-u", "--auth-username", "user", help="The user for challenges; that of the URI if not given.")
@click.option("-J", "--authhash", "ha1", help="The hash HA1 in place of the password.")
@click.option("-q", "--search", metavar="REGEX", help="The answer must match.")
@click.option("-A", "--timing", type=click.IntRange(1, 1_000_000), help="So many probes; print min/max/avg only.")
@click.option("-T", "--traceroute", "--traceroute-mode", "trace", is_flag=True, help="Show the proxies on the way.")
@click.option("-m", "--max-forwards", "--max-fowards", "max_forwards", type=click.IntRange(0, 255), help="Default 70.")
@click.option("-f", "--filename", "file", help="Send the request in this file, - is standard input.")
@click.option("-i", "--no-via", is_flag=True, help="Send the file with its own Via, byte for byte.")
@click.option("-j", "--headers", help=r"Further header fields, with \n between them.")
@click.option("-G", "--replace", is_flag=True, help="Fill in $user$, $dsthost$, $srchost$, $port$ in the file.")
@click.option("-g", "--replace-string", "replacement", default="", help="What $replace$ in the file becomes.")
@click.option("-V", "--version", is_flag=True, help="Print the version.")
def command(**options: Unpack[SipsakOptions]) -> int:
    """Probe as sipsak does, for scripts that were written for it.

    Exit status: 0 a 2xx, 1 another final answer, 2 a fault on this side, 3 no valid answer, 32 no match.
    """
    if options["version"]:
        from sipdispatch.version import version_line  # noqa: PLC0415 - slow to import

        say(version_line())
        return 0
    from sipdispatch.probe_sipsak_run import carry_out  # noqa: PLC0415 - trio: not for --help

    return carry_out(options)


command.params.extend((*_WITHOUT_EFFECT, *_REFUSED))
