"""Gives out the lead partitions: those with studies evenly, and everybody keeps what it has as far as that goes.

Knows:    what each member says it holds, and since which generation of the group; which partitions have studies.
Never:    moves a partition that need not move: a move makes its studies begin again from the log.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from schemas import topics

Claim = tuple[int, frozenset[int]]  # (generation, what was held in it)
NO_CLAIM: Claim = (-1, frozenset())


@dataclass(frozen=True, slots=True)
class KeepingAssignor:
    """One member's part in giving out; `claim` and `busy` tell what it holds, and what has studies, when asked."""

    claim: Callable[[], Claim]
    busy: Callable[[], frozenset[int]]
    name: str = "wardround-keep"

    def metadata(self, wanted: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells the group."""
        return ConsumerProtocolMemberMetadata(0, sorted(wanted), claim_to_bytes(self.claim()))

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        """What each member gets, decided by the one member whom the broker asks."""
        claims = {member: claim_from_bytes(told.user_data) for member, told in members.items()}
        count = len(cluster.partitions_for_topic(topics.LEAD) or ())
        return {
            member: ConsumerProtocolMemberAssignment(0, [(topics.LEAD, sorted(held))], b"")
            for member, held in give_out(claims, count, self.busy()).items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """Nothing to remember: the election does."""


def give_out(claims: Mapping[str, Claim], partitions: int, busy: frozenset[int]) -> dict[str, set[int]]:
    """Every partition to exactly one member; of the busy ones, and of the idle ones, nobody gets above a fair share.

    Where two claim a partition, the claim of the newer generation is the true one. Deterministic: ties go by name.
    """
    given: dict[str, set[int]] = {member: set() for member in sorted(claims)}
    everything = frozenset(range(partitions))
    for part in (everything & busy, everything - busy):
        for member, got in _share_out(claims, part).items():
            given[member] |= got
    return given


def _share_out(claims: Mapping[str, Claim], part: frozenset[int]) -> dict[str, set[int]]:
    """A fair share (rounded up for as many as it takes) of `part` to each; claims first, the rest to who has fewest."""
    given: dict[str, set[int]] = {member: set() for member in sorted(claims)}
    share, larger = divmod(len(part), max(1, len(given)))
    free = set(part)
    for member in sorted(claims, key=lambda one: (-claims[one][0], -len(claims[one][1] & part), one)):
        kept = sorted(claims[member][1] & free)[: share + (larger > 0)]
        larger -= len(kept) > share
        given[member].update(kept)
        free.difference_update(kept)
    for partition in sorted(free) if given else ():
        given[min(given, key=lambda one: (len(given[one]), one))].add(partition)
    return given


def claim_to_bytes(claim: Claim) -> bytes:
    """Generation and partitions as big-endian 32-bit numbers."""
    generation, held = claim
    return struct.pack(f">{1 + len(held)}i", generation, *sorted(held))


def claim_from_bytes(told: bytes | None) -> Claim:
    """The claim; none for bytes that are not one: it only decides what moves."""
    if not told or len(told) % 4:
        return NO_CLAIM
    generation, *held = struct.unpack(f">{len(told) // 4}i", told)
    return generation, frozenset(held)
