"""A plan is refused with the reason for each rule that is broken."""

import hashlib
import math
import re
import struct
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import PeerError
from schemas.plan import (
    cohort_effective_min,
    headroom,
    largest_scale_bits,
    plan_of,
    share_max,
)
from tests.schemas.plans import PLAN, WEIGHTS, changed, with_cohort_min

EXAMPLES: dict[str, Any] = {"examples": "examples", "examples_max": 300}


def carrying(*auxiliary: tuple[str, float, int], **weights: Any) -> dict[str, Any]:
    """Parts of a plan that weighs by examples, with these auxiliary coordinates."""
    return {"encoding": {"auxiliary": auxiliary}, "aggregation": {**EXAMPLES, **weights}}


def test_a_plan_is_known_by_the_sha256_of_its_bytes_and_read_back_the_same() -> None:
    assert PLAN.digest == hashlib.sha256(PLAN.to_bytes()).digest()
    assert plan_of(PLAN.to_bytes()) == PLAN


def test_a_plan_is_an_array_of_arrays_without_maps_or_floats() -> None:
    wire = msgpack.unpackb(PLAN.to_bytes(), max_map_len=0)

    def leaves(value: object) -> list[object]:
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]

    assert {type(leaf) for leaf in leaves(wire)} <= {int, str, bytes, bool, type(None)}
    assert struct.pack(">d", 0.9) in leaves(wire)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_plan_with_a_changed_byte_is_refused_or_another_plan(at: int, byte: int) -> None:
    payload = bytearray(PLAN.to_bytes())
    payload[at % len(payload)] = byte
    try:
        plan = plan_of(bytes(payload))
    except PeerError:
        return
    assert plan.to_bytes() == bytes(payload)
    assert (plan.digest == PLAN.digest) == (bytes(payload) == PLAN.to_bytes())


REFUSED: list[tuple[str, dict[str, Any]]] = [
    # what is not built yet is refused by name
    ("masking.trustees", {
        "masking": {"trustees": ("t1", "t2")}, "noise": {"noise_std": 16.0}, "encoding": {"scale_bits": 20}}),
    ("needs one of Clipped", {"encoding": PLAN.noise}),
    ("encoding.modulus_bits = 64 is not built", {"encoding": {"modulus_bits": 64}}),
    ("modulus_bits must be 32 or 64", {"encoding": {"modulus_bits": 2**62}}),
    ("modulus_bits must be 32 or 64", {"encoding": {"modulus_bits": 0}}),
    ("noise.noise_std", {"noise": {"noise_std": 16.0}, "encoding": {"scale_bits": 20}}),
    ("masking.prg", {"masking": {"prg": "chacha20"}}),
    ("masking.kem", {"masking": {"kem": "X25519"}}),
    ("masking.aggregate_interval_s", {"masking": {"aggregate_interval_s": 1}}),
    # weighing by absence
    ("lets one site outweigh its cohort where trustees cannot see it", {
        "masking": {"trustees": ("t1", "t2")}, "aggregation": {"absence_cap": 4},
        "encoding": {"auxiliary": (("absence", 4.0, 16),)}}),
    ("within 1..64", {"aggregation": {"absence_cap": 65}}),
    ("absence_cap 4 must be the bound", {"aggregation": {"absence_cap": 4}}),
    ("absence_cap 2 must be the bound", {
        "aggregation": {"absence_cap": 2}, "encoding": {"auxiliary": (("absence", 2.5, 16),)}}),
    ("absence_cap 1 must be the bound", {"encoding": {"auxiliary": (("absence", 1.0, 16),)}}),
    # cohorts
    ("masked plans need cohorts of 3 or more: use FedBuff", {
        "aggregation": {"goal": 1, "minimum": 1, "cohort_min": 1}, "masking": {"trustees": ("t1", "t2")}}),
    ("cohort_max >= goal", {"aggregation": {"goal": 11}}),
    ("goal >= minimum", {"aggregation": {"minimum": 5}}),
    ("minimum >= cohort_min", {"aggregation": {"minimum": 2}}),
    ("within 1..1024", {"aggregation": {"cohort_max": 1025}}),
    ("within 1..1024", {"aggregation": {"cohort_min": 0}}),
    ("above the 2 sites", {"sites_expected": 2}),
    ("deadline_s", {"aggregation": {"deadline_ms": 0}}),
    ("aggregation.preset", {"aggregation": {"preset": "fedmagic"}}),
    # weights by staleness
    ("begin with 16", {"aggregation": {"weight_table": (15, *WEIGHTS[1:])}}),
    ("never rise", {"aggregation": {"weight_table": (*WEIGHTS[:-1], 6)}}),
    ("within 4..16", {"aggregation": {"weight_table": (*WEIGHTS[:-1], 3)}}),
    ("within 4..16", {"aggregation": {"weight_table": (17, *WEIGHTS[1:])}}),
    ("weights for staleness 0..12", {"aggregation": {"weight_table": WEIGHTS[:-1]}}),
    ("weights for staleness 0..11", {"aggregation": {"staleness_max": 11}}),
    ("within 0..1024", {"aggregation": {"staleness_max": 1025, "weight_table": (16,) * 1025}}),
    # fixed point
    ("clip must be above 0", {"encoding": {"clip": 0.0, "clip_inf": 0.0}}),
    ("clip must be above 0", {"encoding": {"clip": -1.0}}),
    ("clip_inf within 0..clip", {"encoding": {"clip_inf": 2.0}}),
    ("clip_inf within 0..clip", {"encoding": {"clip_inf": 0.0}}),
    ("no headroom for `update`", {"encoding": {"scale_bits": PLAN.encoding.scale_bits + 1}}),
    ("no headroom for `update`", {"aggregation": {"cohort_max": 16}}),
    ("too coarse", {"encoding": {"scale_bits": 8}}),
    ("no headroom for `examples`", carrying(("examples", 1.0, 24))),
    ("bound above 0", carrying(("examples", 0.0, 20))),
    ("bound above 0", carrying(("examples", -1.0, 20))),
    ("scale bits within", carrying(("examples", 1.0, 2**62))),
    ("names must differ", carrying(("examples", 1.0, 20), ("examples", 1.0, 20))),
    ("must be one of encoding.auxiliary", carrying(("examples", 1.0, 20), examples="patients")),
    ("go together", carrying(("examples", 1.0, 20), examples_max=0)),
    ("go together", {"aggregation": {"examples_max": 300}}),
    ("0 to 16 entries", {"encoding": {"auxiliary": tuple((f"a{i:02}", 1.0, 20) for i in range(17))}}),
    # training
    ("training.optimiser", {"training": {"optimiser": "lion"}}),
    ("either epochs or steps", {"training": {"steps": 1}}),
    ("either epochs or steps", {"training": {"epochs": 0}}),
    ("learning_rate must be above 0", {"training": {"learning_rate": 0.0}}),
    ("momentum must lie in 0..1", {"training": {"momentum": 1.0}}),
    ("must not be negative", {"training": {"proximal": -0.1}}),
    ("must not be negative", {"training": {"weight_decay": -0.1}}),
    ("time_limit_s must be above 0", {"training": {"time_limit_s": 0}}),
    ("progress_limit_s must lie in 1..time_limit_s", {"training": {"progress_limit_s": 0}}),
    ("progress_limit_s must lie in 1..time_limit_s", {"training": {"progress_limit_s": 601}}),
    ("bad_records_max must lie in 0..0.5", {"data": {"bad_records_max": -0.01}}),
    ("bad_records_max must lie in 0..0.5", {"data": {"bad_records_max": 0.6}}),
    ("finite", {"training": {"learning_rate": math.nan}}),
    # the server's step, the end, what is kept
    ("aggregation.server_optimiser", {"aggregation": {"server_optimiser": "lamb"}}),
    ("server_lr and denominator_floor must be above 0", {"aggregation": {"server_lr": 0.0}}),
    ("server_lr and denominator_floor must be above 0", {"aggregation": {"denominator_floor": 0.0}}),
    ("beta1 and beta2 in 0..1", {"aggregation": {"beta2": 1.0}}),
    ("aggregates_max is below stop.versions", {"masking": {"aggregates_max": 19}}),
    ("within 1..10000000", {"stop": {"versions": 0}}),
    ("within 2..1000", {"storage": {"versions_kept": 1}}),
    ("within 1..1000", {"evaluation": {"every": 0}}),
    ("evaluation.metrics must name accuracy and n-test", {"evaluation": {"metrics": ("n-test",)}}),
    ("`alone-x` would be taken for", {"evaluation": {"metrics": ("accuracy", "alone-x", "n-test")}}),
    ("`x-low` would be taken for", {"evaluation": {"metrics": ("accuracy", "n-test", "x-low")}}),
    ("longer than 29 characters", {"evaluation": {"metrics": ("accuracy", "n-test", "x" * 30)}}),
    ("1 to 16 entries", {"evaluation": {"metrics": ()}}),
    ("within 1..1000000", {"evaluation": {"test_min": 0}}),
    ("weight_max must be 1 or more", {"evaluation": {"weight_max": 0.9}}),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "parts"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_plan_that_breaks_a_rule_is_refused_with_the_reason(reason: str, parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        changed(**parts)


def test_all_reasons_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="lion") as refused:
        changed(training={"optimiser": "lion"}, encoding={"clip": 0.0}, aggregation={"minimum": 2})
    assert str(refused.value).count(";") == 2


def test_the_reasons_reach_the_reader_of_bytes_as_the_other_sides_fault() -> None:
    payload = PLAN.to_bytes().replace(b"\xa3sgd", b"\xa4lion")
    with pytest.raises(PeerError, match=r"training\.optimiser `lion` is none of sgd, adam"):
        plan_of(payload)


def test_a_server_optimiser_with_two_vectors_ends_at_2_to_the_28_parameters() -> None:
    large = {"parameters": 2**28 + 1, "encoding": {"clip": 1000.0, "clip_inf": 1.0}}
    assert changed(**large).d == 2**28 + 1
    for optimiser in ("yogi", "adam"):
        with pytest.raises(ValueError, match="two vectors"):
            changed(**large, aggregation={"server_optimiser": optimiser})


def test_an_update_never_has_more_coordinates_than_a_header_can_say() -> None:
    parts = {"clip": 1000.0, "clip_inf": 1.0}
    assert changed(parameters=2**29, encoding=parts).d == 2**29
    with pytest.raises(ValueError, match="coordinates"):
        changed(parameters=2**29, encoding={**parts, "auxiliary": (("examples", 1.0, 20),)}, aggregation=EXAMPLES)


def test_goal_above_the_number_of_sites_is_a_warning_elsewhere_and_no_refusal() -> None:
    assert changed(aggregation={"goal": 8}).aggregation.goal == 8


def test_cohorts_of_one_are_fine_without_trustees() -> None:
    assert with_cohort_min(1, goal=1, minimum=1, preset="fedasync").aggregation.goal == 1


def test_coordinates_are_parameters_and_auxiliary_ones_of_four_bytes_each() -> None:
    plan = changed(**carrying(("examples", 1.0, 20)))
    assert (plan.d, plan.body_bytes) == (101, 404)


def test_the_weight_of_an_update_is_the_tables_and_past_its_end_it_is_refused() -> None:
    assert [PLAN.weight(late) for late in (-1, 0, 1, 12, 13)] == [None, 16, 11, 4, None]


# (cohort_max, k, C_inf as a share of C) -> the f of docs/secure-aggregation.md, section 2, at C = 1, sigma = 16
SPECIFIED = {
    (32, 1.0): {10: 23, 16: 22, 64: 20, 500: 18},
    (32, 0.125): {10: 26, 16: 25, 64: 23, 500: 21},
    (64, 1.0): {10: 55, 16: 54, 64: 52, 500: 50},
}


@pytest.mark.parametrize("trustees", [2, 3])
@pytest.mark.parametrize(("width", "bound"), SPECIFIED)
def test_the_default_scales_are_those_of_the_specification(width: int, bound: float, trustees: int) -> None:
    found = {
        cohort_max: largest_scale_bits(
            cohort_max=cohort_max, bound=bound, noise_std=16.0, trustees=trustees, modulus_bits=width
        )
        for cohort_max in SPECIFIED[width, bound]
    }
    assert found == SPECIFIED[width, bound]


@given(
    cohort_max=st.integers(1, 1024),
    bound=st.floats(1e-3, 1e3),
    trustees=st.sampled_from([0, 2, 3]),
    noise_std=st.sampled_from([0.0, 16.0, 1000.0]),
    width=st.sampled_from([32, 64]),
)
def test_the_largest_scale_passes_and_the_next_one_does_not(
    cohort_max: int, bound: float, trustees: int, noise_std: float, width: int
) -> None:
    room = partial(
        headroom, cohort_max=cohort_max, bound=bound, noise_std=noise_std, trustees=trustees, modulus_bits=width
    )
    bits = largest_scale_bits(
        cohort_max=cohort_max, bound=bound, noise_std=noise_std, trustees=trustees, modulus_bits=width
    )
    assert room(scale=2.0**bits)
    assert bits == width - 1 or not room(scale=2.0 ** (bits + 1))


def test_headroom_is_strict_at_its_border() -> None:
    """16 * 8 * (s * 1 + 1) reaches 2^31 at s = 2^24 - 1 exactly, and may not."""

    def passes(scale: int) -> bool:
        return headroom(cohort_max=8, scale=scale, bound=1.0, noise_std=0.0, trustees=0, modulus_bits=32)

    assert passes(2**24 - 2)
    assert not passes(2**24 - 1)


def test_noise_takes_its_share_of_the_headroom() -> None:
    """One less than the border leaves 128 for 8 * sigma * sqrt(t)."""

    def passes(noise_std: float, trustees: int) -> bool:
        return headroom(
            cohort_max=8, scale=2**24 - 2, bound=1.0, noise_std=noise_std, trustees=trustees, modulus_bits=32
        )

    assert passes(7.9, 4)
    assert not passes(8.0, 4)
    assert passes(8.0, 0)


def test_no_scale_at_all_is_said_so() -> None:
    with pytest.raises(ValueError, match="no scale fits 32 bits"):
        largest_scale_bits(cohort_max=10, bound=1e40, noise_std=0.0, trustees=0, modulus_bits=32)


def test_the_scale_must_cost_at_most_one_percent_of_the_clip() -> None:
    """s >= 50 sqrt(p) / C: with s = 2^23 and C = 1 up to (2^23 / 50)^2 parameters."""
    most = int((2**23 / 50) ** 2)
    assert changed(parameters=2**28).parameters == 2**28
    small = {"scale_bits": 12}
    assert most > 2**29 > int((2**12 / 50) ** 2)
    assert changed(parameters=int((2**12 / 50) ** 2), encoding=small)
    with pytest.raises(ValueError, match="too coarse"):
        changed(parameters=int((2**12 / 50) ** 2) + 1, encoding=small)


@given(st.integers(3, 1024), st.data())
def test_no_legal_weights_let_one_site_outweigh_the_share_or_thin_the_cohort(n: int, data: st.DataObject) -> None:
    """P6 holds by construction: entries 4..16 keep the largest share <= 4/(n+3) and Kish >= 0.64 n."""
    several = st.lists(st.integers(4, 16), min_size=n, max_size=n)
    weights = data.draw(several if n < 30 else st.just([16] + [4] * (n - 1)))
    total, squares = sum(weights), sum(weight * weight for weight in weights)
    assert max(weights) / total <= share_max(n) + 1e-12
    assert total * total / squares >= cohort_effective_min(n)
