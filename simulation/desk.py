"""Where a simulated site's own operator is served: what is wanted holds over restarts, and a leave ends the service.

Source: participant/shell/desk.py, which it stands for.
"""

from collections.abc import Callable

from participant.core import events as seen
from participant.core.events import Event
from simulation.clock import ProcessEnded
from simulation.premises import Premises
from simulation.setup import Setup
from simulation.store import DiskFull

LOOK_MS = 500
LEFT = "left"


class Desk:
    """One life's. `left` says whether the site may go."""

    def __init__(self, site: Premises, setup: Setup, left: Callable[[], bool]) -> None:
        self._site, self._setup, self._left = site, setup, left
        self._looking = False

    def take(self, *first: Event) -> None:
        """Do what the operator wants; the core is told `first` before that."""
        site, wish = self._site, self._site.wish
        paused = "paused by the operator" if wish.paused else ""
        site.post(*first, seen.Held(paused, by=seen.Holder.OPERATOR), seen.Leaving(wish.leaving))
        self._setup.wished(rests=wish.paused or wish.leaving)
        if wish.leaving and not self._looking:
            self._looking = True
            self._look()

    def _look(self) -> None:
        """The service ends once nothing of it is open; whoever started it starts it again when the site comes back."""
        site, wish = self._site, self._site.wish
        if wish.leaving and self._left():
            self._close()
            site.restart_after_ms = wish.back_ms - site.clock.now_ms
            raise ProcessEnded(LEFT)
        self._looking = wish.leaving
        if wish.leaving:
            site.clock.after(LOOK_MS, site, self._look)

    def _close(self) -> None:
        """What waits for a write of site.db is written, where the disk takes it."""
        try:
            self._site.store.flush()
        except DiskFull:
            return
