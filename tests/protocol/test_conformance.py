"""Our code reproduces every file of conformance/, and its page names each of them."""

import hashlib
from typing import Any

import numpy as np
import pytest

from protocol.digests import (
    BodyHasher,
    bookmark_subject,
    evaluation_subject,
    initial_subject,
    model_subject,
    record_digest,
    state_subject,
)
from protocol.recompute import Contribution, recompute
from schemas.codec import Nested, OneOf, Struct
from schemas.errors import PeerError
from schemas.plan import Plan, plan_of
from schemas.records import RECORDS, CohortBody, OpenEvaluation, Presence, Request, Signed
from schemas.records.site import PresenceOfVersion1
from tests.vectors import FOLDER, load, make_bodies, make_plans, make_round, make_wire

WIRE, BODIES, PLANS = load("wire"), load("bodies"), load("plans")["plans"]
READERS: dict[str, Any] = {
    **{record.__name__.lower(): record for record in (*RECORDS, OpenEvaluation)},
    "signed": Signed,
    "cohortbody": CohortBody,
}
SUBJECTS = {
    "model": lambda case: model_subject(case["study"], case["version"]),
    "state": lambda case: state_subject(case["study"], case["version"]),
    "initial": lambda case: initial_subject(case["study"]),
    "bookmark": lambda case: bookmark_subject(case["study"], case["version"]),
    "evaluation": lambda case: evaluation_subject(
        case["study"], case["site"], case["version"], bytes.fromhex(case["model"])
    ),
}


def read(name: str, payload: bytes) -> Any:
    reader = READERS[name.partition("-")[0]]
    if reader is Presence and payload.startswith(PresenceOfVersion1.BEGINS):
        return PresenceOfVersion1.from_bytes(payload)
    return reader.from_bytes(payload)


def test_the_page_names_every_file() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in FOLDER.glob("*.json")} == {
        line.split("`")[1] for line in page.splitlines() if line.startswith("| `")
    }


def test_the_files_are_what_their_scripts_make() -> None:
    assert make_wire.made() == WIRE
    assert make_round.made() == load("round")
    assert make_plans.made() == load("plans")
    assert [make_bodies.body(case["size_bytes"]) for case in BODIES["bodies"]] == BODIES["bodies"]


@pytest.mark.parametrize("case", WIRE["read"], ids=lambda case: case["name"])
def test_what_is_to_be_read_is_read_and_written_again(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload"])
    assert read(case["name"], payload).to_bytes() == payload
    assert "".join(value for _, value in case["fields"]) == case["payload"]


@pytest.mark.parametrize("case", WIRE["refused"], ids=lambda case: case["what"])
def test_what_is_to_be_refused_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    with pytest.raises(PeerError) as refused:
        read(case["from"], bytes.fromhex(case["payload"]))
    assert case["says"] in str(refused.value)


@pytest.mark.parametrize("case", PLANS, ids=lambda case: f"version {case['schema_version']}")
def test_a_plan_keeps_its_bytes_and_its_digest_in_every_version(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload"])
    plan = plan_of(payload)
    assert (plan.VERSION, plan.to_bytes(), plan.digest.hex()) == (case["schema_version"], payload, case["digest"])
    assert record_digest(payload) == hashlib.sha256(payload).digest() == plan.digest


@pytest.mark.parametrize("case", load("plans")["refused"], ids=lambda case: f"{case['field']}: {case['says']}")
def test_a_plan_that_breaks_a_rule_is_refused_by_every_role(case: dict[str, Any]) -> None:
    with pytest.raises(PeerError) as refused:
        plan_of(bytes.fromhex(case["payload"]))
    assert case["says"] in str(refused.value)


def test_the_sections_of_the_newest_plan_are_laid_out_as_its_vector_says() -> None:
    plan, case = plan_of(bytes.fromhex(PLANS[-1]["payload"])), PLANS[-1]
    assert [name for name, _ in Plan._fields()] == [*(name for name, _, _ in case["fields"]), *case["sections"]]
    for name, codec in Plan._fields():
        if isinstance(codec, Nested | OneOf):
            section: Struct = getattr(plan, name)
            assert [field for field, _ in section._fields()] == [row[0] for row in case["sections"][name]["fields"]]


@pytest.mark.parametrize("case", BODIES["bodies"], ids=lambda case: str(case["size_bytes"]))
def test_a_body_has_these_digests(case: dict[str, Any]) -> None:
    hasher = BodyHasher()
    hasher.update(make_bodies.content(case["size_bytes"]))
    digest, chunk_digests = hasher.finish()
    assert (digest.hex(), chunk_digests.hex()) == (case["digest"], case["chunk_digests"])


@pytest.mark.parametrize("case", BODIES["subjects"], ids=lambda case: f"{case['of']} {case['version']}")
def test_a_seal_is_bound_to_this_subject(case: dict[str, Any]) -> None:
    assert SUBJECTS[case["of"]](case).hex() == case["subject"]


@pytest.mark.parametrize("case", load("round")["rounds"], ids=lambda case: case["server_optimiser"])
def test_a_round_gives_this_version(case: dict[str, Any]) -> None:
    members = [(bytes.fromhex(one["header"]), bytes.fromhex(one["body"])) for one in case["members"]]
    found = recompute(
        plan_of(bytes.fromhex(case["plan"])),
        Request.from_bytes(bytes.fromhex(case["request"])),
        [Contribution(header, hashlib.sha256(body).digest(), [(0, body)]) for header, body in members],
        np.frombuffer(bytes.fromhex(case["model"]), "<f4"),
    )
    announced = case["announced"]
    assert (found.version, found.n, found.sum_w) == (announced["version"], announced["n"], announced["sum_w"])
    assert (found.sum.hex(), found.model.tobytes().hex()) == (announced["sum"], announced["model"])
    assert (found.model_digest.hex(), found.state.tobytes().hex()) == (announced["model_digest"], announced["state"])
    assert (found.state_digest.hex() if found.state_digest else None) == announced["state_digest"]


def test_every_record_has_a_vector_that_is_read() -> None:
    assert {case["name"].partition("-")[0] for case in WIRE["read"]} == set(READERS)
