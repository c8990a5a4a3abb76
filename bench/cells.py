"""What is measured: number of sites, size of the model, versions; and the plan of each cell."""

from dataclasses import dataclass
from pathlib import Path

from registry.plans.authoring import AuthoredPlan, author_plan


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: `versions` counted after `warm` that are not; `target_s` is what it has to stay under."""

    sites: int
    size: str  # an instance of bench.task
    versions: int
    warm: int
    target_s: float | None = None
    server_optimiser: str = "average"

    @property
    def name(self) -> str:
        plain = f"n{self.sites}-{self.size}"
        return plain if self.server_optimiser == "average" else f"{plain}-{self.server_optimiser}"

    def plan(self, folder: Path) -> AuthoredPlan:
        """The cell's plan: all sites in every cohort, no evaluation, two versions kept."""
        names = ", ".join(f'"{name}"' for name in self.names)
        path = folder / f"{self.name}.toml"
        path.write_text(
            f'[study]\nid = "bench-{self.name}"\ntitle = "Cost of the framework"\n'
            f'[task]\nentry = "bench.task:{self.size}"\n'
            f'[training]\noptimiser = "sgd"\nlearning_rate = 1.0\nepochs = 1\n'
            f'[aggregation]\npreset = "fedavg"\ngoal = {self.sites}\nminimum = {self.sites}\n'
            f"cohort_min = {self.sites}\n"
            f'deadline_s = 0\nserver_optimiser = "{self.server_optimiser}"\nserver_lr = 1.0\n'
            f"[encoding]\nclip = {CLIP[self.size]}\n"
            f"[evaluation]\nevery = 1000\nbootstrap = 0\nalone = false\n"
            f"[stop]\nversions = {self.warm + self.versions}\n"
            f"[storage]\nversions_kept = 2\n"
            f"[members]\nsites = [{names}]\n"
        )
        return author_plan(path)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{number:02d}" for number in range(self.sites))


CLIP = {"kb10": 1.0, "mb4": 1.0, "mb40": 8.0, "mb400": 8.0}

CELLS = (
    Cell(10, "kb10", versions=12, warm=40, target_s=0.15),
    Cell(50, "kb10", versions=12, warm=10, target_s=0.5),
    Cell(4, "mb4", versions=12, warm=5),
    Cell(10, "mb4", versions=12, warm=5, target_s=0.5),
    Cell(4, "mb40", versions=8, warm=2),
    Cell(10, "mb40", versions=8, warm=2, target_s=3.2),
    Cell(4, "mb40", versions=4, warm=1, server_optimiser="adam"),
)
FULL = (Cell(4, "mb400", versions=4, warm=1, target_s=14.0),)
