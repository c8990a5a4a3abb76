"""The bodies of one study's offers, from the first word of an offer to the running sum.

Knows:    which offers the core works on, their fetches, and what they hold of the memory that all studies share.
Never:    decides; holds a body longer than the core wants it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import structlog

from coordinator.core.events import BodyReady, BodyUnusable, Cohort, Event, Fetch, OfferFact
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.services import INLINE_BYTES_MAX, Services, now_ms
from coordinator.shell.spool import fetch_body
from coordinator.shell.vectors import RunningSum
from protocol.fixed_point import Encoding, Words
from runtime.lines import LineBudget
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from transport.errors import BodyGone

AGAIN_S = 30.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Held:
    """An offer the core works on, its fetch, and its body once it is there."""

    offer: VerifiedOffer
    fetch: "asyncio.Task[None] | None" = None
    body: Words | None = None


class Bodies:
    """`sum` is the running sum of the round; `tell` hands an event to the study's core."""

    def __init__(
        self, services: Services, plan: Plan, encoding: Encoding, tell: Callable[[Event], Awaitable[None]]
    ) -> None:
        self.sum = RunningSum(encoding)
        self._services, self._study, self._encoding, self._tell = services, plan.study, encoding, tell
        self._held: dict[tuple[str, int], _Held] = {}
        self._lines = LineBudget()

    def know(self, offer: VerifiedOffer) -> None:
        """An offer that the core is about to hear of; the first of a name stays."""
        self._held.setdefault(_name(offer.fact), _Held(offer))

    def offers(self, cohort: Cohort) -> list[VerifiedOffer]:
        """The offers of a cohort, in the order of its entries."""
        return [self._held[_name(offer)].offer for offer in cohort.offers]

    def fetch(self, wanted: Fetch, tasks: asyncio.TaskGroup) -> None:
        """Fetch the body in a task of its own; the core is told what came of it."""
        held = self._held[_name(wanted.offer)]
        held.fetch = tasks.create_task(self._fetch_and_tell(wanted, held))

    async def add(self, offer: OfferFact, weight: int) -> None:
        held = self._held[_name(offer)]
        body = held.body
        assert body is not None
        if body.nbytes <= INLINE_BYTES_MAX:
            self.sum.add(body, weight)
        else:
            await asyncio.to_thread(self.sum.add, body, weight)
        held.body = None
        self._services.spool.give_back(body, reusable=True)

    async def remove(self, offer: OfferFact, weight: int) -> None:
        """Fetch the body once more and take it out. One that has gone meanwhile ends this run: the log rebuilds it.

        In memory of its own: what holds the spool may wait for this very task. Raises BodyGone, for other bytes too: it
        was right when it was added, and what a site's topic holds now says nothing about the study's own log.
        """
        body, topic = np.empty(self._encoding.d, self._encoding.word_type), topics.bodies(offer.site)
        held = self._held[_name(offer)]
        try:
            await fetch_body(self._services, held.offer, self._encoding, body)
        except PeerError as error:
            raise BodyGone(topic, held.offer.offer.body.runs[0][0]) from error
        await asyncio.to_thread(self.sum.add, body, -weight)

    def drop(self, offer: OfferFact) -> None:
        """The offer is decided without entering the sum."""
        held = self._held.pop(_name(offer), None)
        if held is not None:
            self._free(held)

    def unload(self, offer: OfferFact) -> None:
        """The body is not wanted now; the offer stays."""
        self._free(self._held[_name(offer)])

    def ignore(self, offer: OfferFact) -> None:
        """A redelivered offer: forgotten, unless it is the very one that the core works on."""
        held = self._held.get(_name(offer))
        if held is not None and held.offer.fact is offer:
            del self._held[_name(offer)]

    def forget(self, cohort: Cohort) -> None:
        """The cohort is decided: the next round begins with an empty sum."""
        self.sum.clear()
        for offer in cohort.offers:
            self._held.pop(_name(offer), None)

    def close(self) -> None:
        """Give back what is still held of the memory that all studies share."""
        for held in self._held.values():
            self._free(held)

    async def _fetch_and_tell(self, wanted: Fetch, held: _Held) -> None:
        """Until there is an answer, or nobody wants it any more.

        What this coordinator may not read is no fault of the site's, which would send its body again in vain: the
        offer waits as for a slow link, and the others go on.
        """
        while True:
            try:
                event = await self._fetched(wanted, held)
            except LocalError as error:
                self._refused(wanted.offer, error)
                await asyncio.sleep(AGAIN_S)
            else:
                break
        await self._tell(event)

    async def _fetched(self, wanted: Fetch, held: _Held) -> Event:
        """Raises LocalError when the broker refuses the body to this coordinator."""
        spool, metrics, offer = self._services.spool, self._services.metrics, wanted.offer
        body, kept = await spool.take(self._encoding), False
        try:
            with metrics.fetch_s.labels(self._study).time():
                await fetch_body(self._services, held.offer, self._encoding, body)
            held.body, kept = body, True
            metrics.body_bytes.labels(self._study).inc(body.nbytes)
            return BodyReady(offer.site, offer.sequence, wanted.number)
        except (PeerError, BodyGone) as error:
            damaged = isinstance(error, BodyGone) or error.code == "malformed"
            self._unusable(offer, error, again=damaged)
            code = None if isinstance(error, BodyGone) or damaged else error.code
            return BodyUnusable(offer.site, offer.sequence, code, wanted.number)
        finally:
            if not kept:
                spool.give_back(body, reusable=False)

    def _unusable(self, offer: OfferFact, error: PeerError | BodyGone, *, again: bool) -> None:
        unsaid = self._lines.ask(offer.site, now_ms() / 1000)
        if unsaid is not None:
            update = self._update(offer)
            log.warning("body not usable", update=update, reason=str(error), ask_again=again, unsaid=unsaid)

    def _refused(self, offer: OfferFact, error: LocalError) -> None:
        self._services.metrics.bodies_refused.labels(self._study, offer.site).inc()
        log.error(
            "a site's update cannot be read; it waits, the others go on", update=self._update(offer),
            topic=topics.bodies(offer.site), reason=str(error), to_do=error.hint, again_in_s=AGAIN_S,
        )  # fmt: skip

    def _update(self, offer: OfferFact) -> str:
        return f"{self._study}/{offer.site}/{offer.sequence}"

    def _free(self, held: _Held) -> None:
        if held.fetch is not None:
            held.fetch.cancel()
        if held.body is not None:
            body, held.body = held.body, None
            self._services.spool.give_back(body, reusable=True)


def _name(offer: OfferFact) -> tuple[str, int]:
    return offer.site, offer.sequence
