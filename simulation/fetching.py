"""How a simulated site comes to a version's model: over its link, onto its disk.

Source: participant/shell/jobs/fetching.py and fetch.py, which it stands for.
"""

from participant.core import events as seen
from schemas.records import Announcement
from simulation.clock import cancel
from simulation.premises import Premises
from simulation.records import Model
from simulation.transfer import Transfer


class Fetching:
    """One life of a site's fetching; `model` is what was fetched last."""

    def __init__(self, site: Premises) -> None:
        self._site = site
        self._transfer: Transfer | None = None
        self.model: Model | None = None

    def fetch(self, announced: Announcement) -> None:
        site, size = self._site, 4 * self._site.plan.parameters
        transfer = self._transfer = Transfer("down", site.clock.now_ms, size)
        arrives_ms = site.link.fetched_ms(site.clock.now_ms, size)
        transfer.timer = site.clock.at(arrives_ms, site, self._fetched, announced)

    def stop(self) -> None:
        """Drop what is on its way; nothing will be heard of it."""
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            cancel(transfer.timer)
            self._site.count(transfer)

    def died(self) -> None:
        """Bytes that had passed are counted."""
        self._site.count(self._transfer)

    def of(self, version: int) -> Model:
        """The model of `version`, which was fetched."""
        assert self.model is not None
        assert self.model.version == version
        return self.model

    def _fetched(self, announced: Announcement) -> None:
        site = self._site
        site.count(self._transfer)
        self._transfer = None
        model = site.scene.log.model(announced.model)
        if site.scene.log.keys.newest(f"{announced.key_epoch}/{site.name}") is None:  # not sealed to this site yet
            model = None
        if model is None or site.trouble.disk_full:
            site.post(seen.FetchFailed(announced.version))
            return
        self.model = model
        site.post(seen.Fetched(announced.version))
