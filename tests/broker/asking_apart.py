"""`python -m tests.broker.asking_apart coordinator --config FILE`: a coordinator that commits each Request by itself.

As one does whose plan names trustees. Where FILE.die-asked lies beside its settings, the process is killed as soon as
its next Request is on the log, and that file is gone.
"""

import os
import signal
import sys
from pathlib import Path

from coordinator.core import study
from coordinator.core.events import Asked, Cohort
from coordinator.shell.rounds import Rounds
from wardround.cli import main


def death_mark(config: Path) -> Path:
    """The file that has the coordinator of these settings killed at its next Request."""
    return config.with_name(f"{config.name}.die-asked")


def ask_apart() -> None:
    """From now on, in this process."""
    ask, mark = Rounds.ask, death_mark(Path(sys.argv[sys.argv.index("--config") + 1]))

    async def asked_and_maybe_dead(self: Rounds, cohort: Cohort) -> Asked:
        asked = await ask(self, cohort)
        if mark.exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return asked

    study.asks_apart = lambda plan: True  # type: ignore[attr-defined]  # where it is asked
    Rounds.ask = asked_and_maybe_dead  # type: ignore[method-assign]  # the one place to be killed at that no clock hits


if __name__ == "__main__":
    ask_apart()
    sys.exit(main())
