"""A plan keeps its bytes and its digest, in whatever schema version it was signed."""

import hashlib
import pickle
import re
from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.plan import StopRule, plan_of
from tests.registry.plans import plan
from tests.vectors import load

GOLDEN_2, GOLDEN_3, GOLDEN = (bytes.fromhex(one["payload"]) for one in load("plans")["plans"])
DIGEST_3 = "7333a2cd202bc526b0609df9cbdf8913ba9a4dc77734eb72be50d8cb455d615a"
DIGEST_2 = "b8c7d097d2c319f66597e804a8d9f72a8688c02592d4894bbaf4c89d4618f135"


def test_the_smallest_plan_has_these_bytes_and_this_digest() -> None:
    made = plan()
    assert made.to_bytes().hex() == GOLDEN.hex()
    assert made.digest == hashlib.sha256(GOLDEN).digest()
    assert plan_of(GOLDEN) == made


def test_a_plan_of_version_3_is_read_and_keeps_its_bytes_and_its_digest() -> None:
    old = plan_of(GOLDEN_3)
    assert old.to_bytes() == GOLDEN_3
    assert old.digest.hex() == hashlib.sha256(GOLDEN_3).hexdigest() == DIGEST_3
    assert pickle.loads(pickle.dumps(old)).digest == old.digest
    assert old.sections == plan_of(GOLDEN).sections
    assert replace(old, seed=0).to_bytes() == GOLDEN_3


@pytest.mark.parametrize(
    ("was", "instead", "reason"),
    [
        ("a7636c6970706564", "a56578616374", "'exact' is not built yet"),
        ("c4083fe5555555555555", "c4083fe0000000000000", "share_max must be"),
        ("c4083ffccccccccccccc", "c4083fe0000000000000", "cohort_effective_min must be"),
        ("1890c000", "189193a7616273656e6365c408400400000000000010c000", "whole bound within 2..64"),
    ],
)
def test_a_plan_of_version_3_is_held_to_its_own_rules(was: str, instead: str, reason: str) -> None:
    assert was in GOLDEN_3.hex()
    with pytest.raises(PeerError, match=re.escape(reason)):
        plan_of(bytes.fromhex(GOLDEN_3.hex().replace(was, instead)))


def test_a_plan_of_version_3_says_in_its_coordinates_what_weighs() -> None:
    carried = "92" + "93a7616273656e6365c408401000000000000015" + "93a8 6578616d706c6573 c4083ff0000000000000 18"
    wire = GOLDEN_3.hex().replace("1890c000", f"18{carried}a86578616d706c657364".replace(" ", ""))
    old = plan_of(bytes.fromhex(wire))
    assert (old.aggregation.absence_cap, old.aggregation.examples, old.aggregation.examples_max) == (4, "examples", 100)
    assert old.to_bytes().hex() == wire


def test_a_plan_of_version_2_is_read_and_keeps_its_bytes_and_its_digest() -> None:
    old = plan_of(GOLDEN_2)
    assert old.to_bytes() == GOLDEN_2
    assert old.digest.hex() == hashlib.sha256(GOLDEN_2).hexdigest() == DIGEST_2
    assert pickle.loads(pickle.dumps(old)).digest == old.digest
    assert (old.evaluation.metrics, old.evaluation.test_min) == (("c-index", "n-test"), 1)
    assert bytes.fromhex("94 14 00 ce000cf850 00") in replace(old, stop=StopRule(20, 0, 0.85, 0)).to_bytes()


def test_a_plan_of_version_2_cannot_say_what_only_version_3_can() -> None:
    old = plan_of(GOLDEN_2)
    with pytest.raises(ValueError, match="cannot say"):
        replace(old, evaluation=replace(old.evaluation, test_min=9))
