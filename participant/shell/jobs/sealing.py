"""Encode and seal what was trained, and put it into the outbox."""

import asyncio
import sqlite3

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell import database
from participant.shell.body import SealingStopped
from participant.shell.jobs.job import Job, Slot
from protocol.fixed_point import EncodingError
from schemas.errors import LocalError

log = structlog.get_logger()


class Sealing(Job):
    """Short, in a thread, and never stopped but by the end of the service."""

    slot = Slot.NONE

    async def do(self, effect: Effect) -> Event | None:
        assert isinstance(effect, do.Seal)
        means, base_version = self._means, effect.base_version
        assert means.update is not None
        try:
            sequence = await asyncio.to_thread(
                means.out.seal, means.update, base_version, means.digest(base_version), effect.stands_for
            )
        except EncodingError as error:
            means.failures.hold(error)
            return None
        except SealingStopped:
            return None
        except (LocalError, OSError, sqlite3.Error) as error:
            if database.is_damage(error):
                raise
            reason = means.failures.words(error)
            log.error("outbox cannot take the update, trying again", study=means.plan.study, reason=reason)
            return seen.SealFailed(base_version)
        means.update = None
        log.debug("update in the outbox", update=means.named(sequence), base_version=base_version)
        return seen.Sealed(base_version, sequence)
