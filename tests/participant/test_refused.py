"""What a participant makes of records that its reader did not open."""

from types import SimpleNamespace
from typing import Any, cast

from participant.core.approvals import Approvals
from participant.shell.metrics import ParticipantMetrics
from participant.shell.site import Site
from schemas import topics
from transport.reading.log import Entry


def test_a_compressed_batch_is_counted_and_goes_no_further() -> None:
    fed: list[object] = []
    metrics = ParticipantMetrics()
    directory = SimpleNamespace(feed=lambda *record: fed.append(record))
    site = Site(
        cast(Any, SimpleNamespace(metrics=metrics, directory=directory)),
        cast(Any, None),
        cast(Any, None),
        Approvals(frozenset(), 1),
        [],
    )
    site._feed(Entry(topics.MEMBERS, 7, 0, None, b"", refused="compressed"))
    name = "wardround_participant_records_refused_total"
    assert metrics.registry.get_sample_value(name, {"reason": "compressed"}) == 1
    assert fed == []
