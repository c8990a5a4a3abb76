"""What a check is, and what it finds: values, and the rule by which they become an exit code.

Never:    does anything.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

NETWORK, REGISTRAR, KAFKA = "the hospital's network team", "the registrar", "whoever looks after Kafka"
MACHINE, AUTHOR = "whoever looks after this machine", "whoever wrote the study's task"
NOBODY = ""
S = TypeVar("S", contravariant=True)


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    name   in kebab-case, and stable: scripts and docs/operations/doctor.md know it
    do     what to do about it; empty where nothing has to be done
    ask    whom to ask; empty where it can be mended by whoever runs this
    """

    name: str
    state: State
    tried: str
    seen: str
    do: str = ""
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a check answers; `do` and `ask` empty: those of the check."""

    state: State
    seen: str
    do: str = ""
    ask: str = ""


class Skip(Exception):  # noqa: N818 - named for what happens
    """A check has nothing to look at, and says why. `on` names the failed one that it waits for; empty: not needed."""

    def __init__(self, why: str, *, on: str = "") -> None:
        super().__init__(why)
        self.on = on


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One small function with what people have to know of it.

    tried   what is tried, as a sentence for the person; means, do and ask: when it is not ok
    needs   checks that must not be wrong or skipped before this one makes sense
    """

    name: str
    tried: str
    means: str
    do: str
    ask: str
    look: Callable[[S], Said | Awaitable[Said]]
    needs: tuple[str, ...] = ()

    def found(self, said: Said) -> Finding:
        """As a finding; who is well is told nothing to do."""
        well = said.state in (State.OK, State.SKIPPED)
        do, ask = ("", "") if well else (said.do or self.do, said.ask or self.ask)
        return Finding(self.name, said.state, self.tried, said.seen, do, ask)


def ok(seen: str) -> Said:
    return Said(State.OK, seen)


def warning(seen: str, do: str = "", ask: str = "") -> Said:
    return Said(State.WARNING, seen, do, ask)


def wrong(seen: str, do: str = "", ask: str = "") -> Said:
    return Said(State.WRONG, seen, do, ask)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 all is well, 1 there are warnings, 2 something is wrong."""
    states = {finding.state for finding in findings}
    return 2 if State.WRONG in states else 1 if State.WARNING in states else 0
