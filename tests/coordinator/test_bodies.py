"""Bodies of offers: what a site's topic holds later is never taken for a log that cannot be trusted."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coordinator.core.events import BodyReady, Event, Fetch, OfferFact
from coordinator.shell import bodies
from coordinator.shell.condition import condition_of
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Services, Spool
from protocol.fixed_point import Encoding
from schemas.errors import LocalError, PeerError
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


async def nobody(event: Event) -> None:
    raise AssertionError(event)


def held_bodies(
    tell: Callable[[Event], Awaitable[None]] = nobody, services: SimpleNamespace | None = None
) -> bodies.Bodies:
    services = services or SimpleNamespace(spool=Spool(1 << 20), metrics=CoordinatorMetrics())
    held = bodies.Bodies(cast(Services, services), PLAN, ENCODING, tell)
    offer = cast(Offer, SimpleNamespace(body=SimpleNamespace(runs=((7, 1),))))
    held.know(VerifiedOffer(FACT, offer, b""))
    return held


async def test_a_body_that_the_coordinator_may_not_read_is_its_sites_trouble_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = Fetched(LocalError("the broker refuses access: wardround.bodies.site-1", hint="grant the right"))
    monkeypatch.setattr(bodies, "fetch_body", fetched)
    monkeypatch.setattr(bodies, "AGAIN_S", 0.01)
    told: asyncio.Queue[Event] = asyncio.Queue()
    services = SimpleNamespace(spool=Spool(1 << 20), metrics=CoordinatorMetrics())
    held = held_bodies(told.put, services)
    async with asyncio.TaskGroup() as tasks:
        held.fetch(Fetch(FACT, 3), tasks)
        await asyncio.sleep(0.1)
        assert told.empty()
        assert services.spool._used == 0, "others may use the memory while it waits"
        fetched.error = None
        assert await told.get() == BodyReady("site-1", 1, 3)
    said = capsys.readouterr().out
    assert f"{PLAN.study}/site-1/1" in said
    assert "grant the right" in said
    refused = services.metrics.registry.get_sample_value(
        "wardround_coordinator_bodies_refused_total", {"study": PLAN.study, "site": "site-1"}
    )
    assert refused is not None
    assert refused >= 2


async def test_a_body_that_may_not_be_read_is_given_up_once_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "fetch_body", Fetched(LocalError("refused")))
    held = held_bodies()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        held.fetch(Fetch(FACT, 1), tasks)
        await asyncio.sleep(0)
        held.drop(FACT)


async def test_other_bytes_where_a_counted_body_lay_do_not_end_a_study_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "fetch_body", Fetched(PeerError("chunk 0 does not open")))
    with pytest.raises(BodyGone) as caught:
        await held_bodies().remove(FACT, 16)
    assert caught.value.offset == 7
    assert not condition_of(caught.value).stands
