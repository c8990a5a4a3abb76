"""The coordinator's settings: one TOML file, see `coordinator.sample.toml`."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.sections import Kafka, Keys, Log, Metrics, check_name


@dataclass(frozen=True, slots=True)
class Lead:
    """How soon a coordinator that says nothing is replaced: after `session_timeout_ms` without a heartbeat."""

    session_timeout_ms: int = 6_000
    heartbeat_ms: int = 500

    def __post_init__(self) -> None:
        if self.heartbeat_ms < 100 or self.session_timeout_ms < 3 * self.heartbeat_ms:
            raise ValueError("heartbeat_ms has to be at least 100, session_timeout_ms at least three heartbeats")


@dataclass(frozen=True, slots=True)
class Settings:
    """`name` is the coordinator's member name; `studies` limits what it runs, empty means every published plan.

    Standbys of one institution share name and keys; each has a `data_dir` and a metrics port of its own.
    """

    name: str
    data_dir: Path
    kafka: Kafka
    keys: Keys
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)
    lead: Lead = field(default_factory=Lead)
    studies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
