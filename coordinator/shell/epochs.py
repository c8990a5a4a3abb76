"""Study keys by epoch: made by the coordinator, sealed to every member that may read models; a new one when one leaves.

Knows:    which epoch is current, who has its key; all of it stands on the study's `keys` topic.
"""

import structlog

from coordinator.shell.services import Services
from protocol.sealing import new_epoch_key, open_epoch_key, seal_epoch_key
from protocol.signing import verify
from schemas import topics
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import EpochKey, Signed
from schemas.roster import Membership
from transport.log import read_to_end

log = structlog.get_logger()


class Epochs:
    """The epoch keys of one study."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._plan = plan
        self._keys: dict[int, bytes] = {}
        self._held: dict[tuple[int, str], bytes] = {}  # (epoch, member) -> key_id it is sealed to

    @property
    def current(self) -> int:
        return max(self._keys, default=-1)

    def key(self, epoch: int) -> bytes:
        """The key of an epoch. Raises PeerError when it is not on the log."""
        if epoch not in self._keys:
            raise PeerError(f"the key of epoch {epoch} of {self._plan.study} is not on the log", code="epoch")
        return self._keys[epoch]

    async def restore(self) -> None:
        """Read the `keys` topic: own boxes give the keys, the others tell who has them."""
        services = self._services
        for entry in await read_to_end(services.kafka, services.link, [topics.keys(self._plan.study)]):
            if entry.value is None:
                continue
            try:
                signed = Signed.from_bytes(entry.value)
                public = services.membership.signing_key(services.name, signed.key_id)
                record = verify(signed, EpochKey, public)
                if record.member == services.name:
                    key = open_epoch_key(services.opening, record.study, record.epoch, record.member, record.box)
                    self._keys[record.epoch] = key
            except PeerError as error:
                log.warning("key record not usable", study=self._plan.study, offset=entry.offset, reason=str(error))
                continue
            self._held[record.epoch, record.member] = record.key_id

    async def ensure(self, membership: Membership) -> bool:
        """Give the current key to every member that may have it; begin a new epoch when somebody left.

        Returns whether the epoch changed: then the newest version has to be announced again under it.
        """
        members = self._readers(membership)
        holders = {member for epoch, member in self._held if epoch == self.current}
        fresh = self.current < 0 or bool(holders - members - {self._services.name})
        if fresh:
            epoch = self.current + 1
            key = new_epoch_key()
            await self._give(epoch, self._services.name, key, membership)
            self._keys[epoch] = key
        for member in sorted(members):
            await self._give(self.current, member, self._keys[self.current], membership)
        return fresh

    def _readers(self, membership: Membership) -> set[str]:
        return {*membership.sites(self._plan.study), *self._plan.storage.auditors, self._services.name}

    async def _give(self, epoch: int, member: str, key: bytes, membership: Membership) -> None:
        services = self._services
        try:
            opening = membership.opening_key(member)
        except PeerError as error:
            log.warning("member gets no study key", study=self._plan.study, member=member, reason=str(error))
            return
        if self._held.get((epoch, member)) == opening.key_id:
            return
        box = seal_epoch_key(opening.public, self._plan.study, epoch, member, key)
        record = EpochKey(self._plan.study, epoch, member, opening.key_id, box)
        value = services.signing.sign(record).to_bytes()
        await services.writer.send(topics.keys(self._plan.study), value, key=f"{epoch}/{member}".encode())
        self._held[epoch, member] = opening.key_id
