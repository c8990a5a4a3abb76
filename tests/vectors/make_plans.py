"""Make plans.json: one small plan in every schema version, laid out by hand, with the digest that names it.

Run once, from the repository's root: python -m tests.vectors.make_plans
"""

import hashlib
import json
import struct

from tests.vectors import FOLDER
from tests.vectors.by_hand import NIL, array, blob, flag, text, whole

OUT = FOLDER / "plans.json"
Rows = list[tuple[str, bytes, str]]
NO_OPTIONS, NO_NAMES = array(), array()
WEIGHTS = (16, 11, 9, 8, 7, 7, 6, 6, 5, 5, 5, 5, *[4] * 53)


def f8(value: float) -> bytes:
    return blob(struct.pack(">d", value))


HEAD: Rows = [
    ("study", text("lung"), ""),
    ("title", text("lung"), ""),
    ("sites_expected", whole(6), ""),
    ("parameters", whole(7), ""),
    ("seed", whole(0), ""),
    ("initial", blob(b"\x0a" * 32), "body digest of version 0"),
]
TASK: Rows = [
    ("entry", text("studies.lung.task:task"), ""),
    ("code", blob(b"\x0b" * 32), "digest of the task's folder"),
    ("options", NO_OPTIONS, "none"),
]
TRAINING: Rows = [
    ("optimiser", text("sgd"), ""),
    ("learning_rate", f8(0.01), "0.01"),
    ("momentum", f8(0.0), "0"),
    ("weight_decay", f8(0.0), "0"),
    ("epochs", whole(1), ""),
    ("steps", whole(0), "epochs count"),
    ("batch", whole(32), ""),
    ("proximal", f8(0.0), "0"),
    ("time_limit_s", whole(3600), ""),
    ("progress_limit_s", whole(600), ""),
]
GATHERING: Rows = [
    ("preset", text("fedbuff"), ""),
    ("goal", whole(4), ""),
    ("minimum", whole(3), ""),
    ("cohort_min", whole(3), ""),
    ("cohort_max", whole(4), ""),
    ("deadline_ms", whole(600_000), ""),
    ("staleness_max", whole(64), ""),
    ("weight_table", array(*map(whole, WEIGHTS)), "max(4, round(16/sqrt(1 + staleness))), 65 weights"),
]
WEIGHING: Rows = [
    ("examples", NIL, "all sites alike"),
    ("examples_max", whole(0), ""),
    ("absence_cap", whole(1), "absence does not weigh"),
]
STEP: Rows = [
    ("server_optimiser", text("average"), ""),
    ("server_lr", f8(1.0), "1"),
    ("beta1", f8(0.9), "0.9"),
    ("beta2", f8(0.99), "0.99"),
    ("denominator_floor", f8(0.001), "0.001"),
]
CLIPPED: Rows = [
    ("modulus_bits", whole(32), ""),
    ("clip", f8(1.0), "1"),
    ("clip_inf", f8(1.0), "1"),
    ("scale_bits", whole(24), "64 * (2^24 + 1) < 2^31 <= 64 * (2^25 + 1)"),
    ("auxiliary", NO_NAMES, "none"),
]
MASKING: Rows = [
    ("trustees", NO_NAMES, "none"),
    ("aggregate_interval_s", whole(0), ""),
    ("aggregates_max", NIL, "no limit"),
    ("offer_age_max_s", whole(60 * 24 * 3600), "60 days"),
    ("prg", text("aes-256-ctr"), ""),
    ("kem", text("MLKEM768_X25519"), ""),
]
NOISE: Rows = [("noise_std", f8(0.0), "none")]
JUDGING: Rows = [
    ("every", whole(1), ""),
    ("metric", text("c-index"), ""),
    ("higher_is_better", flag(True), ""),
    ("weight", text("n-test"), ""),
    ("bootstrap", whole(1000), ""),
    ("alone", flag(True), ""),
]
LETTING_OUT: Rows = [
    ("metrics", array(text("c-index"), text("n-test")), "sorted"),
    ("test_min", whole(5), ""),
    ("weight_max", f8(10.0), "10"),
]
STOP: Rows = [
    ("versions", whole(20), ""),
    ("patience", whole(0), ""),
    ("target", NIL, "none"),
    ("time_s", whole(0), ""),
]
STORAGE: Rows = [("versions_kept", whole(10), ""), ("audit_days", whole(30), ""), ("auditors", NO_NAMES, "none")]
DATA: Rows = [("bad_records_max", f8(0.0), "0")]
_BY_NAME = {name: (name, value, meaning) for name, value, meaning in (*CLIPPED, *MASKING, *NOISE, *WEIGHING)}
PRIVACY: Rows = [
    _BY_NAME["trustees"],
    ("encoding", text("clipped"), ""),
    *(_BY_NAME[name] for name in ("modulus_bits", "clip", "clip_inf", "scale_bits", "auxiliary")),
    *(_BY_NAME[name] for name in ("examples", "examples_max", "noise_std")),
    ("share_max", f8(4 / 6), "4/(cohort_min + 3)"),
    ("cohort_effective_min", f8(0.6 * 3), "0.6 * cohort_min"),
    *(_BY_NAME[name] for name in ("aggregate_interval_s", "aggregates_max", "offer_age_max_s", "prg", "kem")),
]
OLD_STEP: Rows = [*STEP[:-1], ("epsilon", STEP[-1][1], STEP[-1][2])]


def section(name: str, rows: Rows, tag: str = "") -> tuple[str, bytes, Rows]:
    """A section's bytes; one of several has its tag before them."""
    packed = array(*(value for _, value, _ in rows))
    return name, array(text(tag), packed) if tag else packed, rows


def version(number: int, step: Rows = STEP) -> list[tuple[str, bytes, Rows]]:
    """The sections of the plan in one schema version, with another step of the server."""
    judging = JUDGING if number == 2 else JUDGING + LETTING_OUT
    kept = [section("task", TASK), section("training", TRAINING)]
    last = [section("evaluation", judging), section("stop", STOP), section("storage", STORAGE), section("data", DATA)]
    if number < 4:
        old = [section("aggregation", GATHERING + OLD_STEP), section("privacy", PRIVACY)]
        return [*kept, *old, *last]
    new = [
        section("aggregation", GATHERING + WEIGHING + step), section("encoding", CLIPPED, "clipped"),
        section("masking", MASKING), section("noise", NOISE),
    ]  # fmt: skip
    return [*kept, *new, *last]


def payload_of(number: int, sections: list[tuple[str, bytes, Rows]]) -> bytes:
    return array(whole(32), whole(number), *(value for _, value, _ in HEAD), *(value for _, value, _ in sections))


def plan(number: int) -> dict[str, object]:
    sections = version(number)
    payload = payload_of(number, sections)
    return {
        "schema_version": number,
        "payload": payload.hex(),
        "digest": hashlib.sha256(payload).hexdigest(),
        "fields": [[name, value.hex(), meaning] for name, value, meaning in HEAD],
        "sections": {
            name: {"payload": value.hex(), "fields": [[field, wire.hex(), meaning] for field, wire, meaning in rows]}
            for name, value, rows in sections
        },
    }


BROKEN: tuple[tuple[int, str, str, bytes, str], ...] = (  # version, section, field, its bytes, why it is refused
    (4, "training", "steps", whole(3), "either epochs or steps"),
    (4, "training", "time_limit_s", whole(0), "time_limit_s must be above 0"),
    (4, "aggregation", "goal", whole(5), "cohort_max >= goal"),
    (4, "aggregation", "cohort_min", whole(7), "minimum >= cohort_min"),
    (4, "aggregation", "deadline_ms", whole(0), "needs a deadline_s"),
    (4, "aggregation", "staleness_max", whole(63), "65 weights for staleness 0..63"),
    (4, "aggregation", "examples_max", whole(9), "examples and examples_max go together"),
    (4, "aggregation", "absence_cap", whole(2), "absence_cap 2 must be the bound"),
    (4, "aggregation", "server_lr", f8(0.0), "server_lr"),
    (4, "encoding", "modulus_bits", whole(64), "is not built yet"),
    (4, "encoding", "clip_inf", f8(2.0), "clip_inf within 0..clip"),
    (4, "encoding", "scale_bits", whole(25), "no headroom for `update`"),
    (4, "encoding", "scale_bits", whole(7), "too coarse"),
    (4, "masking", "trustees", array(text("t1"), text("t2")), "is not built yet"),
    (4, "noise", "noise_std", f8(1.0), "is not built yet"),
    (4, "evaluation", "weight", text("pairs"), "evaluation.metrics must name"),
    (4, "evaluation", "weight_max", f8(0.5), "weight_max must be 1 or more"),
    (4, "stop", "versions", whole(0), "within 1.."),
    (4, "data", "bad_records_max", f8(0.75), "bad_records_max must lie in 0..0.5"),
    (3, "privacy", "share_max", f8(0.5), "share_max must be"),
    (3, "privacy", "cohort_effective_min", f8(0.5), "cohort_effective_min must be"),
    (3, "privacy", "encoding", text("exact"), "is not built yet"),
)


def broken(number: int, section_name: str, field: str, value: bytes, why: str) -> dict[str, object]:
    """The plan with one field changed so that every role refuses it."""
    changed = [
        section(name, [(row[0], value, row[2]) if row[0] == field else row for row in rows], _tag(number, name))
        if name == section_name
        else (name, packed, rows)
        for name, packed, rows in version(number)
    ]
    payload = payload_of(number, changed)
    return {"schema_version": number, "field": f"{section_name}.{field}", "says": why, "payload": payload.hex()}


def _tag(number: int, name: str) -> str:
    return "clipped" if number == 4 and name == "encoding" else ""


def made() -> dict[str, object]:
    return {
        "comment": "made by make_plans.py; the same plan in each schema version, and plans that every role refuses",
        "plans": [plan(number) for number in (2, 3, 4)],
        "refused": [broken(*case) for case in BROKEN],
    }


def main() -> None:
    content = made()
    OUT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
