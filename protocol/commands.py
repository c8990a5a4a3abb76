"""A study's commands as anyone may judge them: whose word holds is a function of the log and the newest roster alone.

Knows:    every signed record of the study's `commands` topic, in the order of the log.
Never:    reads a topic, or decides what a command leads to (the coordinator's core does).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.signing import verify
from schemas.errors import PeerError
from schemas.records import Action, Command, Role, Signed
from schemas.roster import Membership

UNKNOWN_MAX = 64  # records under keys that no operator has: whoever floods the topic fills no memory


@dataclass(frozen=True, slots=True)
class Judged:
    """One record of the topic: the command and its operator where it holds, the reason where it does not."""

    signed: Signed
    command: Command | None
    operator: str = ""
    reason: str = ""
    at_ms: int = 0  # when it was appended, as whoever read it has told


@dataclass(slots=True)
class _Kept:
    """One record, and what its signature was found to be: a key has one name, so that never changes."""

    signed: Signed
    at_ms: int
    command: Command | None = None
    wrong: str = ""

    def check(self, public: bytes) -> Command:
        if self.wrong:
            raise PeerError(self.wrong)
        if self.command is None:
            try:
                self.command = verify(self.signed, Command, public)
            except PeerError as error:
                self.wrong = str(error)
                raise
        return self.command


class CommandLog:
    """Feed it the records of `commands`; ask it again whenever the roster changes.

    A command holds while its operator's key is not revoked: what a thief commanded falls with the stolen key, and who
    leaves in order has keys that are retired. So a successor comes to the same answer as its predecessor.
    """

    def __init__(self, study: str) -> None:
        self.study = study
        self._records: list[_Kept] = []
        self._unknown = 0

    def add(self, value: bytes | None, membership: Membership | None = None, *, at_ms: int = 0) -> bool:
        """Take the next record. Raises PeerError for one that can never hold, whatever the roster says: it is left out.

        False under a key that no operator has: it may hold by a newer roster, so the newest of such records are kept.
        """
        if value is None:
            raise PeerError("an empty record")
        kept = _Kept(Signed.from_bytes(value), at_ms)
        try:
            _, public = _operator(kept.signed, membership, self.study)
        except PeerError as error:
            unknown = error.code == "stranger"
        else:
            unknown = False
            kept.check(public)
        self._records.append(kept)
        self._unknown += unknown
        if self._unknown > UNKNOWN_MAX:
            self._forget_unknown(membership)
        return not unknown

    def _forget_unknown(self, membership: Membership | None) -> None:
        """Half of those that nobody known has signed, the oldest."""
        unknown = [one for one in self._records if self._is_unknown(one, membership)]
        gone = {id(one) for one in unknown[: max(len(unknown) - UNKNOWN_MAX // 2, 0)]}
        self._records = [one for one in self._records if id(one) not in gone]
        self._unknown = len(unknown) - len(gone)

    def _is_unknown(self, kept: _Kept, membership: Membership | None) -> bool:
        try:
            _operator(kept.signed, membership, self.study)
        except PeerError as error:
            return error.code == "stranger"
        return False

    def judge(self, membership: Membership | None) -> list[Judged]:
        """Every record in order. A command holds when an operator of the study signed it and its serial rises."""
        judged: list[Judged] = []
        serial = -1
        for kept in self._records:
            one = self._judge(kept, membership, serial)
            if one.command is not None:
                serial = one.command.serial
            judged.append(one)
        return judged

    def holding(self, membership: Membership | None) -> tuple[Command, ...]:
        """The commands that hold, their serials rising."""
        return tuple(one.command for one in self.judge(membership) if one.command is not None)

    def mentions(self, action: Action, site: str) -> bool:
        """Whether any record says this of the site, be it judged to hold or not."""
        return any(self._says(kept.signed, action, site) for kept in self._records)

    @staticmethod
    def _says(signed: Signed, action: Action, site: str) -> bool:
        try:
            command = Command.from_bytes(signed.payload)
        except PeerError:
            return False
        return (command.action, command.site) == (action, site)

    def _judge(self, kept: _Kept, membership: Membership | None, serial: int) -> Judged:
        signed, at_ms = kept.signed, kept.at_ms
        try:
            operator, public = _operator(signed, membership, self.study)
            command = kept.check(public)
        except PeerError as error:
            return Judged(signed, None, reason=str(error), at_ms=at_ms)
        if command.study != self.study:
            return Judged(signed, None, operator, f"it names study {command.study}", at_ms)
        if command.serial <= serial:
            return Judged(signed, None, operator, f"its serial {command.serial} does not rise above {serial}", at_ms)
        return Judged(signed, command, operator, at_ms=at_ms)


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
