"""A version of a study's model, opened with one member's key; every byte is checked against the log."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.reading import FederationReader
from audit.study_log import StudyLog
from protocol.digests import model_subject
from protocol.sealing import ChunkOpener, OpeningKeys, open_epoch_box, open_epoch_key
from schemas import topics
from schemas.errors import LocalError
from schemas.records import BodyAt
from transport.admin import COMMAND_S, within
from transport.bodies import BodyReader
from transport.errors import BodyGone
from transport.reading.plain import whole_body


@dataclass(frozen=True, slots=True)
class OpeningMember:
    """A member by name, with the private halves of its opening keys."""

    name: str
    keys: OpeningKeys

    def opener(self, log: StudyLog, number: int, body: BodyAt, epoch: int) -> ChunkOpener:
        """Opens the chunks of version `number`. Raises LocalError when this member is not given the study's key."""
        given = log.epoch_keys.get((epoch, self.name))
        if given is None or self.keys.key(given.key_id) is None:
            raise LocalError(
                f"{self.name} was not given the key of epoch {epoch} of study {log.study}",
                hint="members get the key when they are on the roster; is this the key file of that member?",
            )
        epoch_key = open_epoch_key(self.keys, given)
        subject = model_subject(log.study, number)
        return ChunkOpener(open_epoch_box(epoch_key, body.body.boxes), subject, body.body.count)


async def fetch_version(
    federation: FederationReader, member: OpeningMember, study: str, number: int | None
) -> NDArray[np.float32]:
    """Version `number`, or the newest, float32 (p,).

    Raises LocalError for a version that is not there or no longer kept, or when this member is not given the study's
    key; TransientError after 10 s.
    """
    log = await federation.study_log(study, topics.keys(study))
    wanted = log.history.version if number is None else number
    if wanted not in log.models:
        newest = log.history.version
        said = f"version {wanted}" if newest >= 0 else "version yet"
        hint = f"the newest is {newest}" if newest >= 0 else "the coordinator publishes version 0 when it runs"
        raise LocalError(f"study {study} has no {said}", hint=hint)
    body, epoch = log.models[wanted]
    opener = member.opener(log, wanted, body, epoch)
    return await within(_fetch(federation, study, wanted, body, opener), COMMAND_S, federation.link)


async def _fetch(
    federation: FederationReader, study: str, number: int, body: BodyAt, opener: ChunkOpener
) -> NDArray[np.float32]:
    reader = BodyReader(federation.settings, federation.link)
    try:
        whole = await whole_body(reader, topics.models(study), body, opener)
    except BodyGone:
        raise LocalError(
            f"version {number} of {study} is no longer kept", hint="only the newest versions stay on the broker"
        ) from None
    finally:
        await reader.close()
    return np.frombuffer(whole, dtype="<f4").astype(np.float32, copy=False)
