"""What a coordinator wrote on its topics, told from what others put there: one rule for everybody who reads them.

Knows:    a record belongs there when it is of a kind of the topic, of this study, and signed with a key of the roster's
          coordinator. Whoever may write to a broker may write there, too: that is no part of the study.
Never:    judges whether records continue each other (protocol.rounds does): what is missing shows in the chain.
Source:   docs/decisions/0040.
"""

from collections.abc import Mapping
from typing import TypeVar

from protocol.rings import SignRing
from protocol.rounds import RoundsRecord
from protocol.signing import verify
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import Announcement, AskAgain, Bookmark, EpochKey, Failed, Receipt, Request, Signed, kind_of
from schemas.roster import Membership

_ROUNDS: Mapping[int, type[RoundsRecord]] = {kind.KIND: kind for kind in (Announcement, Request, AskAgain, Failed)}

_KINDS: Mapping[int, type[Record]] = {
    **_ROUNDS, **{kind.KIND: kind for kind in (Receipt, EpochKey, Bookmark)}
}  # fmt: skip

R = TypeVar("R", bound=Record)


class ForeignError(PeerError):
    """No coordinator of the roster wrote it for this study: to be passed over, counted and said, wherever it lies."""


def read_rounds(value: bytes | None, membership: Membership | None, study: str) -> RoundsRecord:
    """A record of the study's `rounds`. Raises ForeignError, or PeerError (`revoked`) as `read_receipt` does."""
    return _of(value, _ROUNDS, membership, study)


def read_receipt(value: bytes | None, membership: Membership | None, study: str) -> Receipt:
    """A record of the study's `receipts`.

    Raises ForeignError; PeerError with code `revoked` where a revoked key of the coordinator signed: the study has
    lost its record then, which is for people to decide.
    """
    return _of(value, {Receipt.KIND: Receipt}, membership, study)


def read_epoch_key(value: bytes | None, membership: Membership | None, study: str) -> EpochKey:
    """A record of the study's `keys`. Raises ForeignError, or PeerError (`revoked`) as `read_receipt` does."""
    return _of(value, {EpochKey.KIND: EpochKey}, membership, study)


def read_bookmark(value: bytes | None, membership: Membership | None, study: str) -> Bookmark:
    """A record of the study's `bookmark`. Raises ForeignError, or PeerError (`revoked`) as `read_receipt` does."""
    return _of(value, {Bookmark.KIND: Bookmark}, membership, study)


def is_signed_with(value: bytes | None, keys: SignRing) -> bool:
    """Whether one of these keys signed it, whatever the roster says of them: a record of a coordinator's."""
    try:
        signed = Signed.from_bytes(value or b"")
        key, kind = keys.key(signed.key_id), _KINDS.get(kind_of(signed.payload))
        return key is not None and kind is not None and bool(verify(signed, kind, key.public))
    except PeerError:
        return False


def _of(value: bytes | None, kinds: Mapping[int, type[R]], membership: Membership | None, study: str) -> R:
    """What costs least comes first: whoever wants to keep a reader busy has to sign, or to copy, whole records."""
    try:
        if value is None:
            raise PeerError("an empty record")
        if membership is None:
            raise PeerError("the roster is not complete on the log", code="stranger")
        signed = Signed.from_bytes(value)
        kind = kinds.get(kind_of(signed.payload))
        if kind is None:
            raise PeerError("a record of a kind that does not belong here")
        record, revoked = _verified(signed, kind, membership)
        if _study_of(record) != study:
            raise PeerError(f"a record of study {_study_of(record)}")
    except PeerError as error:
        raise ForeignError(str(error), code=error.code) from None
    if revoked:
        raise PeerError(f"signing key {signed.key_id.hex()} of {membership.coordinator} is revoked", code="revoked")
    return record


def _verified(signed: Signed, kind: type[R], membership: Membership) -> tuple[R, bool]:
    """The record, and whether its key is revoked by now; that it names such a key says nothing by itself."""
    name = membership.coordinator
    try:
        return verify(signed, kind, membership.signing_key(name, signed.key_id)), False
    except PeerError as error:
        public = membership.revoked_key(name, signed.key_id) if error.code == "revoked" else None
        if public is None:
            raise
        return verify(signed, kind, public), True


def _study_of(record: Record) -> str:
    study = getattr(record, "study", None)
    assert isinstance(study, str)
    return study
