"""One round again, from what the log kept: the same Request and bodies must give the same model, to the bit.

Knows:    the arithmetic from plain bodies to the next model and state, and every digest on the way.
Never:    imports the coordinator: an auditor's answer must not rest on the code under audit.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from protocol.digests import body_digest, chunk_count, digest_of, record_digest
from protocol.fixed_point import (
    Encoding,
    Floats,
    Words,
    add_weighted,
    centred,
    check_range,
    check_sum,
    delta,
    examples_index,
    factor,
    sum_digest,
    words,
)
from protocol.server_step import STATE_BLOCK, ServerStep, join_state, split_state, step_of
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Announcement, Header, Request, RequestEntry


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """One update of a cohort, its signature verified and its body opened.

    header          the Header's payload as signed
    chunk_digests   from the Offer's BodyRef: 32 bytes a chunk
    chunks          (index, plain chunk), in any order, each once
    """

    header: bytes
    chunk_digests: bytes
    chunks: Iterable[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, eq=False)
class Recomputed:
    """What an honest coordinator must have announced; `state` is laid out as the state's body, empty without one."""

    version: int
    n: int
    sum_w: int
    sum: bytes
    model: Floats
    model_digest: bytes
    state: Floats
    state_digest: bytes | None

    def differences(self, announcement: Announcement) -> tuple[str, ...]:
        """Where an Announcement says something else, by field name; empty when the coordinator told the truth."""
        state = announcement.state.digest if announcement.state else None
        pairs = {
            "version": (self.version, announcement.version),
            "n": (self.n, announcement.n),
            "sum_w": (self.sum_w, announcement.sum_w),
            "sum": (self.sum, announcement.sum),
            "model": (self.model_digest, announcement.model.digest),
            "state": (self.state_digest, state),
        }
        return tuple(name for name, (mine, theirs) in pairs.items() if mine != theirs)


def recompute(
    plan: Plan,
    request: Request,
    contributions: Iterable[Contribution],
    model: Floats,
    state: Floats | None = None,
) -> Recomputed:
    """Compute the version that follows `request` from the cohort's bodies, in whatever order they come.

    model   float32 (p,), the version the Request names
    state   the body of the state announced with that version, float32; None where there was none
    Raises PeerError when a body is missing, strange, changed or out of range; code `range` or `examples` where the
    round had to end in Failed. Memory: the sum, and the next model and state.
    """
    encoding, step = Encoding.from_plan(plan), step_of(plan)
    if record_digest(plan.to_bytes()) != request.plan:
        raise PeerError("the Request names another plan")
    if model.shape != (encoding.p,) or model.dtype != np.float32:
        raise PeerError(f"a model of {encoding.p} float32 parameters was expected, got {model.dtype} {model.shape}")
    total = _sum(plan, request, contributions, encoding)
    sum_w = sum(entry.weight for entry in request.entries)
    unit = _unit(total, encoding, len(request.entries), sum_w)
    next_model, next_state = _advance(step, encoding, model, state, total, unit)
    return Recomputed(
        version=request.version + 1,
        n=len(request.entries),
        sum_w=sum_w,
        sum=sum_digest([total]),
        model=next_model,
        model_digest=digest_of([next_model.data]),
        state=next_state,
        state_digest=digest_of([next_state.data]) if step.vectors else None,
    )


def _sum(plan: Plan, request: Request, contributions: Iterable[Contribution], encoding: Encoding) -> Words:
    total = np.zeros(encoding.d, encoding.word_type)
    missing = {entry.header: entry for entry in request.entries}
    for contribution in contributions:
        entry = missing.pop(record_digest(contribution.header), None)
        if entry is None:
            raise PeerError("a body was given that the Request does not name, or twice")
        _check_header(plan, request, entry, contribution, encoding)
        _add_body(total, contribution, entry.weight, encoding)
    if missing:
        sites = ", ".join(entry.site for entry in missing.values())
        raise PeerError(f"the bodies of {sites} are missing")
    return total


def _check_header(
    plan: Plan, request: Request, entry: RequestEntry, contribution: Contribution, encoding: Encoding
) -> None:
    header = Header.from_bytes(contribution.header)
    facts = (header.study, header.site, header.sequence, header.plan, header.d)
    if facts != (request.study, entry.site, entry.sequence, request.plan, encoding.d):
        raise PeerError(f"the header of {entry.site} is not that of its entry, or of another plan")
    if plan.weight(request.version - header.base_version) != entry.weight:
        raise PeerError(f"the Request gives {entry.site} weight {entry.weight}, which is not the plan's")
    if body_digest(contribution.chunk_digests) != header.payload_digest:
        raise PeerError(f"the chunk digests of {entry.site} are not those it signed")


def _add_body(total: Words, contribution: Contribution, weight: int, encoding: Encoding) -> None:
    left = set(range(chunk_count(encoding.body_bytes)))
    if len(contribution.chunk_digests) != 32 * len(left):
        raise PeerError(f"a body of {len(left)} chunks has {len(contribution.chunk_digests) // 32} chunk digests")
    for index, chunk in contribution.chunks:
        if index not in left:
            raise PeerError(f"chunk {index} came twice, or is none of the body")
        left.remove(index)
        if hashlib.sha256(chunk).digest() != contribution.chunk_digests[32 * index : 32 * index + 32]:
            raise PeerError(f"chunk {index} was changed")
        offset = index * encoding.block_words
        block = words(chunk, encoding)
        check_range(block, encoding, offset)
        add_weighted(total[offset : offset + encoding.block_words], block, weight)
    if left:
        raise PeerError(f"chunk {min(left)} is missing")


def _unit(total: Words, encoding: Encoding, n: int, sum_w: int) -> float:
    check_sum(total, encoding, 0, sum_w)
    index = examples_index(encoding)
    return factor(encoding, n, sum_w, None if index is None else int(centred(total[index : index + 1])[0]))


def _advance(
    step: ServerStep, encoding: Encoding, model: Floats, state: Floats | None, total: Words, unit: float
) -> tuple[Floats, Floats]:
    if state is not None and state.shape != (step.vectors * encoding.p,):
        raise PeerError(f"the state has {state.shape} values, {step.vectors} vectors of {encoding.p} were expected")
    next_model = np.empty(encoding.p, np.float32)
    next_state = np.empty(step.vectors * encoding.p, np.float32)
    for start in range(0, encoding.p, STATE_BLOCK):
        end = min(start + STATE_BLOCK, encoding.p)
        stored = slice(step.vectors * start, step.vectors * end)
        before = step.initial(end - start) if state is None else split_state(state[stored], step.vectors)
        change = delta(total[start:end], unit)
        next_model[start:end], after = step.apply(model[start:end], change, before)
        next_state[stored] = join_state(after)
    return next_model, next_state
