"""What does `sipdispatch demo` do with its options?"""

from __future__ import annotations

import click

from sipdispatch.finite import Finite


@click.command(name="demo")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=5060, show_default=True, help="The UDP port of all three."
)
@click.option(
    "--calls", type=click.IntRange(1, 100_000), default=180, show_default=True, help="Calls in each of the three parts."
)
@click.option("--rate", type=Finite(0.1, 500), default=60, show_default=True, help="Calls placed in a second.")
@click.option("--once", is_flag=True, help="End after the show instead of waiting for calls.")
def command(*, port: int, calls: int, rate: float, once: bool) -> int:
    """Show the proxy at work, on this machine alone.

    Starts two answerers, the proxy and a phone on loopback, places calls, kills one answerer and brings it back, and
    shows who gets how many.  Then the proxy and the answerers keep running, for calls of your own, until Ctrl-C.
    """
    from sipdispatch.demo import Settings, run  # noqa: PLC0415 - trio and the packet path: not for --help

    return run(Settings(port=port, calls=calls, rate=rate, once=once))
