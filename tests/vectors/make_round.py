"""Make round.json: one round from signed updates to the next version, in exact arithmetic, for each server optimiser.

Run once, from the repository's root: python -m tests.vectors.make_round
"""

import hashlib
import json
import struct
from fractions import Fraction
from typing import Any

from tests.vectors import FOLDER
from tests.vectors.by_hand import NIL, array, blob, text, whole
from tests.vectors.exact_floats import f32, f32_hex, f64, floats
from tests.vectors.make_fixed_point import quantise, words
from tests.vectors.make_plans import STEP, f8, payload_of, version
from tests.vectors.make_server_step import LR, starts, step

OUT = FOLDER / "round.json"
P, BITS, BASE = 7, 24, 12  # parameters and scale of the plan; the version that the Request names
COHORT = (("a", 16, 0), ("b", 11, 1), ("c", 4, 12))  # site, weight, versions behind


def sha(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def body_digest(body: bytes) -> bytes:
    """Of a body that is one chunk."""
    return sha(sha(body))


def plan(optimiser: str) -> bytes:
    rows = [("server_optimiser", text(optimiser), ""), ("server_lr", f8(LR), ""), *STEP[2:]]
    return payload_of(4, version(4, rows))


def header(site: str, sequence: int, plan_digest: bytes, base: int, payload: bytes) -> bytes:
    return array(
        whole(16), whole(1), text("lung"), text(site), blob(bytes(16)), whole(sequence), blob(plan_digest),
        whole(base), blob(sha(f"version {base}".encode())), array(), whole(P), blob(body_digest(payload)), whole(3),
    )  # fmt: skip


def request(plan_digest: bytes, entries: list[bytes]) -> bytes:
    nowhere = array(blob(bytes(32)), array(whole(0), whole(0), array(), blob(b""), array()))
    return array(
        whole(6), whole(1), text("lung"), whole(2 * BASE + 1), blob(sha(b"before")), whole(BASE), blob(plan_digest),
        whole(1), blob(sha(b"roster")), array(*entries), nowhere, NIL,
    )  # fmt: skip


def played(optimiser: str) -> dict[str, Any]:
    plan_payload = plan(optimiser)
    digest = sha(plan_payload)
    members, entries, total = [], [], [0] * P
    for number, (site, weight, behind) in enumerate(COHORT):
        q, _ = quantise(floats(f"update of {site}", P, size=0.2), BITS, 1.0, 1.0, [], Fraction(1))
        body = bytes.fromhex(words(q))
        signed = header(site, 1000 + number, digest, BASE - behind, body)
        entries.append(array(text(site), whole(1000 + number), blob(sha(signed)), whole(weight)))
        members.append({"header": signed.hex(), "body": body.hex()})
        total = [sum_ + weight * value for sum_, value in zip(total, q, strict=True)]
    unit = f64(1 / (Fraction(2) ** BITS * 16 * len(COHORT)))
    change = [f32(f64(unit * value)) for value in total]
    model = floats("model of the round", P, size=1.0)
    after, state = step(optimiser, model, change, starts(P)[optimiser])
    model_hex, state_hex = f32_hex(after), "".join(f32_hex(vector) for vector in state)
    return {
        "server_optimiser": optimiser,
        "plan": plan_payload.hex(),
        "request": request(digest, entries).hex(),
        "members": members,
        "model": f32_hex(model),
        "announced": {
            "version": BASE + 1,
            "n": len(COHORT),
            "sum_w": sum(weight for _, weight, _ in COHORT),
            "sum": body_digest(bytes.fromhex(words(total))).hex(),
            "unit": struct.pack(">d", float(unit)).hex(),
            "model": model_hex,
            "model_digest": body_digest(bytes.fromhex(model_hex)).hex(),
            "state": state_hex,
            "state_digest": body_digest(bytes.fromhex(state_hex)).hex() if state else None,
        },
    }


def made() -> dict[str, Any]:
    comment = "made by make_round.py; bodies are one chunk; the state's vectors stand behind one another"
    return {"comment": comment, "rounds": [played(name) for name in starts(P)]}


def main() -> None:
    OUT.write_text(json.dumps(made(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
