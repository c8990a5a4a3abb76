"""What a run consists of before anything runs: its size, the study's plan, one settings file a service.

Knows:    every second site has a trainer of its own, as hospitals do; the others share a fork server.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from protocol.files import write_whole
from registry.members import SIZE_CAP_BYTES
from registry.plans.authoring import AuthoredPlan, author_plan
from schemas.plan import Plan
from tests.faults.tally.task import BETA, RATE, site_name
from wardround.demo.stage import COORDINATOR, Stage

STUDY = "faults"
VERSIONS_KEPT = 1000  # the most a plan allows: all of them, so that each can be recomputed at the end
_VERSIONS = 800  # that a run is paced for


@dataclass(frozen=True, slots=True)
class Round:
    """One run. The seed draws the faults; processes and threads interleave as they will.

    train_s         mean training time; None: short, but so long that every version of the run can be kept
    versions_kept   how far back versions can be recomputed
    bodies_bytes    how much of a site's bodies the broker keeps
    """

    seed: int
    duration_s: float
    sites: int = 8
    coordinators: int = 2
    train_s: float | None = None
    versions_kept: int = VERSIONS_KEPT
    bodies_bytes: int = SIZE_CAP_BYTES

    @property
    def goal(self) -> int:
        return max(2, self.sites // 2)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(site_name(number) for number in range(self.sites))

    @property
    def train_ms(self) -> int:
        return round(1000 * (self.train_s or max(0.8, 1.5 * self.duration_s / _VERSIONS)))


def author(round_: Round, folder: Path) -> AuthoredPlan:
    """Half of the sites close a cohort, two after ten seconds; the table ends soon, so that some work is too late."""
    sites = ", ".join(f'"{name}"' for name in round_.names)
    path = folder / "plan.toml"
    path.write_text(
        f'[study]\nid = "{STUDY}"\ntitle = "A count of what was counted"\n'
        f'[task]\nentry = "tests.faults.tally.task:task"\n'
        f'[task.options]\ntrain-ms = "{round_.train_ms}"\n'
        f"[training]\nlearning_rate = 1.0\nepochs = 1\ntime_limit_s = 10\n"
        f'[aggregation]\npreset = "fedbuff"\ngoal = {round_.goal}\nminimum = 2\ncohort_min = 2\ndeadline_s = 10.0\n'
        f'staleness_max = 8\nserver_optimiser = "momentum"\nserver_lr = {RATE}\nbeta1 = {BETA}\n'
        f"[evaluation]\nevery = 2\nbootstrap = 0\nalone = false\n"
        f"[stop]\nversions = 1000000\n"
        f"[storage]\nversions_kept = {round_.versions_kept}\n"
        f"[members]\nsites = [{sites}]\n"
    )
    return author_plan(path)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is reached, and through what it reaches the broker."""

    name: str  # of the process
    bootstrap: str
    metrics_port: int


def coordinator_file(stage: Stage, place: Place) -> Path:
    """All coordinators are one member with the same keys; each has a data folder of its own."""
    return _write(stage, place, COORDINATOR, "")


def participant_file(stage: Stage, place: Place, plan: Plan, *, forked: bool) -> Path:
    server = stage.socket if forked else ""
    rest = f"[trainer]\nfork_server = {_text(server)}\n[[studies]]\nplan = {_text(plan.digest.hex())}\n"
    return _write(stage, place, place.name, rest)


def _write(stage: Stage, place: Place, member: str, rest: str) -> Path:
    keys = stage.keys
    path = stage.folder / f"{place.name}.toml"
    text = (
        f"name = {_text(member)}\ndata_dir = {_text(stage.folder / place.name)}\n"
        f"[kafka]\nbootstrap = {_text(place.bootstrap)}\ntls = {_text(keys / f'{member}.tls')}\n"
        f"[keys]\nsigning = {_text(keys / f'{member}.sign')}\nopening = {_text(keys / f'{member}.open')}\n"
        f"registrar = {_text(keys / 'registrar.pub')}\n"
        f"[metrics]\nport = {place.metrics_port}\n{rest}"
    )
    write_whole(path, text.encode())
    return path


def _text(value: object) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(str(value))
