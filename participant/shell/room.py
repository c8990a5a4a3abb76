"""How much room a study's updates take in the outbox, which all studies share, and whether there is more."""

from collections.abc import Callable

import structlog

from participant.shell.services import Services
from schemas.plan import Plan

log = structlog.get_logger()


class Room:
    """Of one study; `tell` hears when there is room again, and when there is none any more."""

    def __init__(self, services: Services, plan: Plan, tell: Callable[[bool], None]) -> None:
        self._services, self._plan, self._tell = services, plan, tell
        self._free = True

    def watch(self) -> None:
        """From now on."""
        self.hold(making=False)
        self._services.space.on_change(self.look)
        self.look()

    def hold(self, *, making: bool) -> None:
        """What the outbox has of this study, and (`making`) what it will have to take."""
        rows = self._services.store.rows(self._plan.study)
        more = self._plan.body_bytes if making else 0
        self._services.space.hold(self._plan.study, sum(row.size_bytes for row in rows) + more)
        self._services.metrics.outbox_bytes.set(self._services.space.bytes)

    def look(self) -> None:
        """Whether that has changed."""
        space, study = self._services.space, self._plan.study
        free = space.has_room(study, self._plan.body_bytes)
        if free == self._free:
            return
        self._free = free
        self._services.metrics.outbox_full.labels(study).set(not free)
        if not free:
            log.warning(
                "no room in the outbox, nothing new is trained", study=study, held=space.bytes, most=space.bytes_max
            )
        self._tell(free)

    def oldest_ms(self) -> int | None:
        """When the update that has waited longest was sealed."""
        return min((row.sealed_ms for row in self._services.store.rows(self._plan.study)), default=None)
