"""What `/metrics` of the coordinator tells, by study; labels are bounded: sites of the roster, outcomes, codes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_HOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)
_STALENESS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class CoordinatorMetrics:
    """One registry; every metric begins with `wardround_coordinator_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connected = self._gauge("connected", "1 while the broker answers")
        self.certificate_days_left = self._gauge(
            "certificate_days_left",
            "Until the certificate for TLS runs out; it is renewed in the last third of its life",
        )
        self.troubles = self._counter(
            "connection_troubles", "Times it was found out why no broker is reached, by kind", "kind"
        )
        self.rebuilds = self._counter("client_rebuilds", "Clients replaced as they made no progress", "client")
        self.log_lines_lost = self._counter("log_lines_lost", "Lines of the log that could not be written")
        self.throttled_s = self._counter("throttled_seconds", "Waits that a quota of the broker asked for", "request")
        self.leads = self._gauge("leads", "1 while this process runs the studies of a lead partition", "partition")
        self.takeovers = self._counter("takeovers", "Times this process began to lead a partition", "partition")
        self.fenced = self._counter("fenced", "Times it was overtaken, or had to ask the log anew", "partition")
        self.heartbeat_age_s = self._gauge("lead_heartbeat_age_seconds", "Since the broker last heard this member")
        self.loop_hold_s = self._histogram(
            "event_loop_hold_seconds", "By how much a task of the event loop woke too late", _HOLDS
        )
        self.loop_hold_max_s = self._gauge("event_loop_hold_max_seconds", "The most of that since the start")
        self._loop_hold_max_s = 0.0
        self.condition = self._gauge("study_condition", "1 for the condition a study is in", "study", "condition")
        self.offers_lost = self._counter("offers_lost", "Records of sites gone before they were read", "study", "site")
        self.bodies_refused = self._counter(
            "bodies_refused", "Times the broker did not let it read a site's update", "study", "site"
        )
        self.topics_missing = self._gauge("topics_missing", "Sites whose topics do not exist", "study")
        self.broker_errors = self._counter("broker_errors", "What the broker answered instead of storing", "error")
        self.version = self._gauge("version", "Newest announced version", "study")
        self.round_age_s = self._gauge("round_age_seconds", "Age of the running round", "study")
        self.buffer = self._gauge("buffer_updates", "Undecided updates, by phase", "study", "phase")
        self.goal = self._gauge("goal_updates", "Updates that close a cohort at once", "study")
        self.final = self._gauge("final", "1 once the study has ended", "study")
        self.paused = self._gauge("paused", "1 while an operator has paused the study", "study")
        self.excluded = self._gauge("excluded_sites", "Sites that an operator has excluded", "study")
        self.suspects = self._gauge("suspect_sites", "Sites whose last cohort failed", "study")
        self.commands = self._counter("commands", "Operators' commands read, by outcome", "study", "outcome")
        self.site_seen = self._gauge("site_last_seen_timestamp_seconds", "Newest record of a site", "study", "site")
        self.offers = self._counter(
            "offers", "Offers decided or set aside, by outcome and reason", "study", "outcome", "reason"
        )
        self.records_refused = self._counter(
            "records_refused", "Records of a site that could not be believed", "study", "site", "reason"
        )
        self.site_waits = self._gauge("site_waits", "1 while a site that sent too much is not read", "study", "site")
        self.site_slowed = self._counter("site_slowed", "Times a site had sent more than its share", "study", "site")
        self.foreign = self._counter(
            "foreign_records", "Records passed over that the topic's one writer did not write", "study", "topic"
        )
        self.body_bytes = self._counter("body_bytes", "Bytes of update bodies fetched", "study")
        self.model_bytes = self._counter("model_bytes", "Bytes of models and states written", "study")
        self.staleness = self._histogram("staleness_versions", "Staleness of counted updates", _STALENESS, "study")
        self.fetch_s = self._histogram("body_fetch_seconds", "Fetching and verifying one body", _SECONDS, "study")
        self.aggregation_s = self._histogram("aggregation_seconds", "Server step and digests", _SECONDS, "study")
        self.transaction_s = self._histogram("transaction_seconds", "One transaction", _SECONDS, "study")

    def held(self, seconds: float) -> None:
        """The event loop was held so long."""
        self.loop_hold_s.observe(seconds)
        if seconds > self._loop_hold_max_s:
            self._loop_hold_max_s = seconds
            self.loop_hold_max_s.set(seconds)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"wardround_coordinator_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"wardround_coordinator_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"wardround_coordinator_{name}", text, labels, buckets=buckets, registry=self.registry)
