"""Upload the body of an update, going on where an earlier upload stopped, and offer it."""

import structlog

from participant.core import effects as do
from participant.core import events as seen
from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.jobs.job import Job, Slot
from schemas.errors import FederationError

log = structlog.get_logger()


class Sending(Job):
    """Waits for the broker for ever."""

    slot = Slot.SEND

    async def do(self, effect: Effect) -> Event:
        assert isinstance(effect, do.Send)
        means, sequence = self._means, effect.sequence
        try:
            offset = await means.out.send(sequence, anew=effect.anew)
        except (FederationError, OSError) as error:
            reason = means.failures.words(error)
            log.warning("update not sent, trying again", update=means.named(sequence), reason=reason)
            return seen.SendFailed(sequence)
        log.info("update offered", update=means.named(sequence))
        return seen.Sent(sequence, offset)
