"""Bodies of offers: what a site's topic holds later is never taken for a log that cannot be trusted."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from coordinator.core.events import Event, OfferFact
from coordinator.shell import bodies
from coordinator.shell.condition import condition_of
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.services import Services, Spool
from protocol.fixed_point import Encoding
from schemas.errors import PeerError
from schemas.records import Offer
from tests.coordinator.plans import plan_of
from transport.errors import BodyGone

PLAN = plan_of()
ENCODING = Encoding.from_plan(PLAN)
FACT = OfferFact("site-1", 0, 1, b"h" * 32, 0, b"b" * 32, PLAN.digest, PLAN.d, PLAN.body_bytes, 1, 0)


class Fetched:
    """Stands for `fetch_body`; raises `error`, or fills nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def __call__(self, *_: Any) -> None:
        if self.error is not None:
            raise self.error


def held_bodies() -> bodies.Bodies:
    async def tell(event: Event) -> None:
        raise AssertionError(event)

    services = cast(Services, SimpleNamespace(spool=Spool(1 << 20)))
    held = bodies.Bodies(services, PLAN, ENCODING, tell)
    offer = cast(Offer, SimpleNamespace(body=SimpleNamespace(runs=((7, 1),))))
    held.know(VerifiedOffer(FACT, offer, b""))
    return held


async def test_other_bytes_where_a_counted_body_lay_do_not_end_a_study_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "fetch_body", Fetched(PeerError("chunk 0 does not open")))
    with pytest.raises(BodyGone) as caught:
        await held_bodies().remove(FACT, 16)
    assert caught.value.offset == 7
    assert not condition_of(caught.value).stands
