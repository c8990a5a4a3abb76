"""A study as it runs, for the eye: one table that is drawn again and again, or plain lines where nobody watches.

Knows:    a StudyHistory and the time; what the screen can show.
Never:    reads a topic, asks a service.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from audit.history import SiteHistory, StudyHistory
from schemas.records import Outcome, SiteState
from schemas.text import plain
from wardround.report.prose import human_number

NOTES_SHOWN = 6
PER_SECOND = 4
_STATES = {  # state -> (sign, word, style); the sign tells them apart without colour
    None: ("○", "away", "bright_black"),
    SiteState.IDLE: ("●", "idle", "green"),
    SiteState.FETCHING: ("↓", "fetching", "cyan"),
    SiteState.TRAINING: ("▲", "training", "yellow"),
    SiteState.SENDING: ("↑", "sending", "blue"),
    SiteState.PAUSED: ("‖", "paused", "magenta"),
    SiteState.WAITING: ("…", "waiting", "green"),
    SiteState.LOADING: ("◌", "loading", "cyan"),
    SiteState.FAILING: ("!", "failing", "red"),
}


class Show:
    """What a person watches while studies run. On a terminal it is one moving picture, else a line now and then."""

    def __init__(
        self, period_s: float, *, console: Console | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """`period_s` of the sites' presence; `clock` in seconds since 1970."""
        self.console = console or Console()
        self.histories: Sequence[StudyHistory] = ()
        self.links: dict[str, str] = {}  # site -> what to say of its link, e.g. "link cut"
        self._period_s, self._clock = period_s, clock
        self._notes: deque[str] = deque(maxlen=NOTES_SHOWN)
        self._began_s = time.monotonic()
        self._told: dict[str, int] = {}
        self._doing = ""
        live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._live = (
            Live(console=self.console, refresh_per_second=PER_SECOND, get_renderable=self._picture) if live else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    @property
    def seconds(self) -> float:
        """Since the show began."""
        return time.monotonic() - self._began_s

    def doing(self, what: str) -> None:
        """What is going on before or after the studies."""
        if what != self._doing and not self._live and what:
            self._line(what)
        self._doing = what

    def note(self, what: str) -> None:
        """Something that happened."""
        text = f"{self.seconds:5.1f} s  {what}"
        self._notes.append(text)
        if not self._live:
            self._line(what)

    def freeze(self) -> None:
        """From now on sites are shown as they are at this moment: what is ended on purpose is not away."""
        now_s = self._clock()
        self._clock = lambda: now_s

    def grown(self, history: StudyHistory) -> None:
        """A history has grown: where nobody watches, every tenth of the versions is worth a line."""
        version, total = history.version, history.plan.stop.versions
        step = max(1, total // 10)
        if self._live or version < 0 or self._told.get(history.study, -1) >= version // step:
            return
        self._told[history.study] = version // step
        overall = history.overall(version)
        metric = "" if overall is None else f", {history.plan.evaluation.metric} {human_number(overall)}"
        self._line(f"{history.study}: version {version} of {total}{metric}, {history.counted} updates counted")

    def _line(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", file=sys.stdout, flush=True)

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = []
        now_ms = round(self._clock() * 1000)
        running = [history for history in self.histories if not history.final] or list(self.histories)
        for history in self.histories:
            parts.append(head(history))
        for history in running[:1]:  # several studies of the same sites would not fit a screen
            parts.append(Padding(site_table(history, now_ms, self._period_s, self.links), (1, 1)))
        if self._notes:
            parts.append(Padding(Text("\n".join(self._notes), style="bright_black", no_wrap=True), (0, 1)))
        if self._doing:
            parts.append(Padding(Text(f"{self.seconds:5.1f} s  {self._doing}", no_wrap=True), (0, 1)))
        return Group(*parts)


def head(history: StudyHistory) -> RenderableType:
    """Title, version with a bar, metric so far."""
    total, version = history.plan.stop.versions, max(history.version, 0)
    overall = history.overall(version)
    grid = Table.grid(padding=(0, 2))
    metric = "" if overall is None else f"{history.plan.evaluation.metric} {human_number(overall)}"
    bar = ProgressBar(total=total, completed=version, width=28, complete_style="blue", finished_style="green")
    grid.add_row(Text(plain(history.plan.title), style="bold"))
    row = Table.grid(padding=(0, 2))
    row.add_row(Text(f"version {version} of {total}"), bar, Text(metric, style="bold"), _tally(history))
    return Padding(Group(grid, row), (1, 1, 0, 1))


def _tally(history: StudyHistory) -> Text:
    refused = sum(history.refused.values())
    return Text(f"{history.counted} counted, {refused} refused", style="bright_black")


def site_table(history: StudyHistory, now_ms: int, period_s: float, links: dict[str, str] | None = None) -> Table:
    """A row a site: state, staleness, last receipt, metric."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, side in (("site", "left"), ("state", "left"), ("behind", "right"), ("last receipt", "left")):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    table.add_column("counted", justify="right")
    table.add_column(history.plan.evaluation.metric, justify="right", no_wrap=True)
    for name in sorted(history.sites):
        site = history.sites[name]
        sign, word, style = _STATES[site.state(now_ms, period_s)]
        if not site.seen_ms:
            word = "not here yet"
        if name in (links or {}):
            sign, word, style = "✕", (links or {})[name], "red"
        value = site.newest(history.plan.evaluation.metric)
        table.add_row(
            Text(name),
            Text(f"{sign} {word}", style=style),
            _behind(history, site),
            _receipt(site),
            str(sum(one.outcome == Outcome.COUNTED for one in site.decisions.values())),
            "–" if value is None else human_number(value),
        )
    return table


def _behind(history: StudyHistory, site: SiteHistory) -> str:
    """Versions made since the one its newest update is based on."""
    newest = max(site.offers.values(), key=lambda offer: offer.sequence, default=None)
    return "–" if newest is None else str(max(0, history.version - newest.base_version))


def _receipt(site: SiteHistory) -> Text:
    if site.last is None:
        return Text("–", style="bright_black")
    decision = site.last[1]
    if decision.outcome == Outcome.COUNTED:
        late = "" if decision.weight == 16 else f", weight {decision.weight}/16"
        return Text(f"counted in version {decision.version}{late}", style="" if decision.weight == 16 else "yellow")
    return Text(f"{decision.outcome.name.lower()}: {decision.code or '–'}", style="red")
