"""What leaves a simulated site: bodies, evaluations and offers, each over its link, each in its order.

Knows:    an update's body goes before its offer, and so does the evaluation of its base version.
Never:    sends an update that site.db has not got.
Source:   participant/shell/outgoing.py, which it stands for.
"""

import hashlib
from collections.abc import Callable

from coordinator.core.events import Evaluated as EvaluatedFact
from coordinator.core.events import OfferFact
from participant.core import events as seen
from schemas.records import CHUNK_BYTES
from simulation.clock import cancel
from simulation.following import Follower
from simulation.premises import FLUSH_MS, Premises
from simulation.process import SitePoint
from simulation.records import Body, Floats, Model, SentEvaluation, SentOffer, header
from simulation.store import DiskFull, Row, acked, evaluated, offered
from simulation.transfer import Transfer

OFFER_BYTES = 1_900  # Offer, header and key boxes of an unmasked update
EVALUATION_BYTES = 400
BODIES_KEPT = 16  # of a site, on the broker: its size cap

Then = Callable[..., None]


class Outgoing:
    """One life of a site's sending."""

    def __init__(self, site: Premises, follower: Follower) -> None:
        self._site, self._scene, self._clock = site, site.scene, site.clock
        self._follower = follower
        self._update: Floats | None = None  # trained and not sealed yet
        self._sending: Transfer | None = None
        self._sequence = -1  # what is being sent
        self._measuring: dict[int, int] = {}  # version -> when its evaluation is on the log

    def trained(self, update: Floats | None) -> None:
        """An update waits to be sealed."""
        self._site.trainings += 1
        self._update = update

    def seal(self, base_version: int, stands_for: float) -> None:
        """Put the update into the outbox, for good, under the next sequence; or say that it could not be."""
        site, trouble = self._site, self._site.trouble
        sequence = site.store.sequence_next()
        in_range = not trouble.damage
        trouble.damage = max(0, trouble.damage - 1)
        words = self._scene.vectors.encode(site.name, self._update, stands_for)
        named = header(site.name, sequence, f"{base_version}/{site.life}/{site.trainings}")
        row = Row(base_version, self._follower.digests[base_version], named, Body(site.name, sequence, in_range, words))
        try:
            site.store.put(sequence, row)
        except DiskFull:
            site.post(seen.SealFailed(base_version))
            return
        site.hazard(SitePoint.SEALED)
        self._update = None
        self._scene.story.sealed(site.name, sequence, base_version, site.trainings)
        site.post(seen.Sealed(base_version, sequence))

    def evaluation(self, model: Model, value: float, weight: float) -> None:
        """An evaluation is sent while the site goes on."""
        site = self._site
        digest = hashlib.sha256(f"{site.name} {model.version} {value} {weight}".encode()).digest()
        fact = EvaluatedFact(site.name, model.version, model.digest, digest, float(value), float(weight))
        arrives_ms = site.link.sent_ms(self._clock.now_ms, EVALUATION_BYTES)
        self._measuring[model.version] = arrives_ms
        self._clock.at(arrives_ms, site, self._evaluation_sent, fact)

    def send(self, sequence: int, anew: bool) -> None:
        """Upload what is not acknowledged yet, then the evaluation of its base, then the offer."""
        site = self._site
        if anew:
            site.later(offered(sequence, -1))
        self._sequence = sequence
        if site.trouble.send_fails > 1:
            self._refused(sequence)
            return
        self._up(max(0, site.plan.body_bytes - site.store.now.rows[sequence].acked_bytes), self._uploaded, sequence)

    def _refused(self, sequence: int) -> None:
        """The broker says no: a topic or a right is missing. What was acknowledged before stays so."""
        site = self._site
        site.trouble.send_fails -= 1
        heard_ms = site.link.fetched_ms(site.link.sent_ms(self._clock.now_ms, 0), 0)
        self._sending = Transfer("up", self._clock.now_ms, 0)
        self._sending.timer = self._clock.at(heard_ms, site, self._send_failed, sequence)

    def _send_failed(self, sequence: int) -> None:
        self._sending = None
        self._site.post(seen.SendFailed(sequence))

    def stop(self) -> None:
        """Drop what is on its way; nothing will be heard of it."""
        transfer, self._sending = self._sending, None
        if transfer is not None:
            cancel(transfer.timer)
            self._site.count(transfer)

    def died(self) -> None:
        """Acknowledged chunks reach site.db with a flush: what came in the last seconds is sent again."""
        transfer, site = self._sending, self._site
        if transfer is not None and not site.trouble.disk_full and self._sequence in site.disk.rows:
            moved = site.link.moved(transfer.began_ms, self._clock.now_ms - FLUSH_MS, transfer.size_bytes, up=True)
            site.disk.rows[self._sequence].acked_bytes += moved // CHUNK_BYTES * CHUNK_BYTES
        if transfer is not None:
            site.count(transfer)

    def offer(self, sequence: int, body: int) -> int:
        """Append the Offer of an update in the outbox, whose body lies at `body`; returns its offset."""
        site, plan = self._site, self._site.plan
        row, topic = site.store.now.rows[sequence], self._scene.log.offers[site.name]
        fact = OfferFact(
            site=site.name, offset=topic.end, sequence=sequence, header=row.header,
            base_version=row.base_version, base_digest=row.base_digest, plan=self._scene.plan_digest, d=plan.d,
            size_bytes=plan.body_bytes, cohort_min=site.floor, trustees=0,
        )  # fmt: skip
        return self._scene.append(site.name, SentOffer(fact, body, site.name, key=site.key))

    def _uploaded(self, sequence: int) -> None:
        site = self._site
        row, topic = site.store.now.rows[sequence], self._scene.log.bodies[site.name]
        at = row.body_at
        if at < 0:
            at = topic.append(row.body)
            topic.trim(topic.end - BODIES_KEPT)
            site.store.note(acked(sequence, site.plan.body_bytes, at))
        if site.trouble.send_fails:
            self._refused(sequence)
            return
        self._up(OFFER_BYTES, self._offer_sent, sequence, at, first_ms=self._measuring.get(row.base_version, 0))

    def _offer_sent(self, sequence: int, body: int) -> None:
        """The broker has the offer; its answer takes the way back."""
        site = self._site
        offset = self.offer(sequence, body)
        if site.trouble.sends_twice:
            site.trouble.sends_twice = False
            offset = self.offer(sequence, body)
        site.hazard(SitePoint.OFFERED)
        heard_ms = site.link.fetched_ms(self._clock.now_ms, 0)
        self._sending = Transfer("up", self._clock.now_ms, 0)
        self._sending.timer = self._clock.at(heard_ms, site, self._acknowledged, sequence, offset)

    def _acknowledged(self, sequence: int, offset: int) -> None:
        self._sending = None
        self._site.later(offered(sequence, offset))
        self._site.post(seen.Sent(sequence, offset))

    def _evaluation_sent(self, fact: EvaluatedFact) -> None:
        self._measuring.pop(fact.version, None)
        self._scene.append(fact.site, SentEvaluation(fact, fact.site, key=self._site.key))
        self._scene.story.bytes_moved(fact.site, "up", EVALUATION_BYTES)
        self._site.hazard(SitePoint.MEASURED)
        self._site.later(evaluated(fact.version))

    def _up(self, size_bytes: int, then: Then, *arguments: int, first_ms: int = 0) -> None:
        """Send bytes, not before `first_ms`; `then` once the broker has them."""
        begins_ms = max(self._clock.now_ms, first_ms)
        transfer = self._sending = Transfer("up", begins_ms, size_bytes)
        arrives_ms = self._site.link.sent_ms(begins_ms, size_bytes)
        transfer.timer = self._clock.at(arrives_ms, self._site, self._arrived, then, *arguments)

    def _arrived(self, then: Then, *arguments: int) -> None:
        transfer, self._sending = self._sending, None
        assert transfer is not None
        self._site.count(transfer)
        then(*arguments)
