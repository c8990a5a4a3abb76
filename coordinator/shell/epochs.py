"""Study keys by epoch: made by the coordinator, sealed to every member that may read models; a new one when one leaves.

Knows:    which epoch is current, who has its key; all of it stands on the study's `keys` topic.
"""

import asyncio

import structlog

from coordinator.shell.services import Services, refuse_own
from protocol.sealing import new_epoch_key, open_epoch_box, open_epoch_key, seal_epoch_key
from protocol.written import ForeignError, read_epoch_key
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import Announcement, EpochKey
from schemas.roster import Membership
from transport.reading.log import Entry, to_end

RECORDS_A_TURN = 64

log = structlog.get_logger()


class Epochs:
    """The epoch keys of one study."""

    def __init__(self, services: Services, plan: Plan) -> None:
        self._services = services
        self._plan = plan
        self._keys: dict[int, bytes] = {}
        self._held: dict[tuple[int, str], bytes] = {}  # (epoch, member) -> key_id it is sealed to
        self._unopened: set[int] = set()  # epochs whose key is there and does not open

    @property
    def current(self) -> int:
        return max(self._keys, default=-1)

    def key(self, epoch: int) -> bytes:
        """The key of an epoch. Raises PeerError when it is not on the log."""
        if epoch not in self._keys:
            raise PeerError(f"the key of epoch {epoch} of {self._plan.study} is not on the log", code="epoch")
        return self._keys[epoch]

    async def restore(self) -> None:
        """Read the `keys` topic: own boxes give the keys, the others tell who has them.

        What no coordinator wrote hides the record under its name from a broker that compacts: it is given once more.
        """
        services = self._services
        read = [entry async for entry in to_end(services.connection, [topics.keys(self._plan.study)])]
        for number, entry in enumerate(read):
            if number % RECORDS_A_TURN == 0:
                await asyncio.sleep(0)
            try:
                self._take(entry)
            except ForeignError as error:
                refuse_own(services, entry.value, error)
                self._held.pop(_named(entry.key), None)
                services.strangers.passed_over(self._plan.study, entry, error)
            except PeerError as error:
                log.warning("key record not usable", study=self._plan.study, offset=entry.offset, reason=str(error))
        self._unopened -= self._keys.keys()

    def _take(self, entry: Entry) -> None:
        services = self._services
        record = read_epoch_key(entry.value, services.membership, self._plan.study)
        if _named(entry.key) != (record.epoch, record.member):
            raise ForeignError(f"the key of epoch {record.epoch} for {record.member} was copied from elsewhere")
        if record.member == services.name:
            self._unopened.add(record.epoch)
            self._keys[record.epoch] = open_epoch_key(services.opening, record)
        self._held[record.epoch, record.member] = record.key_id

    def require(self, newest: Announcement | None) -> None:
        """Before anything is written: the key of the newest version is there, and the one it was announced under.

        Members would be given another key under the same number, where `keys` was emptied. Raises PeerError (`lost`)
        then, and LocalError when a key is there that this coordinator cannot open.
        """
        topic, epoch = topics.keys(self._plan.study), newest.key_epoch if newest is not None else 0
        if closed := sorted(one for one in self._unopened if one >= epoch):
            raise LocalError(
                f"the key of epoch {closed[0]} on {topic} does not open with this coordinator's opening keys",
                hint="give it back the opening key that it had, beside the newest, as NAME.open.1a2b3c4d",
            )
        if newest is None:
            return
        under = f"under which version {newest.version} was announced"
        if epoch not in self._keys:
            raise PeerError(f"{topic} has no key of epoch {epoch}, {under}", code="lost")
        try:
            open_epoch_box(self._keys[epoch], newest.model.body.boxes)
        except PeerError as error:
            raise PeerError(f"{topic} has another key of epoch {epoch} than the one {under}", code="lost") from error

    async def ensure(self, membership: Membership) -> None:
        """Give the current key to every member that may have it; begin a new epoch when somebody left.

        In one transaction: a coordinator that was overtaken must not give members another key for the same epoch.
        The newest version has to be announced again where it is under an older one.
        """
        members = self._readers(membership)
        holders = {member for epoch, member in self._held if epoch == self.current}
        fresh = self.current < 0 or bool(holders - members - {self._services.name})
        epoch = self.current + fresh
        key = new_epoch_key() if fresh else self._keys[epoch]
        given = []
        for member in sorted(members):
            if (record := self._box(epoch, member, key, membership)) is not None:
                given.append(record)
                await asyncio.sleep(0)  # a thousand seals at once would hold up the heartbeats
        if given:
            topic, sign = topics.keys(self._plan.study), self._services.signer.sign
            await self._services.transactions.write(
                (topic, sign(record).to_bytes(), f"{epoch}/{record.member}".encode()) for record in given
            )
        self._keys[epoch] = key
        self._held.update({(epoch, record.member): record.key_id for record in given})

    def _readers(self, membership: Membership) -> set[str]:
        auditors = membership.openers(self._plan.storage.auditors)
        return {*membership.sites(self._plan.study), *auditors, self._services.name}

    def _box(self, epoch: int, member: str, key: bytes, membership: Membership) -> EpochKey | None:
        """The record that gives `member` the key; None when it has it, or cannot get it."""
        try:
            opening = membership.opening_key(member)
        except PeerError as error:
            log.warning("member gets no study key", study=self._plan.study, member=member, reason=str(error))
            return None
        if self._held.get((epoch, member)) == opening.key_id:
            return None
        box = seal_epoch_key(opening.public, self._plan.study, epoch, member, key)
        return EpochKey(self._plan.study, epoch, member, opening.key_id, box)


def _named(key: bytes | None) -> tuple[int, str]:
    """Epoch and member by the Kafka key of a record; (-1, "") where it names none."""
    epoch, _, member = (key or b"").decode(errors="replace").partition("/")
    return (int(epoch), member) if epoch.isascii() and epoch.isdigit() and len(epoch) < 20 else (-1, "")
