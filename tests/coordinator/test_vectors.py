"""From a sum to the next version: the same as a plain computation, and bit for bit what an auditor recomputes."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coordinator.shell.vectors import RunningSum, Stepped, read_vector, take_step
from protocol.digests import body_digest, digest_of
from protocol.fixed_point import Encoding, Words, encode
from protocol.recompute import Contribution, recompute
from protocol.server_step import STATE_BLOCK, step_of
from schemas.errors import LocalError, PeerError
from schemas.plan import SERVER_OPTIMISERS, Plan
from schemas.records import BodyAt, BodyRef, Header, Request, RequestEntry
from tests.schemas.plans import changed

CHUNK_WORDS = 131072
Floats = NDArray[np.float32]
EXAMPLES: dict[str, Any] = {"examples": "examples", "examples_max": 100}


def plan_for(p: int, optimiser: str = "average", *, examples: bool = False, lr: float = 1.0) -> Plan:
    return changed(
        parameters=p,
        aggregation={"server_optimiser": optimiser, "server_lr": lr, **(EXAMPLES if examples else {})},
        encoding={"auxiliary": (("examples", 1.0, 20),)} if examples else {},
    )


def updates(plan: Plan, n: int, seed: int) -> list[tuple[Floats, Words, float]]:
    """n random updates, well inside the clip: (plain, encoded, example share)."""
    chance, found = np.random.default_rng(seed), []
    for _ in range(n):
        plain = (chance.standard_normal(plan.parameters) * 0.5 / np.sqrt(plan.parameters)).astype(np.float32)
        share = float(chance.integers(1, 101)) / 100 if plan.aggregation.examples else 1.0
        auxiliary = {"examples": share} if plan.aggregation.examples else None
        encoded = encode(plain, Encoding.from_plan(plan), auxiliary)
        found.append((plain, np.concatenate(list(encoded.blocks())), share))
    return found


def step(
    plan: Plan, folder: Path, bodies: list[Words], weights: list[int], model: Floats, state: Floats | None
) -> Stepped:
    total = RunningSum(Encoding.from_plan(plan))
    for body, weight in zip(bodies, weights, strict=True):
        total.add(body, weight)
    (folder / "old").write_bytes(model.tobytes())
    if state is not None:
        (folder / "old-state").write_bytes(state.tobytes())
    return take_step(
        total,
        step_of(plan),
        n=len(bodies),
        sum_w=sum(weights),
        model=folder / "old",
        state=folder / "old-state" if state is not None else None,
        out=folder / "new",
        out_state=folder / "new-state",
    )


def audit(plan: Plan, bodies: list[Words], weights: list[int], model: Floats, state: Floats | None) -> Any:
    """What protocol.recompute makes of the same bodies; chunks in reverse order."""
    version, entries, contributions = 20, [], []
    stale = {plan.weight(late): late for late in range(plan.aggregation.staleness_max, -1, -1)}
    for at, (body, weight) in enumerate(zip(bodies, weights, strict=True)):
        data = body.tobytes()
        cut = [data[start : start + 4 * CHUNK_WORDS] for start in range(0, len(data), 4 * CHUNK_WORDS)]
        digests = b"".join(_sha(chunk) for chunk in cut)
        late = stale[weight]
        header = Header(
            plan.study, f"site-{at}", b"k" * 16, at, plan.digest, version - late, b"m" * 32, (), plan.d,
            body_digest(digests), 3,
        ).to_bytes()  # fmt: skip
        entries.append(RequestEntry(f"site-{at}", at, _sha(header), weight))
        contributions.append(Contribution(header, digests, reversed(list(enumerate(cut)))))
    nowhere = BodyAt(bytes(32), BodyRef(0, 0, (), b"", ()))
    request = Request(plan.study, 9, bytes(32), version, plan.digest, 1, bytes(32), tuple(entries), nowhere, None)
    return recompute(plan, request, reversed(contributions), model, state)


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def plain_step(plan: Plan, change: NDArray[np.float64], model: NDArray[np.float64], m: Any, v: Any) -> Any:
    """The paper's algorithm in float64 over whole vectors: (model, m, v)."""
    rule = plan.aggregation
    lr, b1, b2, epsilon = rule.server_lr, rule.beta1, rule.beta2, rule.denominator_floor
    if rule.server_optimiser == "average":
        return model + lr * change, m, v
    if rule.server_optimiser == "momentum":
        m = b1 * m + change
        return model + lr * m, m, v
    if rule.server_optimiser == "adagrad":
        v = v + change**2
        return model + lr * change / (np.sqrt(v) + epsilon), m, v
    m = b1 * m + (1 - b1) * change
    v = b2 * v + (1 - b2) * change**2 if rule.server_optimiser == "adam" else (
        v - (1 - b2) * change**2 * np.sign(v - change**2)
    )  # fmt: skip
    return model + lr * m / (np.sqrt(v) + epsilon), m, v


@pytest.mark.parametrize("optimiser", SERVER_OPTIMISERS)
@pytest.mark.parametrize(
    ("p", "examples"), [(7, False), (200, True), (CHUNK_WORDS, True), (2 * CHUNK_WORDS + 5, False)]
)
def test_three_versions_are_those_of_a_plain_computation_and_of_the_auditor(
    tmp_path: Path, optimiser: str, p: int, examples: bool
) -> None:
    plan = plan_for(p, optimiser, examples=examples, lr=0.5)
    model = np.random.default_rng(1).standard_normal(p).astype(np.float32)
    expected, m, v = model.astype(np.float64), np.zeros(p), np.full(p, plan.aggregation.denominator_floor**2)
    state: Floats | None = None
    for version, weights in enumerate(([16, 16, 16], [16, 11, 9, 4], [4, 4, 5])):
        drawn = updates(plan, len(weights), version)
        bodies = [body for _, body, _ in drawn]
        audited = audit(plan, bodies, weights, model, state)
        stepped = step(plan, tmp_path, bodies, weights, model, state)
        model = np.frombuffer(stepped.model.path.read_bytes(), np.float32)
        state = np.frombuffer(stepped.state.path.read_bytes(), np.float32) if stepped.state else None

        total = sum(w * share * plain.astype(np.float64) for w, (plain, _, share) in zip(weights, drawn, strict=True))
        shares = sum(w * share for w, (_, _, share) in zip(weights, drawn, strict=True))
        change = total / shares * sum(weights) / (16 * len(weights)) if examples else total / (16 * len(weights))
        expected, m, v = plain_step(plan, np.asarray(change), expected, m, v)
        rate = 200 if optimiser in ("adagrad", "yogi", "adam") else 1  # near v = 0 a rounding moves the quotient
        off = np.abs(model - expected) > 2e-6 * rate
        assert off.mean() < 1e-4, "yogi's sign may flip where v and the square are a rounding apart"

        assert stepped.model.digest == audited.model_digest == digest_of([model.tobytes()])
        assert stepped.model.size_bytes == 4 * p
        assert body_digest(stepped.model.chunk_digests) == stepped.model.digest
        assert stepped.sum == audited.sum
        assert (stepped.state.digest if stepped.state else None) == audited.state_digest
        assert np.array_equal(model, audited.model)
        assert state is None or np.array_equal(state, audited.state)


@given(
    p=st.integers(1, 40),
    weights=st.lists(st.sampled_from([16, 11, 9, 8, 7, 6, 5, 4]), min_size=1, max_size=10),
    optimiser=st.sampled_from(SERVER_OPTIMISERS),
    examples=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_cohort_an_auditor_finds_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, p: int, weights: list[int], optimiser: str, examples: bool, seed: int
) -> None:
    plan = plan_for(p, optimiser, examples=examples)
    bodies = [body for _, body, _ in updates(plan, len(weights), seed)]
    chance = np.random.default_rng(seed)
    model = chance.standard_normal(p).astype(np.float32)
    state = np.abs(chance.standard_normal(step_of(plan).vectors * p)).astype(np.float32)
    before = state if len(state) else None
    audited = audit(plan, bodies, weights, model, before)
    stepped = step(plan, tmp_path_factory.mktemp("step"), bodies, weights, model, before)
    assert stepped.model.path.read_bytes() == audited.model.tobytes()
    assert (stepped.sum, stepped.model.digest) == (audited.sum, audited.model_digest)
    assert (stepped.state.digest if stepped.state else None) == audited.state_digest


def test_a_fresh_full_cohort_of_equal_updates_moves_the_model_by_that_update(tmp_path: Path) -> None:
    plan = plan_for(4)
    update = np.array([0.25, -0.5, 0.125, 0.0], np.float32)
    body = next(encode(update, Encoding.from_plan(plan)).blocks())
    stepped = step(plan, tmp_path, [body] * 3, [16] * 3, np.ones(4, np.float32), None)
    assert np.frombuffer(stepped.model.path.read_bytes(), np.float32).tolist() == [1.25, 0.5, 1.125, 1.0]


def test_a_lone_update_at_weight_four_moves_it_by_a_quarter(tmp_path: Path) -> None:
    plan = plan_for(2)
    body = next(encode(np.array([0.5, -0.25], np.float32), Encoding.from_plan(plan)).blocks())
    stepped = step(plan, tmp_path, [body], [4], np.zeros(2, np.float32), None)
    assert np.frombuffer(stepped.model.path.read_bytes(), np.float32).tolist() == [0.125, -0.0625]


@given(st.permutations(range(5)), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_sum_forgets_order_and_whoever_is_taken_out_again(order: list[int], seed: int) -> None:
    plan = plan_for(30)
    bodies, weights = [body for _, body, _ in updates(plan, 5, seed)], [16, 11, 9, 5, 4]
    one, other = RunningSum(Encoding.from_plan(plan)), RunningSum(Encoding.from_plan(plan))
    for at in range(4):
        one.add(bodies[at], weights[at])
    for at in order:
        other.add(bodies[at], weights[at])
    other.add(bodies[4], -weights[4])
    assert np.array_equal(one.words, other.words)
    other.clear()
    assert not other.words.any()


def test_blocks_cover_the_sum_once_in_chunks() -> None:
    total = RunningSum(Encoding.from_plan(plan_for(2 * CHUNK_WORDS + 3)))
    assert [(start, len(block)) for start, block in total.blocks()] == [
        (0, CHUNK_WORDS),
        (CHUNK_WORDS, CHUNK_WORDS),
        (2 * CHUNK_WORDS, 3),
    ]
    assert total.encoding.block_words == STATE_BLOCK, "state bodies are laid out in these blocks"


@pytest.mark.parametrize("at", [0, CHUNK_WORDS - 1, CHUNK_WORDS + 4])
def test_a_sum_out_of_range_is_refused_wherever_the_word_stands(tmp_path: Path, at: int) -> None:
    plan = plan_for(CHUNK_WORDS + 5)
    body = np.zeros(plan.d, np.uint32)
    body[at] = 2**31 - 1
    with pytest.raises(PeerError) as refused:
        step(plan, tmp_path, [body], [1], np.zeros(plan.parameters, np.float32), None)
    assert refused.value.code == "range"
    good = np.zeros(plan.d, np.uint32)
    stepped = step(plan, tmp_path, [good], [16], np.ones(plan.parameters, np.float32), None)
    assert stepped.model.path.read_bytes() == np.ones(plan.parameters, np.float32).tobytes()


def test_an_auxiliary_word_in_a_later_block_has_its_own_range(tmp_path: Path) -> None:
    plan = plan_for(CHUNK_WORDS, examples=True)
    body = np.zeros(plan.d, np.uint32)
    body[CHUNK_WORDS] = 2**20 + 2
    with pytest.raises(PeerError) as refused:
        step(plan, tmp_path, [body], [16], np.zeros(CHUNK_WORDS, np.float32), None)
    assert refused.value.code == "range"


@pytest.mark.parametrize("share", [0, -5])
def test_example_weights_that_sum_to_nothing_are_refused(tmp_path: Path, share: int) -> None:
    plan = plan_for(3, examples=True)
    body = np.zeros(plan.d, np.uint32)
    body.view(np.int32)[3] = share
    with pytest.raises(PeerError) as refused:
        step(plan, tmp_path, [body], [16], np.zeros(3, np.float32), None)
    assert refused.value.code == "examples"


def test_a_body_of_another_length_is_refused() -> None:
    with pytest.raises(PeerError):
        RunningSum(Encoding.from_plan(plan_for(3))).add(np.zeros(4, np.uint32), 16)


def test_a_model_file_that_ends_early_stops_the_study_with_a_hint(tmp_path: Path) -> None:
    plan = plan_for(5)
    with pytest.raises(LocalError) as stopped:
        step(plan, tmp_path, [np.zeros(5, np.uint32)], [16], np.zeros(4, np.float32), None)
    assert "ends early" in str(stopped.value)
    assert stopped.value.hint


def test_a_full_disk_is_a_local_error_with_a_hint(tmp_path: Path) -> None:
    plan = plan_for(5)
    total = RunningSum(Encoding.from_plan(plan))
    (tmp_path / "old").write_bytes(bytes(20))
    with pytest.raises(LocalError) as stopped:
        take_step(total, step_of(plan), n=1, sum_w=16, model=tmp_path / "old", state=None,
                  out=Path("/dev/full"), out_state=tmp_path / "state")  # fmt: skip
    assert "free disk space" in str(stopped.value.hint)


def test_a_vector_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(np.arange(6, dtype="<f4").tobytes())
    with (tmp_path / "v").open("rb") as file:
        assert read_vector(file, 4).tolist() == [0, 1, 2, 3]
        assert read_vector(file, 2).tolist() == [4, 5]
