"""When a simulated site has its task and data: it is loaded as often as that takes, while the study is followed.

Source: participant/shell/setup.py, which it stands for; when to try again says participant.core.loading itself.
"""

from participant.core import events as seen
from participant.core.loading import Loading
from simulation.clock import Timer, cancel
from simulation.premises import Premises

WHY = "the task cannot load this site's data"


class Setup:
    """One life's loading. Nothing new is begun while it loads; finished work goes out."""

    def __init__(self, site: Premises) -> None:
        self._site = site
        self._loading = Loading(only=False, jitter=site.random.random)
        self._timer: Timer | None = None
        self.loaded = False

    def wished(self, *, rests: bool) -> None:
        """The operator said something: a try that waits is made at once, or not before the next wish."""
        self._loading.wished(rests=rests)
        if not self.loaded:
            self._try()
        elif not self._site.wish.paused:
            self._site.post(seen.Held("", by=seen.Holder.SETUP))

    def failed(self) -> None:
        """It could not be loaded: at the start, or by a new trainer in the midst of the study."""
        site, self.loaded = self._site, False
        self._loading.failed(site.now_ms(), mends=True, undecided=bool(site.store.now.rows))
        site.post(seen.Loading(False), seen.Held(WHY, by=seen.Holder.SETUP))
        self._try()

    def _try(self) -> None:
        site, wait_ms = self._site, self._loading.wait_ms(self._site.now_ms())
        cancel(self._timer)
        if wait_ms is not None:
            self._timer = site.clock.after(wait_ms + site.scene.costs.load_ms, site, self._tried)

    def _tried(self) -> None:
        trouble = self._site.trouble
        if trouble.load_fails:
            trouble.load_fails -= 1
            self.failed()
            return
        self.loaded = True
        self._loading.loaded()
        self._site.post(seen.Loading(False), seen.Held("", by=seen.Holder.SETUP))
