"""Records that nobody honest would send: what a broken or hostile member, or one without a key, may put on a topic.

Used by: simulation.faults.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from coordinator.core.events import Evaluated, OfferFact
from simulation.log import Topic
from simulation.reading import BOOKMARK_KEY
from simulation.records import Body, Other, SentEvaluation, SentOffer, Strange
from simulation.site import header

if TYPE_CHECKING:
    from simulation.world import World

GARBAGE = 2500  # records, more than a site may have read at once
ROGUE = "rogue"  # a member that never trains: somebody else's software, or worse

Make = Callable[["World", OfferFact, random.Random], SentOffer | SentEvaluation | None]


def send_hostile(world: "World", site: str, kind: int, chance: random.Random) -> None:
    """Append one hostile record to the topic of `site`, or of the rogue where only a member can have signed it."""
    name = sorted(HOSTILE)[kind % len(HOSTILE)]
    if name == "unreadable":
        world.append(site, Other(readable=False))
        return
    target = site if name in ON_HONEST_TOPICS else ROGUE
    made = HOSTILE[name](world, _fact(world, target, chance), chance)
    if made is not None:
        world.append(target, made)


def flood(world: "World", number: int) -> None:
    """The rogue offers far more than its turn, all of it valid; or sends far more than its share, none of it valid."""
    if number % 3 == 0:
        for _ in range(GARBAGE):
            world.append(ROGUE, Other(readable=False))
    for _ in range(number):
        fact = _fact(world, ROGUE, random.Random(0))
        body = world.log.bodies[ROGUE].append(Body(ROGUE, fact.sequence))
        world.append(ROGUE, SentOffer(fact, body, ROGUE))


def meddle(world: "World", number: int, chance: random.Random) -> None:
    """Somebody without a key writes on a topic of the coordinator: what nobody signed, or a copy of what it wrote."""
    log = world.log
    topics: tuple[Topic[Any], ...] = (log.rounds, log.receipts, log.bookmark)
    topic = topics[number % len(topics)]
    written = topic.read(0)[0]
    if number % 2 or not written:
        topic.append(Strange(), chance.choice([*sorted(world.sites), BOOKMARK_KEY]))
    else:
        copied = chance.choice(written)
        topic.append(copied.value, copied.key)
    world.shown()


def _fact(world: "World", site: str, chance: random.Random) -> OfferFact:
    """An offer that would be right, but for what is changed in it; on an honest topic its sequence is an old one."""
    version, offset = max(0, world.version), world.log.offers[site].end
    sequence = offset + 1 if site == ROGUE else chance.randrange(1 << 20)
    return OfferFact(
        site=site, offset=offset, sequence=sequence, header=header(site, sequence, "rogue"), base_version=version,
        base_digest=world.digest_of(version), plan=world.plan_digest, d=world.plan.d,
        size_bytes=world.plan.body_bytes, cohort_min=world.plan.aggregation.cohort_min, trustees=0,
    )  # fmt: skip


def _foreign(world: "World", fact: OfferFact, chance: random.Random) -> SentOffer | None:
    """Another site's offer, as that site signed it, on this site's topic."""
    others = [name for name in world.sites if name != fact.site]
    for name in chance.sample(others, len(others)):
        for entry in world.log.offers[name].read(0)[0]:
            if isinstance(entry.value, SentOffer):
                return replace(entry.value, fact=replace(entry.value.fact, offset=fact.offset))
    return None


def _lie(world: "World", fact: OfferFact, chance: random.Random) -> SentEvaluation:
    """More than anybody can measure, on more patients than there are; or the contrary."""
    value = chance.choice((1.0, 1e100, -1e100))
    digest = hashlib.sha256(f"{fact.site} {fact.base_version} {value} {fact.offset}".encode()).digest()
    return SentEvaluation(Evaluated(fact.site, fact.base_version, fact.base_digest, digest, value, 9e12), fact.site)


HOSTILE: dict[str, Make] = {
    "bad signature": lambda world, fact, chance: SentOffer(fact, 0, fact.site, intact=False),
    "stranger": lambda world, fact, chance: SentOffer(fact, 0, "nobody"),
    "foreign offer": _foreign,
    "older sequence": lambda world, fact, chance: SentOffer(fact, 0, fact.site),
    "unreadable": lambda world, fact, chance: None,
    "wrong plan": lambda world, fact, chance: SentOffer(replace(fact, plan=bytes(32)), 0, fact.site),
    "future version": lambda world, fact, chance: SentOffer(replace(fact, base_version=1 << 40), 0, fact.site),
    "other base": lambda world, fact, chance: SentOffer(replace(fact, base_digest=bytes(32)), 0, fact.site),
    "other digests": lambda world, fact, chance: SentOffer(replace(fact, code="malformed"), 0, fact.site),
    "other size": lambda world, fact, chance: SentOffer(replace(fact, size_bytes=8), 0, fact.site),
    "other length": lambda world, fact, chance: SentOffer(replace(fact, d=fact.d + 1), 0, fact.site),
    "absurd floor": lambda world, fact, chance: SentOffer(replace(fact, cohort_min=1024), 0, fact.site),
    "lie": _lie,
    "no body": lambda world, fact, chance: SentOffer(fact, 1 << 40, fact.site),
}
ON_HONEST_TOPICS = frozenset({"bad signature", "stranger", "foreign offer", "older sequence", "unreadable"})
