"""Records that nobody honest would send: what a broken or hostile member, or one without a key, may put on a topic."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coordinator.core.events import Evaluated, OfferFact
from simulation.log import Topic
from simulation.records import BOOKMARK_KEY, Body, Other, SentEvaluation, SentOffer, Strange, header
from simulation.scene import Scene

GARBAGE = 2500  # records, more than a site may have read at once
ROGUE = "rogue"  # a member that never trains: somebody else's software, or worse

Make = Callable[[Scene, OfferFact, random.Random], SentOffer | SentEvaluation | None]


def send_hostile(scene: Scene, site: str, kind: int, chance: random.Random) -> None:
    """Append one hostile record to the topic of `site`, or of the rogue where only a member can have signed it."""
    name = sorted(HOSTILE)[kind % len(HOSTILE)]
    if name == "unreadable":
        scene.append(site, Other(readable=False))
        return
    target = site if name in ON_HONEST_TOPICS else ROGUE
    made = HOSTILE[name](scene, _fact(scene, target, chance), chance)
    if made is not None:
        scene.append(target, made)


def flood(scene: Scene, number: int) -> None:
    """The rogue offers far more than its turn, all of it valid; or sends far more than its share, none of it valid."""
    if number % 3 == 0:
        for _ in range(GARBAGE):
            scene.append(ROGUE, Other(readable=False))
    for _ in range(number):
        fact = _fact(scene, ROGUE, random.Random(0))
        body = scene.log.bodies[ROGUE].append(Body(ROGUE, fact.sequence))
        scene.append(ROGUE, SentOffer(fact, body, ROGUE))


def meddle(scene: Scene, number: int, chance: random.Random) -> None:
    """Somebody without a key writes on a topic of the coordinator: what nobody signed, or a copy of what it wrote."""
    log = scene.log
    topics: tuple[Topic[Any], ...] = (log.rounds, log.receipts, log.bookmark)
    topic = topics[number % len(topics)]
    written = topic.read(0)[0]
    if number % 2 or not written:
        topic.append(Strange(), chance.choice([*scene.sites, BOOKMARK_KEY]))
    else:
        copied = chance.choice(written)
        topic.append(copied.value, copied.key)
    scene.shown()


def _fact(scene: Scene, site: str, chance: random.Random) -> OfferFact:
    """An offer that would be right, but for what is changed in it; on an honest topic its sequence is an old one."""
    version, offset = max(0, scene.version), scene.log.offers[site].end
    sequence = offset + 1 if site == ROGUE else chance.randrange(1 << 20)
    return OfferFact(
        site=site, offset=offset, sequence=sequence, header=header(site, sequence, "rogue"), base_version=version,
        base_digest=scene.digest_of(version), plan=scene.plan_digest, d=scene.plan.d,
        size_bytes=scene.plan.body_bytes, cohort_min=scene.plan.aggregation.cohort_min, trustees=0,
    )  # fmt: skip


def _foreign(scene: Scene, fact: OfferFact, chance: random.Random) -> SentOffer | None:
    """Another site's offer, as that site signed it, on this site's topic."""
    others = [name for name in scene.sites if name != fact.site]
    for name in chance.sample(others, len(others)):
        for entry in scene.log.offers[name].read(0)[0]:
            if isinstance(entry.value, SentOffer):
                return replace(entry.value, fact=replace(entry.value.fact, offset=fact.offset))
    return None


def _lie(scene: Scene, fact: OfferFact, chance: random.Random) -> SentEvaluation:
    """More than anybody can measure, on more patients than there are; or the contrary."""
    value = chance.choice((1.0, 1e100, -1e100))
    digest = hashlib.sha256(f"{fact.site} {fact.base_version} {value} {fact.offset}".encode()).digest()
    return SentEvaluation(Evaluated(fact.site, fact.base_version, fact.base_digest, digest, value, 9e12), fact.site)


HOSTILE: dict[str, Make] = {
    "bad signature": lambda scene, fact, chance: SentOffer(fact, 0, fact.site, intact=False),
    "stranger": lambda scene, fact, chance: SentOffer(fact, 0, "nobody"),
    "foreign offer": _foreign,
    "older sequence": lambda scene, fact, chance: SentOffer(fact, 0, fact.site),
    "unreadable": lambda scene, fact, chance: None,
    "wrong plan": lambda scene, fact, chance: SentOffer(replace(fact, plan=bytes(32)), 0, fact.site),
    "future version": lambda scene, fact, chance: SentOffer(replace(fact, base_version=1 << 40), 0, fact.site),
    "other base": lambda scene, fact, chance: SentOffer(replace(fact, base_digest=bytes(32)), 0, fact.site),
    "other digests": lambda scene, fact, chance: SentOffer(replace(fact, code="malformed"), 0, fact.site),
    "other size": lambda scene, fact, chance: SentOffer(replace(fact, size_bytes=8), 0, fact.site),
    "other length": lambda scene, fact, chance: SentOffer(replace(fact, d=fact.d + 1), 0, fact.site),
    "absurd floor": lambda scene, fact, chance: SentOffer(replace(fact, cohort_min=1024), 0, fact.site),
    "lie": _lie,
    "no body": lambda scene, fact, chance: SentOffer(fact, 1 << 40, fact.site),
}
ON_HONEST_TOPICS = frozenset({"bad signature", "stranger", "foreign offer", "older sequence", "unreadable"})
