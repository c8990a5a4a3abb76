"""The participant's settings: one TOML file, see `participant.sample.toml`."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.sections import Kafka, Keys, Log, Metrics, check_name

DIGEST_HEX = 64


@dataclass(frozen=True, slots=True)
class Policy:
    """What this hospital agreed to let out.

    cohort_min         the fewest sites an update may be added up with
    share_evaluations  whether measurements of versions leave at all
    share_metrics      which of the metrics that the approved plan names may leave; "*" is every one of them
    test_min           with fewer test patients nothing leaves that is measured on them; the plan may ask for more
    share_usage        whether bytes, seconds and the number of test patients may leave
    task_words         whether an error in a task's own words may stand in log and state.json; else only in task.log,
                       which stays in the data folder, and its name, file and line in the log
    """

    cohort_min: int = 1
    share_evaluations: bool = True
    share_metrics: tuple[str, ...] = ("*",)
    share_usage: bool = True
    task_words: bool = True
    test_min: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.cohort_min <= 1024:
            raise ValueError(f"cohort_min {self.cohort_min} lies outside 1..1024")
        if self.test_min < 1:
            raise ValueError(f"test_min {self.test_min} must be 1 or more")


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """`fork_server` is the path of a fork server's socket; empty for a trainer process of our own.

    Participants that share a machine share a fork server: it imports torch and the tasks once and forks a trainer for
    each of them, which then holds 16 MB of its own, not 288. It is started by whoever needs it first.
    """

    fork_server: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """One approved study.

    plan         the plan's digest, 64 hexadecimal digits: naming it here is the approval
    task         package.module:attribute where it is installed here; empty for the plan's own entry
    task_folder  the folder with the task's files, where it is not installed
    data         the folder with this site's data, where the task reads one
    options      for the task's loading of data here; the plan's own options cannot be changed
    """

    plan: str
    task: str = ""
    task_folder: Path | None = None
    data: Path | None = None
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            complete = len(bytes.fromhex(self.plan)) * 2 == DIGEST_HEX
        except ValueError:
            complete = False
        if not complete:
            raise ValueError(f"plan `{self.plan:.80}` is no digest of {DIGEST_HEX} hexadecimal digits")

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.plan)


@dataclass(frozen=True, slots=True)
class Settings:
    """`presence_period_s` is how often presence is told at least, `presence_interval_min_s` how often at most.

    outbox_bytes_max   what finished updates may take on this disk, of all studies; while there is no room for one more
                       nothing new is trained, and what is finished is kept
    """

    name: str
    data_dir: Path
    kafka: Kafka
    keys: Keys
    presence_period_s: float = 300.0
    presence_interval_min_s: float = 1.0
    outbox_bytes_max: int = 10 * 1024**3
    metrics: Metrics = field(default_factory=Metrics)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    policy: Policy = field(default_factory=Policy)
    log: Log = field(default_factory=Log)
    studies: tuple[Study, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 0 < self.presence_interval_min_s <= self.presence_period_s:
            raise ValueError("presence_interval_min_s must be above 0 and at most presence_period_s")
        if self.outbox_bytes_max < 1:
            raise ValueError("outbox_bytes_max must be above 0; an outbox without room trains nothing")
        if len({study.digest for study in self.studies}) != len(self.studies):
            raise ValueError("a plan stands twice in [[studies]]")
