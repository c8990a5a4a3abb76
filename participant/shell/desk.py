"""Where a site's operator is served: takes what is wanted from `wish.json`, tells how things stand in `state.json`.

Knows:    a wish that cannot be read changes nothing, and is said once.
"""

import asyncio
import os
from pathlib import Path

import structlog

from participant.shell.control import STATE, SiteState, Wish, read_wish, write_state
from participant.shell.presence import PresenceTeller
from participant.shell.site import Site
from runtime.disk import said, to_do
from schemas.errors import LocalError

LOOK_S = 0.5
FAREWELL_S = 3.0

log = structlog.get_logger()


class Desk:
    """Looks twice a second; ends when the site has taken its leave."""

    def __init__(self, folder: Path, site: Site, presence: PresenceTeller) -> None:
        self._folder, self._site, self._presence = folder, site, presence
        self._wish = Wish(serial=-1)
        self._told: SiteState | None = None
        self._complaint, self._unwritten = "", ""

    async def run(self) -> None:
        """Until the operator's leave is done; a participant that nobody asks to leave is served for ever."""
        while True:
            self._look()
            left = self._wish.leaving and self._site.left
            self._tell(left)
            if left:
                await self._presence.farewell(FAREWELL_S)
                log.info("left the federation; the data folder stays", resume="wardround participant resume")
                return
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        try:
            wish = read_wish(self._folder)
        except LocalError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("what the operator wants cannot be read, going on as before", reason=self._complaint)
            if self._wish.serial < 0:
                self._take(Wish())
            return
        if wish != self._wish:
            self._take(wish)

    def _take(self, wish: Wish) -> None:
        if wish != Wish():
            log.info("the operator's wish", all=wish.all, studies=wish.studies, leaving=wish.leaving)
        self._wish, self._complaint = wish, ""
        self._site.take(wish)

    def _tell(self, left: bool) -> None:
        state = SiteState(os.getpid(), self._wish.serial, left, self._site.states())
        if state == self._told:
            return
        try:
            write_state(self._folder, state)
        except OSError as error:
            reason, hint = said(error, self._folder / STATE), to_do(error, "check the owner of the data folder")
            if reason != self._unwritten:
                log.warning("state.json not written, trying again", reason=reason, hint=hint)
            self._unwritten = reason
            return
        self._told, self._unwritten = state, ""
