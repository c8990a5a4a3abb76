"""When what goes wrong: drawn from one seed, spread over the whole time, so many of each kind as the time has room for.

Never:    touches a process; the same seed and duration give the same schedule.
"""

import math
import random
from dataclasses import dataclass
from enum import StrEnum

PER_S = 600.0  # the counts below are for ten minutes


class Role(StrEnum):
    """Who is hit; a link belongs to one service."""

    BROKER = "broker"
    COORDINATOR = "coordinator"
    PARTICIPANT = "participant"
    TRAINER = "trainer"
    FORK_SERVER = "fork server"
    LINK = "link"


class Act(StrEnum):
    """What happens. KILL is SIGKILL, STOP is SIGSTOP and later SIGCONT; most others happen to links.

    KILL_ASKED is SIGKILL once a Request is on the log and nothing that ends it.
    """

    KILL = "kill"
    KILL_ASKED = "kill between Request and Announcement"
    STOP = "stop"
    CUT = "cut"
    HOLD = "hold back"
    SWALLOW = "swallow"
    RESET = "reset"
    DELAY = "delay"
    THROTTLE = "throttle"
    CORRUPT = "corrupt"


NEEDED = (Role.BROKER, Role.COORDINATOR)  # without one of them nothing goes on: away for half of its time at most


@dataclass(frozen=True, slots=True)
class Kind:
    """`count` in ten minutes; each lasts between `from_s` and `to_s`, short ones more often."""

    role: Role
    act: Act
    count: int
    from_s: float
    to_s: float


KINDS = (
    Kind(Role.BROKER, Act.KILL, 14, 0.2, 4.0),
    Kind(Role.BROKER, Act.STOP, 5, 0.5, 6.0),
    Kind(Role.COORDINATOR, Act.KILL, 26, 0.2, 8.0),
    Kind(Role.COORDINATOR, Act.KILL_ASKED, 12, 0.2, 8.0),
    Kind(Role.COORDINATOR, Act.STOP, 10, 0.5, 15.0),
    Kind(Role.PARTICIPANT, Act.KILL, 40, 0.2, 20.0),
    Kind(Role.PARTICIPANT, Act.STOP, 12, 0.5, 15.0),
    Kind(Role.TRAINER, Act.KILL, 40, 0.0, 0.0),
    Kind(Role.TRAINER, Act.STOP, 8, 0.5, 8.0),
    Kind(Role.FORK_SERVER, Act.KILL, 24, 0.0, 0.0),
    Kind(Role.FORK_SERVER, Act.STOP, 4, 0.5, 8.0),
    Kind(Role.LINK, Act.CUT, 12, 0.2, 20.0),
    Kind(Role.LINK, Act.HOLD, 10, 0.2, 15.0),
    Kind(Role.LINK, Act.SWALLOW, 10, 0.2, 15.0),
    Kind(Role.LINK, Act.RESET, 12, 0.0, 0.0),
    Kind(Role.LINK, Act.DELAY, 8, 3.0, 30.0),
    Kind(Role.LINK, Act.THROTTLE, 8, 3.0, 30.0),
    Kind(Role.LINK, Act.CORRUPT, 8, 3.0, 30.0),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong `at_s` after the start, for `lasts_s`.

    whom, how   in [0, 1): which of the role's members, and how badly
    """

    at_s: float
    role: Role
    act: Act
    lasts_s: float
    whom: float
    how: float


def schedule(seed: int, duration_s: float) -> list[Fault]:
    """All faults of a run, in order. Each kind has its share of every stretch of time; none is left to luck."""
    rng = random.Random(seed)
    faults: list[Fault] = []
    for kind in KINDS:
        count = math.ceil(kind.count * duration_s / PER_S)
        slot_s = duration_s / count
        for number in range(count):
            lasts_s = min(_length(kind, rng), slot_s / 2 if kind.role in NEEDED else duration_s / 6)
            at_s = (number + rng.random()) * slot_s
            faults.append(Fault(at_s, kind.role, kind.act, lasts_s, rng.random(), rng.random()))
    return sorted(faults, key=lambda fault: (fault.at_s, fault.role, fault.act))


def _length(kind: Kind, rng: random.Random) -> float:
    """Log-uniform: as many between 0.2 and 2 seconds as between 2 and 20."""
    if kind.to_s == 0.0:
        return 0.0
    return float(kind.from_s * (kind.to_s / kind.from_s) ** rng.random())
