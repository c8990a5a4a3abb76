"""The body that a Request names: all that explains its cohort, without the topics of the sites."""

from dataclasses import dataclass
from typing import Annotated, Self, cast

import msgpack

from schemas.codec import Blob, Many, Struct, unpack_array
from schemas.errors import PeerError
from schemas.records.bodies import SITES_MAX, TRUSTEES_MAX
from schemas.records.envelope import SIGNED_MAX

COHORT_BYTES_MAX = 2**31
_OTHERS_MAX = 1 + TRUSTEES_MAX  # the coordinator first


@dataclass(frozen=True, slots=True)
class CohortBody(Struct):
    """Coordinator -> auditors, `.models`, in plain chunks: roster, members and offers as they were signed.

    It has neither kind nor version: a Request names it by digest, and nothing else is a cohort body.
    """

    roster: Annotated[bytes, Blob(SIGNED_MAX)]  #: the Signed Roster that the Request names by digest
    members: Annotated[
        tuple[bytes, ...], Many(Blob(SIGNED_MAX), SITES_MAX + _OTHERS_MAX, low=1)
    ]  #: Signed Members: the coordinator, the plan's trustees and the cohort's sites, by name
    offers: Annotated[
        tuple[bytes, ...], Many(Blob(SIGNED_MAX), SITES_MAX, low=1)
    ]  #: Signed Offers, in the order of the Request's entries

    def to_bytes(self) -> bytes:
        return cast(bytes, msgpack.packb(self._wire()))

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Raises PeerError for any other bytes, a second encoding of the same included."""
        wire = unpack_array(body, COHORT_BYTES_MAX, "cohort body")
        try:
            value = cls._from_wire(wire)
        except ValueError as error:
            raise PeerError(f"cohort body: {error}") from None
        if value.to_bytes() != body:
            raise PeerError("cohort body in a second encoding")
        return value
