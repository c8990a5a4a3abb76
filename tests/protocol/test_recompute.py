"""Recomputing a round: the same bytes in any order, and every lie found."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.digests import digest_of, record_digest
from protocol.fixed_point import Encoding, Words, encode
from protocol.recompute import Contribution, Recomputed, recompute
from protocol.server_step import server_step
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import CHUNK_BYTES, Header, Request, RequestEntry
from tests.protocol.logs import Scribe, model
from tests.schemas.plans import changed

P = 150_000  # two chunks
ENCODING: dict[str, Any] = {"clip": 100.0, "clip_inf": 1.0, "scale_bits": 20}
SITES = (("a", 16, 0), ("b", 11, 1), ("c", 4, 12))  # site, weight, staleness
VERSION = 20


def plan_of(optimiser: str = "average", *, examples: bool = False) -> Plan:
    encoding, weights = dict(ENCODING), {}
    if examples:
        encoding["auxiliary"] = (("examples", 1.0, 20),)
        weights = {"examples": "examples", "examples_max": 100}
    step = {"server_optimiser": optimiser, "server_lr": 0.5}
    return changed(parameters=P, encoding=encoding, aggregation={**step, **weights})


def updates() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(11)
    return {site: (rng.normal(size=P) * 0.01).astype(np.float32) for site, _, _ in SITES}


def body_of(plan: Plan, site: str, share: float) -> Words:
    encoding = Encoding.from_plan(plan)
    values = {"examples": share} if encoding.examples else {}
    return np.concatenate(list(encode(updates()[site], encoding, values).blocks()))


def contribution(plan: Plan, site: str, staleness: int, body: Words, /, **values: Any) -> Contribution:
    chunks = [body.tobytes()[start : start + CHUNK_BYTES] for start in range(0, body.nbytes, CHUNK_BYTES)]
    digests = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
    fields: dict[str, Any] = {
        "study": plan.study, "site": site, "signing_key": bytes(16), "sequence": 3, "plan": plan.digest,
        "base_version": VERSION - staleness, "base_digest": bytes(32), "trustees": (), "d": plan.d,
        "payload_digest": hashlib.sha256(digests).digest(), "cohort_min": 3,
    }  # fmt: skip
    header = Header(**{**fields, **values}).to_bytes()
    return Contribution(header, digests, list(enumerate(chunks)))


def cohort(plan: Plan, /, **values: Any) -> list[Contribution]:
    return [
        contribution(plan, site, staleness, body_of(plan, site, share), **values)
        for (site, _, staleness), share in zip(SITES, (1.0, 0.5, 0.25), strict=True)
    ]


def request_of(plan: Plan, given: list[Contribution]) -> Request:
    entries = tuple(
        RequestEntry(site, 3, record_digest(item.header), weight)
        for (site, weight, _), item in zip(SITES, given, strict=True)
    )
    return Scribe(plan.study, plan.digest, version=VERSION).request(*entries)


START = np.random.default_rng(5).normal(size=P).astype(np.float32)


def shuffled(given: list[Contribution], seed: int) -> Iterator[Contribution]:
    chance = random.Random(seed)
    for item in chance.sample(given, len(given)):
        chunks = list(item.chunks)
        yield replace(item, chunks=chance.sample(chunks, len(chunks)))


def answers(result: Recomputed) -> tuple[Any, ...]:
    return (result.sum, result.model_digest, result.state_digest, result.n, result.sum_w, result.version)


def test_a_round_recomputed_is_the_weighted_mean() -> None:
    plan = plan_of()
    given = cohort(plan)
    result = recompute(plan, request_of(plan, given), given, START)
    mean = sum(weight * updates()[site].astype(np.float64) for site, weight, _ in SITES) / 48
    assert np.abs(result.model - (START + 0.5 * mean)).max() < 1e-6
    assert result.model_digest == digest_of([result.model.data])
    assert (result.version, result.n, result.sum_w, result.state_digest) == (21, 3, 31, None)


def test_example_weights_shift_the_mean_and_keep_the_step() -> None:
    plan = plan_of(examples=True)
    given = cohort(plan)
    result = recompute(plan, request_of(plan, given), given, START)
    shares = {"a": 16 * 1.0, "b": 11 * 0.5, "c": 4 * 0.25}
    mean = sum(share * updates()[site].astype(np.float64) for site, share in shares.items()) / sum(shares.values())
    assert np.abs(result.model - (START + 0.5 * mean * 31 / 48)).max() < 1e-6


@pytest.mark.parametrize("optimiser", ["average", "momentum", "adam"])
def test_the_order_of_bodies_and_chunks_never_matters(optimiser: str) -> None:
    plan = plan_of(optimiser)
    given = cohort(plan)
    request = request_of(plan, given)
    expected = answers(recompute(plan, request, given, START))
    for seed in range(3):
        assert answers(recompute(plan, request, shuffled(given, seed), START)) == expected


def test_the_state_is_carried_from_version_to_version() -> None:
    """Two rounds through the state's body are two steps on whole vectors."""
    plan = plan_of("adam")
    given = cohort(plan)
    request = request_of(plan, given)
    first = recompute(plan, request, given, START)
    second = recompute(plan, request, given, first.model, first.state)
    change = recompute(plan_of(), request_of(plan_of(), cohort(plan_of())), cohort(plan_of()), np.zeros(P, np.float32))
    rule = plan.aggregation
    step = server_step("adam", 0.5, rule.beta1, rule.beta2, rule.denominator_floor)
    x, state = START, step.initial(P)
    for _ in range(2):
        x, state = step.apply(x, change.model / np.float32(0.5), state)  # halving was exact
    assert np.array_equal(second.model, x)
    block = 131072
    assert np.array_equal(second.state[block : 2 * block], state[1][:block])
    assert np.array_equal(second.state[2 * block : block + P], state[0][block:])
    with pytest.raises(PeerError, match="2 vectors"):
        recompute(plan, request, given, START, first.state[:-1])


def test_a_lying_announcement_is_told_field_by_field() -> None:
    plan = plan_of("momentum")
    given = cohort(plan)
    request = request_of(plan, given)
    result = recompute(plan, request, given, START)
    scribe = Scribe(plan.study, plan.digest, version=VERSION)
    assert result.state_digest is not None
    honest = scribe.answer(
        request, sum=result.sum, model=replace(model(21), digest=result.model_digest),
        state=replace(model(21), digest=result.state_digest),
    )  # fmt: skip
    assert result.differences(honest) == ()
    lies = replace(honest, sum=bytes(32), model=model(0), state=None, n=2)
    assert result.differences(lies) == ("n", "sum", "model", "state")


def spoiled(item: Contribution, index: int, chunk: bytes) -> Contribution:
    chunks = dict(item.chunks)
    chunks[index] = chunk
    return replace(item, chunks=list(chunks.items()))


def test_bodies_that_are_not_those_of_the_request_are_refused() -> None:
    plan = plan_of()
    given = cohort(plan)
    request = request_of(plan, given)
    chunks = list(given[0].chunks)
    flipped = bytearray(chunks[0][1])
    flipped[9] ^= 1
    for bodies, reason in (
        (given[1:], "bodies of a are missing"),
        ([*given, given[0]], "or twice"),
        ([*given[1:], replace(given[0], header=given[0].header[:-1] + b"\x04")], "does not name"),
        ([*given[1:], spoiled(given[0], 0, bytes(flipped))], "chunk 0 was changed"),
        ([*given[1:], replace(given[0], chunks=chunks[:1])], "chunk 1 is missing"),
        ([*given[1:], replace(given[0], chunks=[*chunks, chunks[0]])], "came twice"),
        ([*given[1:], replace(given[0], chunk_digests=bytes(64))], "not those it signed"),
    ):
        with pytest.raises(PeerError, match=reason):
            recompute(plan, request, bodies, START)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"study": "other"}, "not that of its entry"),
        ({"sequence": 4}, "not that of its entry"),
        ({"site": "z"}, "not that of its entry"),
        ({"d": P + 1}, "not that of its entry"),
        ({"plan": bytes(32)}, "not that of its entry"),
        ({"base_version": VERSION - 5}, "not the plan's"),
        ({"base_version": VERSION + 1}, "not the plan's"),
    ],
)
def test_a_header_that_is_not_its_entrys_is_refused(values: dict[str, Any], reason: str) -> None:
    plan = plan_of()
    given = cohort(plan, **values)
    with pytest.raises(PeerError, match=reason):
        recompute(plan, request_of(plan, given), given, START)


def test_a_body_beyond_the_clamp_ends_in_range() -> None:
    plan = plan_of()
    given = cohort(plan)
    beyond = body_of(plan, "a", 1.0)
    beyond[P - 1] = 2**20 + 1
    given[0] = contribution(plan, "a", 0, beyond)
    with pytest.raises(PeerError) as failed:
        recompute(plan, request_of(plan, given), given, START)
    assert failed.value.code == "range"


def test_a_body_of_another_length_or_a_model_of_another_kind_is_refused() -> None:
    plan = plan_of()
    given = cohort(plan)
    short = contribution(plan, "a", 0, body_of(plan, "a", 1.0)[: CHUNK_BYTES // 4])
    with pytest.raises(PeerError, match="2 chunks has 1"):
        recompute(plan, request_of(plan, [short, *given[1:]]), [short, *given[1:]], START)
    cut = contribution(plan, "a", 0, body_of(plan, "a", 1.0)[:-1])
    with pytest.raises(PeerError):
        recompute(plan, request_of(plan, [cut, *given[1:]]), [cut, *given[1:]], START)
    with pytest.raises(PeerError, match="float32 parameters"):
        recompute(plan, request_of(plan, given), given, np.zeros(P + 1, np.float32))
    other = changed(parameters=P, encoding=ENCODING)
    with pytest.raises(PeerError, match="another plan"):
        recompute(other, request_of(plan, given), given, START)
