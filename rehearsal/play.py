"""One plan played on virtual time: builds the world, lets it run to the end or the limit, gathers what is shown.

Knows:    windows are drawn as far as they are needed: first for eight days, then four times as far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rehearsal.course import Course
from rehearsal.speeds import Speed
from rehearsal.traces import DAY, Windows
from schemas.plan import Plan
from simulation.observe import Observer
from simulation.premises import SiteSpec
from simulation.vectors import Learner
from simulation.world import World

FIRST_MS = 8 * DAY

Connected = Callable[[str, int], Windows]  # (site, until_ms) -> its windows up to then


@dataclass(frozen=True, slots=True)
class Played:
    """How one plan went. What `curve`, `look_again` and `clipped` hold comes of learning.

    curve     (ms, metric) of each version, from version 0 on
    clipped   share of the updates that were clipped
    """

    label: str
    plan: Plan
    course: Course
    ended: str  # "versions", "stopped" by the plan's own rule, or "limit"
    curve: tuple[tuple[int, float], ...] = ()
    look_again: tuple[str, ...] = ()
    clipped: float | None = None

    def reached_ms(self, target: float) -> int | None:
        """When the metric of something learnt first was as good as `target`; None: never. Version 0 does not count."""
        return next((at for at, value in self.curve[1:] if self._good(value, target)), None)

    def untrained_reaches(self, target: float) -> bool:
        """Whether version 0 is as good already, before anybody has trained."""
        return bool(self.curve) and self._good(self.curve[0][1], target)

    def held_ms(self, target: float) -> int | None:
        """From when on it stayed as good as `target` until the last version; None: it was not, at the end."""
        held = None
        for at, value in self.curve[1:]:
            held = None if not self._good(value, target) else (at if held is None else held)
        return held

    def _good(self, value: float, target: float) -> bool:
        return value >= target if self.plan.evaluation.higher_is_better else value <= target


@dataclass(frozen=True, slots=True)
class Setting:
    """What all alternatives have in common: the sites' speeds and links, the seed, and how long is long enough."""

    speeds: Mapping[str, Speed]
    connected: Connected
    seed: int
    limit_ms: int

    def specs(self, until_ms: int) -> list[SiteSpec]:
        return [
            SiteSpec(
                name, train_ms=max(1, round(1000 * speed.train_s)), up_bytes_s=speed.up_bytes_s,
                down_bytes_s=speed.down_bytes_s, windows=self.connected(name, until_ms),
            )
            for name, speed in self.speeds.items()
        ]  # fmt: skip


class Judge(Protocol):
    """Measures each version of one history."""

    @property
    def learner(self) -> Learner: ...
    @property
    def curve(self) -> Sequence[tuple[int, float]]: ...
    def watch(self, world: World) -> None: ...
    def judge(self, now_ms: int) -> None: ...


class _Told(Observer):
    """Tells each version to whoever waits, and has it measured."""

    def __init__(self, judge: Judge | None, progress: Callable[[int], None]) -> None:
        self._judge, self._progress = judge, progress

    def on_version(self, version: int, n: int, sum_w: int, now_ms: int) -> None:
        if self._judge is not None:
            self._judge.judge(now_ms)
        self._progress(version)


def play(
    label: str,
    plan: Plan,
    setting: Setting,
    *,
    judge: Callable[[], Judge] | None = None,
    progress: Callable[[int], None] = lambda version: None,
) -> Played:
    """Play `plan` to its end, or to the limit. The same arguments give the same course.

    judge   makes a new one for each history; it brings the learner
    """
    quiet = replace(plan, evaluation=replace(plan.evaluation, alone=False))  # the baseline gives way to everything
    until_ms = setting.limit_ms if judge else min(FIRST_MS, setting.limit_ms)
    while True:
        course, judging = Course(setting.speeds), judge() if judge else None
        world = World(
            quiet, setting.specs(until_ms), seed=setting.seed, learner=judging.learner if judging else None,
            observers=[course, _Told(judging, progress)],
        )  # fmt: skip
        if judging:
            judging.watch(world)
        while not world.final and world.clock.next_ms() <= until_ms:
            world.run(until_version=world.version + 1, until_ms=until_ms)
        if world.final or until_ms >= setting.limit_ms:
            break
        until_ms = min(4 * until_ms, setting.limit_ms)
    ended = "versions" if course.versions >= plan.stop.versions else ("stopped" if world.final else "limit")
    return Played(label, plan, course, ended, tuple(judging.curve) if judging else ())
