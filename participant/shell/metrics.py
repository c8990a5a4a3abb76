"""What `/metrics` of a participant tells its own operators; nothing of it leaves the site by itself.

Labels are bounded: studies that were approved, states, outcomes and reasons.
"""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from participant.core.effects import State

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)


class ParticipantMetrics:
    """One registry; every metric begins with `wardround_participant_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shown: dict[str, State] = {}
        self.connected = self._gauge("connected", "1 while the broker answers")
        self.certificate_days_left = self._gauge(
            "certificate_days_left",
            "Until the certificate for TLS runs out; it is renewed in the last third of its life",
        )
        self.state = self._gauge("state", "1 for what the site does in a study", "study", "state")
        self.failures = self._gauge(
            "failures_in_a_row", "How often work has failed since it last came off", "study", "work"
        )
        self.outbox = self._gauge("outbox_updates", "Finished updates not decided yet", "study")
        self.outbox_age_s = self._gauge("outbox_age_seconds", "Age of the oldest of them", "study")
        self.outbox_bytes = self._gauge("outbox_bytes", "What the outbox holds, and what is being made for it")
        self.outbox_full = self._gauge("outbox_full", "1 while nothing is trained for want of room", "study")
        self.version = self._gauge("version", "Newest version fetched", "study")
        self.progress = self._gauge("training_progress_ratio", "Share done of the running training", "study")
        self.training_s = self._histogram("training_seconds", "Training of one update", "study")
        self.trainings_failed = self._counter(
            "trainings_failed", "Work of the trainer that failed, by reason", "study", "reason"
        )
        self.records = self._gauge("records", "Records that the data contract was held against", "study")
        self.records_bad = self._gauge("records_bad", "Those of them that were set aside", "study")
        self.records_set_aside = self._gauge(
            "records_set_aside", "Records set aside, by column and rule", "study", "column", "rule"
        )
        self.versions_fetched = self._counter("versions_fetched", "Model versions fetched", "study")
        self.updates = self._counter("updates", "Updates put into the outbox", "study")
        self.updates_clipped = self._counter("updates_clipped", "Those of them that the L2 clip shortened", "study")
        self.decided = self._counter(
            "updates_decided", "Updates decided, by outcome and reason", "study", "outcome", "reason"
        )
        self.bytes = self._counter("bytes", "Bytes of bodies and records", "study", "direction")
        self.refused = self._counter("records_refused", "Records of others that could not be believed", "reason")
        self.task_output_bytes = self._counter(
            "task_output_bytes", "What tasks printed: kept here, or left out", "fate"
        )
        self.trainers_lost = self._counter("trainers_lost", "Trainers that died or were killed", "study", "reason")
        self.alarms = self._counter("alarms", "Things on the log that must not be", "study")
        self.troubles = self._counter(
            "connection_troubles", "Times it was found out why no broker is reached, by kind", "kind"
        )
        self.rebuilds = self._counter("client_rebuilds", "Clients replaced as they made no progress", "client")
        self.log_lines_lost = self._counter("log_lines_lost", "Lines of the log that could not be written")
        self.throttled_s = self._counter("throttled_seconds", "Waits that a quota of the broker asked for", "request")
        self.broker_errors = self._counter("broker_errors", "What the broker answered instead of storing", "error")

    def show(self, study: str, state: State) -> None:
        """One state is 1, the others are 0."""
        before = self._shown.get(study)
        for each in State if before is None else (before,):
            self.state.labels(study, each.value).set(0)
        self.state.labels(study, state.value).set(1)
        self._shown[study] = state

    def watch_outbox(self, study: str, oldest_ms: Callable[[], int | None]) -> None:
        """Ask for the oldest undecided update, in unix milliseconds, whenever metrics are read."""

        def age() -> float:
            since = oldest_ms()
            return 0.0 if since is None else max(0.0, time.time() - since / 1000)

        self.outbox_age_s.labels(study).set_function(age)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"wardround_participant_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"wardround_participant_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"wardround_participant_{name}", text, labels, buckets=_SECONDS, registry=self.registry)
