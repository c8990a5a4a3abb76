"""Records of a small decision log, each continuing the one before it."""

from dataclasses import dataclass, field, replace
from typing import Any

from protocol.digests import record_digest
from schemas.records import Announcement, BodyAt, BodyRef, Failed, Request, RequestEntry

STUDY, PLAN, ROSTER = "demo", b"\x01" * 32, b"\x02" * 32
EMPTY = BodyRef(0, 0, (), b"", ())


@dataclass
class Scribe:
    """Writes records that fit; tests change single fields with `replace`."""

    study: str = STUDY
    plan: bytes = PLAN
    records: list[Any] = field(default_factory=list)
    version: int = -1

    def head(self) -> dict[str, Any]:
        previous = record_digest(self.records[-1].to_bytes()) if self.records else bytes(32)
        return {"study": self.study, "index": len(self.records), "previous": previous}

    def keep(self, record: Any) -> Any:
        self.records.append(record)
        if isinstance(record, Announcement):
            self.version = record.version
        return record

    def announcement(self, **values: Any) -> Announcement:
        quiet: dict[str, Any] = {
            "version": max(self.version, 0), "plan": self.plan, "roster_serial": 1, "roster": ROSTER, "key_epoch": 0,
            "request": None, "partial_sums": (), "sum": None, "n": 0, "sum_w": 0, "state": None, "evaluations": (),
            "patience": 0, "stop": 0, "final": False,
        }  # fmt: skip
        return Announcement(**{**self.head(), **quiet, "model": model(quiet["version"]), **values})

    def request(self, *entries: RequestEntry, **values: Any) -> Request:
        fixed = {
            "version": self.version, "plan": self.plan, "roster_serial": 1, "roster": ROSTER,
            "entries": entries or (entry("a", 1),), "cohort": BodyAt(b"\x03" * 32, EMPTY), "after_refusal": None,
        }  # fmt: skip
        return Request(**{**self.head(), **fixed, **values})

    def answer(self, asked: Request, /, **values: Any) -> Announcement:
        return self.announcement(**{
            "version": self.version + 1, "model": model(self.version + 1), "request": record_digest(asked.to_bytes()),
            "sum": b"\x04" * 32, "n": len(asked.entries), "sum_w": sum(e.weight for e in asked.entries), **values,
        })  # fmt: skip

    def failed(self, asked: Request, /, **values: Any) -> Failed:
        fixed = {"request": record_digest(asked.to_bytes()), "code": "range", "names": ("a",)}
        return Failed(**{**self.head(), **fixed, **values})


def entry(site: str, sequence: int, weight: int = 16) -> RequestEntry:
    return RequestEntry(site, sequence, record_digest(f"{site}/{sequence}".encode()), weight)


def model(version: int) -> BodyAt:
    return BodyAt(record_digest(b"model %d" % version), EMPTY)


def begun() -> Scribe:
    """A log of one record: version 0."""
    scribe = Scribe()
    scribe.keep(scribe.announcement())
    return scribe


def changed(record: Any, **values: Any) -> Any:
    return replace(record, **values)
