"""The coordinator's settings: one TOML file, see `coordinator.sample.toml`."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.sections import Kafka, Keys, Log, Metrics


@dataclass(frozen=True, slots=True)
class Settings:
    """`name` is the coordinator's member name; `studies` limits what it runs, empty means every published plan."""

    name: str
    data_dir: Path
    kafka: Kafka
    keys: Keys
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)
    studies: tuple[str, ...] = ()
