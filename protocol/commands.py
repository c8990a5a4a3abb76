"""A study's commands as anyone may judge them: whose word holds is a function of the log and the newest roster alone.

Knows:    every signed record of the study's `commands` topic, in the order of the log.
Never:    reads a topic, or decides what a command leads to (the coordinator's core does).
Used by:  coordinator, the operator's command, whoever shows a study.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.signing import verify
from schemas.errors import PeerError
from schemas.records import Action, Command, Role, Signed
from schemas.roster import Membership


@dataclass(frozen=True, slots=True)
class Judged:
    """One record of the topic: the command and its operator where it holds, the reason where it does not."""

    signed: Signed
    command: Command | None
    operator: str = ""
    reason: str = ""


class CommandLog:
    """Feed it the records of `commands`; ask it again whenever the roster changes.

    A command holds while its operator's key is not revoked: what a thief commanded falls with the stolen key, and who
    leaves in order has keys that are retired. So a successor comes to the same answer as its predecessor.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._records: list[Signed] = []

    def add(self, value: bytes | None) -> None:
        """Take the next record. Raises PeerError for bytes that are no signed record: they are left out."""
        if value is None:
            raise PeerError("an empty record")
        self._records.append(Signed.from_bytes(value))

    def judge(self, membership: Membership | None) -> list[Judged]:
        """Every record in order. A command holds when an operator of the study signed it and its serial rises."""
        judged: list[Judged] = []
        serial = -1
        for signed in self._records:
            one = self._judge(signed, membership, serial)
            if one.command is not None:
                serial = one.command.serial
            judged.append(one)
        return judged

    def holding(self, membership: Membership | None) -> tuple[Command, ...]:
        """The commands that hold, their serials rising."""
        return tuple(one.command for one in self.judge(membership) if one.command is not None)

    def mentions(self, action: Action, site: str) -> bool:
        """Whether any record says this of the site, be it judged to hold or not."""
        return any(self._says(signed, action, site) for signed in self._records)

    @staticmethod
    def _says(signed: Signed, action: Action, site: str) -> bool:
        try:
            command = Command.from_bytes(signed.payload)
        except PeerError:
            return False
        return (command.action, command.site) == (action, site)

    def _judge(self, signed: Signed, membership: Membership | None, serial: int) -> Judged:
        try:
            operator, public = _operator(signed, membership, self._study)
            command = verify(signed, Command, public)
        except PeerError as error:
            return Judged(signed, None, reason=str(error))
        if command.study != self._study:
            return Judged(signed, None, operator, f"it names study {command.study}")
        if command.serial <= serial:
            return Judged(signed, None, operator, f"its serial {command.serial} does not rise above {serial}")
        return Judged(signed, command, operator)


def _operator(signed: Signed, membership: Membership | None, study: str) -> tuple[str, bytes]:
    """Name and public key of the operator who signed."""
    names: Sequence[str] = membership.with_role(Role.OPERATOR, study) if membership is not None else ()
    for name in names:
        assert membership is not None
        try:
            return name, membership.signing_key(name, signed.key_id)
        except PeerError as error:
            if error.code == "revoked":
                raise
    raise PeerError(f"key {signed.key_id.hex()} is no operator's of study {study}", code="stranger")
