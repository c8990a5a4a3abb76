"""A made-up study of six sites, two of which lose their link and one of which joins late: history without a broker."""

import random
from dataclasses import replace

from audit.history import StudyHistory, StudyRecord
from schemas.plan import (
    Aggregation,
    Clipped,
    DataRule,
    EvaluationRule,
    Masking,
    Noise,
    Plan,
    StopRule,
    Storage,
    TaskSpec,
    Training,
)
from schemas.records import (
    Announcement,
    BodyAt,
    BodyRef,
    Header,
    Offer,
    OpenEvaluation,
    Outcome,
    Presence,
    Receipt,
    Request,
    RequestEntry,
    SiteState,
)

START_MS = 1_760_000_000_000
ZERO = bytes(32)
STUDY = "lung"
WEIGHTS = (16, 11, 9, 8, 7)


def plan(*, versions: int = 20) -> Plan:
    return Plan(
        study=STUDY,
        title="Survival with advanced lung cancer",
        sites_expected=6,
        parameters=7,
        seed=1,
        initial=ZERO,
        task=TaskSpec("studies.lung.task:task", ZERO, (("split", "0"),)),
        training=Training("adam", 0.05, 0.0, 0.0, 5, 0, 0, 0.0, 60, 60),
        aggregation=Aggregation(
            "fedbuff", 4, 3, 3, 4, 2000, 4, WEIGHTS, None, 0, 1, "average", 1.0, 0.9, 0.999, 1e-8
        ),
        encoding=Clipped(32, 1.0, 1.0, 24, ()),
        masking=Masking((), 0, None, 0, "aes-256-ctr", "MLKEM768_X25519"),
        noise=Noise(0.0),
        evaluation=EvaluationRule(1, "c-index", True, "pairs", 1000, True, ("c-index", "pairs"), 1, 10.0),
        stop=StopRule(versions, 0, None, 0),
        storage=Storage(4, 30, ()),
        data=DataRule(0.0),
    )  # fmt: skip


def header(site: str, sequence: int, base: int, study: str = STUDY) -> Header:
    return Header(study, site, bytes(16), sequence, ZERO, base, ZERO, (), 7, ZERO, 3)


def body(size_bytes: int) -> BodyRef:
    return BodyRef(0, size_bytes, ((0, 1),), ZERO, ())


def offer(site: str, sequence: int, base: int, *, study: str = STUDY) -> Offer:
    return Offer(header(site, sequence, base, study).to_bytes(), (), bytes(64), body(28))


def request(index: int, version: int, entries: tuple[tuple[str, int, int], ...]) -> Request:
    rows = tuple(RequestEntry(site, sequence, ZERO, weight) for site, sequence, weight in sorted(entries))
    return Request(STUDY, index, ZERO, version, ZERO, 1, ZERO, rows, BodyAt(ZERO, body(28)), None)


def announcement(index: int, version: int, *, closes: bool = True, final: bool = False, n: int = 0) -> Announcement:
    return Announcement(
        STUDY, index, ZERO, version, ZERO, 1, ZERO, 1, ZERO if closes else None, (), None, n, 16 * n,
        BodyAt(ZERO, body(28)), None, (), 0, int(final), final,
    )  # fmt: skip


def receipt(site: str, sequence: int, outcome: Outcome, **rest: object) -> Receipt:
    blank = Receipt(STUDY, site, sequence, int(outcome), None, None, 0, 0, ())
    return replace(blank, **rest)  # type: ignore[arg-type]  # fields by name


def _evaluation(site: str, version: int, rng: random.Random, *, up: int, final: bool) -> OpenEvaluation:
    n, level = 10 + 3 * int(site[-1]), 0.5 + 0.01 * int(site[-1])
    metric = level + 0.12 * (1 - 0.8**version) + rng.uniform(-0.015, 0.015)
    values = {
        "c-index": metric, "pairs": float(n * n // 3), "n-test": float(n), "bytes-up": float(up),
        "bytes-down": 1700.0 * (version + 1), "bytes-data": 280.0 * n, "train-seconds": 0.011 * version,
    }  # fmt: skip
    if final:
        values |= {"c-index-low": metric - 0.11, "c-index-high": metric + 0.1}
        values |= {"alone-c-index": level + 0.03, "alone-c-index-low": level - 0.1, "alone-c-index-high": level + 0.14}
    return OpenEvaluation(STUDY, site, version, ZERO, tuple(sorted((k, round(v * 1e6)) for k, v in values.items())))


def records(seed: int = 3, versions: int = 20) -> list[tuple[int, StudyRecord]]:
    """(append time in ms, record) in order; the same for the same seed."""
    rng, now, index = random.Random(seed), START_MS, 1
    sites = [f"site-{i}" for i in range(1, 7)]
    found: list[tuple[int, StudyRecord]] = [(now, announcement(0, 0, closes=False))]
    behind: dict[str, int] = dict.fromkeys(sites, 0)
    sequence = dict.fromkeys(sites, 0)
    for version in range(versions):
        here = [
            site
            for site in sites
            if not (site == "site-2" and 5 <= version < 10)
            and not (site == "site-4" and 8 <= version < 12)
            and not (site == "site-6" and version < 6)
        ]
        cohort: list[tuple[str, int, int]] = []
        for site in sorted(here, key=lambda _: rng.random()):
            at = now + rng.randint(20, 500)
            found.append((at, Presence(site, ((STUDY, int(SiteState.TRAINING)),), "test")))
            up = 1900 * (sequence[site] + 1)
            found.append((at + 90, _evaluation(site, version, rng, up=up, final=version == 0)))
            found.append((at + 120, Presence(site, ((STUDY, int(SiteState.SENDING)),), "test")))
            staleness = version - behind[site] if site in {"site-2", "site-4"} else 0
            found.append((at + 160, offer(site, sequence[site], version - staleness)))
            found.append((at + 180, Presence(site, ((STUDY, int(SiteState.WAITING)),), "test")))
            if staleness > 4:
                found.append((at + 200, receipt(site, sequence[site], Outcome.REFUSED, code="stale")))
            elif len(cohort) < 4:
                cohort.append((site, sequence[site], WEIGHTS[staleness]))
            behind[site] = version + 1
            sequence[site] += 1
        now += 760
        final = version + 1 == versions
        found.append((now, request(index, version, tuple(cohort))))
        found.append((now, announcement(index + 1, version + 1, n=len(cohort), final=final)))
        index += 2
    for site in sites:
        found.append((now + 300, _evaluation(site, versions, rng, up=1900 * sequence[site], final=True)))
    return sorted(found, key=lambda item: item[0])


def history(seed: int = 3, versions: int = 20) -> StudyHistory:
    made = plan(versions=versions)
    grown = StudyHistory(made, made.digest, {f"site-{i}": f"Hospital {i}" for i in range(1, 7)})
    for at_ms, record in records(seed, versions):
        grown.feed(record, at_ms)
    return grown
