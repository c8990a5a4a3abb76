"""Make records.json: every record field by field, with digest and signature, from struct, hashlib and Ed25519 alone.

Run once, from the repository's root: python -m tests.vectors.make_records
"""

import hashlib
import json
import struct
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vectors import FOLDER
from tests.vectors.by_hand import NIL, array, blob, flag, head, text, whole

OUT = FOLDER / "records.json"
LABEL = b"wardround/secagg/1"
Rows = list[tuple[str, bytes, str]]


def sha(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha(name.encode()))


def public(name: str) -> bytes:
    return key(name).public_key().public_bytes_raw()


def key_id(name: str) -> bytes:
    return sha(public(name))[:16]


STUDY, PLAN, ROSTER = text("lung"), sha(b"plan"), sha(b"roster")
BOX = bytes(range(60))
CHUNK_DIGESTS = sha(b"first chunk") + sha(b"last chunk")
RUNS = array(array(whole(7), whole(1)), array(whole(9), whole(1)))


def body_ref(*boxes: bytes, partition: int = 0) -> bytes:
    """A body of 524,293 bytes in two chunks that do not lie side by side."""
    return array(whole(partition), whole(524_293), RUNS, blob(CHUNK_DIGESTS), array(*boxes))


def key_box(name: str, box: bytes = BOX) -> bytes:
    return array(text(name), blob(key_id(name)), blob(box))


BODY = body_ref(key_box("coordinator"))
MODEL = array(blob(sha(CHUNK_DIGESTS)), body_ref(array(text("epoch"), blob(sha(b"epoch key")[:16]), blob(BOX))))
STATE = array(blob(sha(b"state")), BODY)
SEALED = array(array(key_box("coordinator")), blob(BOX[:40]))
COHORT = array(blob(sha(b"cohort")), body_ref())


def f8(value: float) -> bytes:
    return blob(struct.pack(">d", value))


def payload(kind: int, rows: Rows, version: int = 1) -> bytes:
    return head(2 + len(rows)) + whole(kind) + whole(version) + b"".join(row[1] for row in rows)


def signed(signer: str, context: str, body: bytes, *, tail: bytes = b"") -> bytes:
    return key(signer).sign(LABEL + b"/" + context.encode() + b"\0" + body + tail)


class Book:
    """The vectors in the order they were written."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def write(self, title: str, record: str, kind: int, signer: str, rows: Rows, version: int = 1) -> bytes:
        """Lay out one record, sign it, return its payload."""
        body = payload(kind, rows, version)
        head_bytes = body[: len(body) - sum(len(row[1]) for row in rows)]
        entry: dict[str, Any] = {
            "title": title,
            "record": record,
            "fields": [["", head_bytes.hex(), f"array of {2 + len(rows)}, kind {kind}, schema version {version}"]],
            "digest": sha(body).hex(),
            "signer": {"name": signer, "public": public(signer).hex(), "key_id": key_id(signer).hex()},
            "signature": signed(signer, record.lower().removeprefix("open"), body).hex(),
        }
        entry["fields"] += [[name, value.hex(), comment] for name, value, comment in rows]
        if record == "Header":  # never signed by itself: the Offer's update_signature covers it with its boxes
            del entry["signature"]
        self.entries.append(entry)
        return body


def header_rows(site: str, sequence: int, trustees: tuple[str, ...] = ()) -> Rows:
    return [
        ("study", STUDY, "id of the study"),
        ("site", text(site), "the name in its certificate"),
        ("signing_key", blob(key_id(site)), "first 16 bytes of SHA-256 of its Ed25519 key"),
        ("sequence", whole(sequence), "unix seconds * 2**20 at first, then one more each update"),
        ("plan", blob(PLAN), "SHA-256 of the plan"),
        ("base_version", whole(0), "the version it trained from"),
        ("base_digest", blob(sha(CHUNK_DIGESTS)), "body digest of that version"),
        (
            "trustees",
            array(*(array(text(name), blob(key_id(name))) for name in trustees)),
            "(name, key_id), plan order",
        ),
        ("d", whole(131_074), "words of the body: parameters and auxiliary coordinates"),
        ("payload_digest", blob(sha(CHUNK_DIGESTS)), "body digest of the plain words"),
        ("cohort_min", whole(3), "the site's floor: the least cohort it may be summed in"),
    ]


def offer_rows(site: str, header: bytes, boxes: tuple[bytes, ...], body: bytes) -> Rows:
    tail = b"".join(sha(box) for box in boxes)
    return [
        ("header", blob(header), "the Header's payload"),
        ("boxes", array(*map(blob, boxes)), "one sealed seed for each trustee, plan order"),
        (
            "update_signature",
            blob(signed(site, "update", header, tail=tail)),
            "covers the Header and the boxes' digests",
        ),
        ("body", body, "BodyRef: partition, bytes, runs of offsets, chunk digests, boxes of the body key"),
    ]


def chained(index: int, previous: bytes) -> Rows:
    return [
        ("study", STUDY, "id of the study"),
        ("index", whole(index), "place in the decision log"),
        ("previous", blob(previous), "digest of the record before it; 32 zero bytes at index 0"),
    ]


def round_rows(index: int, previous: bytes, version: int, serial: int = 1) -> Rows:
    return [
        *chained(index, previous),
        ("version", whole(version), "of the global model"),
        ("plan", blob(PLAN), "SHA-256 of the plan"),
        ("roster_serial", whole(serial), "never falls"),
        ("roster", blob(ROSTER), "digest of that Roster"),
    ]


def announcement_rows(
    index: int, previous: bytes, version: int, *, request: bytes | None = None, n: int = 0, sum_w: int = 0,
    sums: tuple[bytes, ...] = (), stop: int = 0, schema: int = 2,
) -> Rows:  # fmt: skip
    evaluations = array(array(text("inst-1"), blob(sha(b"evaluation")))) if request else array()
    summary = [("summary", array(whole(3), f8(0.61)) if request else NIL, "sites, and the value of all of them")]
    return [
        *round_rows(index, previous, version),
        ("key_epoch", whole(0), "epoch of the study key that opens the model"),
        ("request", blob(request) if request else NIL, "R, or nil"),
        ("partial_sums", array(*map(blob, sums)), "digests of the trustees' PartialSum bodies"),
        ("sum", blob(sha(b"sum")) if request else NIL, "body digest of the weighted sum modulo 2**k"),
        ("n", whole(n), "size of the cohort"),
        ("sum_w", whole(sum_w), "its weights in 16ths"),
        ("model", MODEL, "body digest and place of this version"),
        ("state", STATE if request else NIL, "of the server's optimiser"),
        ("evaluations", evaluations, "(site, digest of its Evaluation), sorted"),
        ("patience", whole(0), "versions without progress so far"),
        ("stop", whole(stop), "why it ended: 1 versions, 2 patience, 3 target, 4 time, 5 operator"),
        ("final", flag(stop != 0), "whether this is the last version"),
        *(summary if schema > 1 else []),
    ]


def request_rows(
    index: int, previous: bytes, version: int, entries: list[tuple[str, int, bytes, int]], refusal: bytes | None = None
) -> Rows:
    laid = [
        array(text(site), whole(sequence), blob(digest), whole(weight)) for site, sequence, digest, weight in entries
    ]
    return [
        *round_rows(index, previous, version),
        ("entries", array(*laid), "(site, sequence, SHA-256 of the Header, weight 4..16), sorted by site"),
        ("cohort", COHORT, "body digest and place of the Roster, Members and Offers it rests on"),
        (
            "after_refusal",
            blob(refusal) if refusal else NIL,
            "the Signed Verdict that refused the Request before, or nil",
        ),
    ]


def receipt_rows(sequence: int, outcome: int, code: str | None, version: int | None, weight: int) -> Rows:
    code_bytes = text(code) if code else NIL
    version_bytes = NIL if version is None else whole(version)
    return [
        ("study", STUDY, "id of the study"),
        ("site", text("inst-1"), "whom it answers; also the Kafka key"),
        ("sequence", whole(sequence), "of the update"),
        ("outcome", whole(outcome), "1 counted, 2 refused, 3 void, 4 again"),
        ("code", code_bytes, "why it was not counted, or nil"),
        ("version", version_bytes, "the version it was counted into, or nil"),
        ("weight", whole(weight), "in 16ths, 0 unless it was counted"),
        ("next_offset", whole(300), "where the coordinator reads on in the site's offers"),
        ("recent", array(array(whole(sequence), whole(outcome), code_bytes, version_bytes, whole(weight))), "last 8"),
    ]


def verdict_rows(index: int, previous: bytes, request: bytes, code: str | None, sites: tuple[str, ...]) -> Rows:
    return [
        ("study", STUDY, "id of the study"),
        ("trustee", text("trustee-2"), "its name in the plan"),
        ("index", whole(index), "place in its own topic"),
        ("previous", blob(previous), "digest of its record before"),
        ("request", blob(request), "R"),
        ("accepted", flag(code is None), "given once, never changed"),
        ("code", text(code) if code else NIL, "p2..p10, or nil"),
        ("sites", array(*map(text, sites)), "whom it names"),
    ]


def envelope(signer: str, record: str, body: bytes) -> bytes:
    """Signed = [key_id, payload, signature]."""
    return array(blob(key_id(signer)), blob(body), blob(signed(signer, record.lower(), body)))


def membership(book: Book) -> None:
    keys = array(
        array(whole(1), blob(key_id("inst-1")), blob(public("inst-1")), whole(1)),
        array(whole(2), blob(sha(bytes(1216))[:16]), blob(bytes(1216)), whole(2)),
    )
    member = book.write("Member", "Member", 1, "registrar", [
        ("name", text("inst-1"), "id of the member"),
        ("institution", text("Klinik Süd"), "for people, at most 120 bytes"),
        ("studies", array(), "empty: all"),
        ("roles", array(whole(1), whole(4)), "1 site, 4 auditor"),
        ("keys", keys, "use (1 sign, 2 open), key_id, public, state (1 active, 2 retired, 3 revoked)"),
    ])  # fmt: skip
    book.write("Roster", "Roster", 2, "registrar", [
        ("serial", whole(1), "never falls"),
        ("members", array(array(text("inst-1"), blob(sha(member)))), "(name, digest of its Member), sorted"),
    ])  # fmt: skip
    book.write("Renewal", "Renewal", 20, "inst-1", [
        ("name", text("inst-1"), "of the member"),
        ("request", blob(bytes.fromhex("3003020100")), "PKCS #10, DER"),
    ])  # fmt: skip
    book.write("Certificate", "Certificate", 21, "registrar", [
        ("name", text("inst-1"), "of the member"),
        ("chain", blob(b"-----BEGIN"), "PEM, the member's certificate first"),
        ("roots", blob(b"-----BEGIN CERT"), "PEM, every authority to believe"),
    ])  # fmt: skip
    said = public("registrar") + public("next registrar") + struct.pack(">Q", 1)
    book.write("RegistrarKey", "RegistrarKey", 22, "registrar", [
        ("former", blob(public("registrar")), "the public key that hands on"),
        ("public", blob(public("next registrar")), "the public key that goes on"),
        ("serial", whole(1), "the last roster that the former key may sign"),
        ("proof", blob(signed("next registrar", "registrarkey-proof", said)), "by the new key, over all before it"),
    ])  # fmt: skip
    book.write("PlanRecord", "PlanRecord", 3, "registrar", [
        ("study", STUDY, "id of the study"),
        ("plan", blob(b"plan"), "the plan's own bytes"),
        ("initial", BODY, "where version 0 lies on wardround.bodies.registrar"),
    ])  # fmt: skip
    book.write("EpochKey", "EpochKey", 4, "coordinator", [
        ("study", STUDY, "id of the study"),
        ("epoch", whole(0), "of the study key"),
        ("member", text("inst-1"), "who can open it"),
        ("key_id", blob(sha(bytes(1216))[:16]), "of the member's opening key"),
        ("box", blob(BOX), "the study key, sealed by HPKE"),
    ])  # fmt: skip


def site_records(book: Book) -> tuple[bytes, bytes]:
    """Headers of two updates; the second one's Offer is sealed again."""
    first = book.write("Header without trustees", "Header", 16, "inst-1", header_rows("inst-1", 1_800_000_000 << 20))
    second = book.write(
        "Header with two trustees", "Header", 16, "inst-2",
        header_rows("inst-2", (1_800_000_000 << 20) + 1, ("trustee-1", "trustee-2")),
    )  # fmt: skip
    seeds = (bytes(1168), bytes([1]) * 1168)
    book.write("Offer without trustees", "Offer", 10, "inst-1", offer_rows("inst-1", first, (), BODY))
    book.write("Offer with two trustees", "Offer", 10, "inst-2", offer_rows("inst-2", second, seeds, BODY))
    again = body_ref(key_box("coordinator", bytes(60)), partition=0)
    book.write("Offer sealed again: same Header", "Offer", 10, "inst-2", offer_rows("inst-2", second, seeds, again))
    book.write("Presence", "Presence", 11, "inst-1", [
        ("site", text("inst-1"), "the name in its certificate"),
        ("states", array(array(text("lung"), whole(3))), "(study, state): 3 training"),
        ("software", text("wardround 0.1.0"), "for the operator"),
        ("troubles", array(array(text("lung"), whole(1), whole(3))), "(study, what fails, how often in a row)"),
    ], version=2)  # fmt: skip
    of = [
        ("study", STUDY, "id of the study"),
        ("site", text("inst-1"), "the name in its certificate"),
        ("version", whole(0), "of the global model"),
        ("model", blob(sha(CHUNK_DIGESTS)), "body digest of that version"),
    ]
    book.write("Evaluation", "Evaluation", 12, "inst-1", [
        *of, ("measured", SEALED, "Measurements, for coordinator and auditors: boxes with the key, what it seals"),
    ], version=2)  # fmt: skip
    book.write("Measurements", "Measurements", 19, "inst-1", [
        ("values", array(array(text("bias"), f8(-0.07)), array(text("c-index"), f8(0.612))), "by name"),
    ])  # fmt: skip
    book.write("Evaluation of schema version 1", "OpenEvaluation", 12, "inst-1", [
        *of,
        ("values", array(array(text("bias"), whole(-70_000)), array(text("c-index"), whole(612_345))), "in 1e-6"),
    ])  # fmt: skip
    book.write("Command", "Command", 15, "operator", [
        ("study", STUDY, "id of the study"),
        ("serial", whole(1), "rises with each command"),
        ("action", whole(5), "5 exclude"),
        ("site", text("inst-2"), "whom, or nil"),
        ("version", NIL, "only to close a round: its newest version"),
        ("reason", text("asked by its data-protection officer"), "at most 200 bytes"),
    ])  # fmt: skip
    return sha(first), sha(second)


def decision_log(book: Book, first: bytes, second: bytes) -> tuple[list[str], bytes]:
    """Six records without trustees: v0 (in schema version 1), a Request that fails, one that makes v1, the last one."""
    start, later = 1_800_000_000 << 20, (1_800_000_000 << 20) + 1
    log = [
        book.write(
            "Announcement of version 0", "Announcement", 5, "coordinator", announcement_rows(0, bytes(32), 0, schema=1)
        )
    ]

    def follow(title: str, record: str, kind: int, rows: Rows) -> bytes:
        log.append(book.write(title, record, kind, "coordinator", rows, version=2 if kind == 5 else 1))
        return sha(log[-1])

    one = [("inst-1", start, first, 16)]
    failing = follow("Request", "Request", 6, request_rows(1, sha(log[-1]), 0, one))
    rows = [
        *chained(2, sha(log[-1])),
        ("request", blob(failing), "R"),
        ("code", text("range"), "why there is no version"),
        ("names", array(text("inst-1")), "whose updates are void"),
    ]
    follow("Failed", "Failed", 8, rows)
    two = [("inst-1", start + 1, sha(b"another header"), 16), ("inst-2", later, second, 11)]
    asked = follow("Request of two", "Request", 6, request_rows(3, sha(log[-1]), 0, two))
    rows = announcement_rows(4, sha(log[-1]), 1, request=asked, n=2, sum_w=27)
    follow("Announcement with R", "Announcement", 5, rows)
    rows = announcement_rows(5, sha(log[-1]), 1, stop=5)
    state = next(index for index, row in enumerate(rows) if row[0] == "state")
    rows[state] = ("state", STATE, "of the server's optimiser")  # repeats that of version 1
    follow("Announcement, final", "Announcement", 5, rows)
    return [sha(record).hex() for record in log], failing


def trustee_records(book: Book, first: bytes, request: bytes) -> None:
    start = 1_800_000_000 << 20
    refused = book.write(
        "Verdict, refused", "Verdict", 13, "trustee-2", verdict_rows(0, bytes(32), request, "p9", ("inst-2",))
    )
    rows = verdict_rows(1, sha(refused), request, None, ())
    accepted = book.write("Verdict, accepted", "Verdict", 13, "trustee-2", rows)
    book.write("PartialSum", "PartialSum", 14, "trustee-2", [
        *verdict_rows(2, sha(accepted), request, None, ())[:5],
        ("noise_std", blob(struct.pack(">d", 16.0)), "float64, big-endian, as in the plan"),
        ("digest", blob(sha(CHUNK_DIGESTS)), "body digest of the partial sum"),
        ("body", body_ref(), "where it lies; not sealed"),
    ])  # fmt: skip
    refusal = envelope("trustee-2", "Verdict", refused)
    rows = request_rows(2, request, 0, [("inst-1", start, first, 16)], refusal)
    asked = book.write("Request after a refusal", "Request", 6, "coordinator", rows)
    rows = [
        *chained(3, sha(asked)),
        ("request", blob(sha(asked)), "R"),
        ("trustees", array(text("trustee-1"), text("trustee-2")), "who answer with their stored bytes"),
    ]
    book.write("AskAgain", "AskAgain", 7, "coordinator", rows)
    for title, outcome, code, version, weight in (
        ("counted", 1, None, 1, 16), ("refused", 2, "stale", None, 0), ("void", 3, "range", None, 0),
        ("again", 4, None, None, 0),
    ):  # fmt: skip
        rows = receipt_rows(start, outcome, code, version, weight)
        book.write(f"Receipt, {title}", "Receipt", 9, "coordinator", rows)


def bookmark(book: Book) -> None:
    measured = array(text("inst-1"), blob(sha(b"evaluation")), f8(-0.5), f8(30.0))
    book.write("Memory", "Memory", 18, "coordinator", [
        ("best", f8(0.75), "value of the primary metric so far, of all sites together"),
        ("without", array(array(text("inst-1"), f8(0.5))), "the same without one site, by that one"),
        ("evaluations", array(measured), "of that version: site, digest, value and weight"),
    ])  # fmt: skip
    book.write("Bookmark", "Bookmark", 17, "coordinator", [
        ("study", STUDY, "id"),
        ("plan", blob(PLAN), "digest"),
        ("version", whole(1), "the newest that was announced"),
        ("positions", array(array(text("inst-1"), whole(257)), array(text("inst-2"), whole(0))), "nothing open before"),
        ("memory", SEALED, "a Memory, for the coordinator alone: boxes with the key, and what it seals"),
    ], version=2)  # fmt: skip


def main() -> None:
    book = Book()
    membership(book)
    first, second = site_records(book)
    log, failing = decision_log(book, first, second)
    trustee_records(book, first, failing)
    bookmark(book)
    plan = {
        "comment": "a plan's own bytes are signed under the context `plan`",
        "plan": b"plan".hex(),
        "public": public("registrar").hex(),
        "signature": signed("registrar", "plan", b"plan").hex(),
    }
    comment = "made by make_records.py; a record's payload is its fields' hex joined; `log` names a chain by digest"
    secrets = {
        name: sha(name.encode()).hex()
        for name in ("registrar", "coordinator", "inst-1", "inst-2", "trustee-2", "operator", "next registrar")
    }
    content = {"comment": comment, "secrets": secrets, "plan": plan, "log": log, "records": book.entries}
    OUT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
