"""What does a pretend API say that moves the address of a pair, and what was asked of it when?"""

from __future__ import annotations

import attrs
import trio
import trio.testing

from vrrp.execmover import Orders, Outcome, Verb

ORDERS = Orders(verifies=True, timeout=10.0, retries=2, every=30.0)
FAILED = Outcome(3, "exit status 3")
UNKNOWN = Outcome(None, "it has not ended within 10 s")


@attrs.define(eq=False)
class Api:
    """A pretend API that knows which node has the address, and what was asked of it when."""

    owner: str = ""
    takes: float = 1.0
    answers: dict[str, list[Outcome]] = attrs.field(factory=dict)
    """What a verb ends in, before it goes on to do what it should."""
    asked: list[tuple[float, str]] = attrs.field(factory=list)
    running: int = 0
    killed: list[str] = attrs.field(factory=list)

    async def ask(self, node: str, verb: Verb) -> Outcome:
        self.asked.append((round(trio.current_time(), 3), verb))
        self.running += 1
        assert self.running == 1, "one command at a time"
        try:
            await trio.sleep(self.takes)
        except trio.Cancelled:
            self.killed.append(verb)
            raise
        finally:
            self.running -= 1
        if self.answers.get(verb):
            return self.answers[verb].pop(0)
        match verb:
            case "acquire":
                self.owner = node
            case "release":
                self.owner = "" if self.owner == node else self.owner
            case "verify":
                return Outcome(int(self.owner != node), "")
        return Outcome(0, "it has ended well")

    @property
    def verbs(self) -> list[str]:
        return [verb for _, verb in self.asked]
