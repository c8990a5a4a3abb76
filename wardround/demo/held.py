"""Which sites of a demo wait instead of working, and whether the demo can come to anything without a person.

Knows:    a site that has never begun and stays held is held for its data or its task: nobody mends them meanwhile.
Never:    ends a demo over a site that had begun (it is told and waited for), or that its operator has paused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from participant.core.effects import State
from participant.core.study import LOADING
from participant.shell.control import StudyState, read_state, read_wish
from schemas.errors import LocalError

HELD_S = 5.0  # longer than it takes to start a trainer again that was killed while it loaded


@dataclass(slots=True)
class _Standing:
    begun: bool = False
    reason: str = ""
    since_s: float = 0.0


class HeldSites:
    """Look now and then; each new reason is returned once, to be told."""

    def __init__(self, sites: int = 1) -> None:
        """`sites` share the machine: where they are many, a trainer that was lost takes longer to be had again."""
        self._patience_s = max(HELD_S, sites / 2)
        self._standings: dict[tuple[str, str], _Standing] = {}

    def look(self, folders: Mapping[str, Path], now_s: float) -> list[str]:
        """What is new about the sites with these data folders, in words; `now_s` of a monotonic clock.

        Raises LocalError, naming site and reason, for one that has never begun and is held for 5 s, or longer
        where sites are many.
        """
        told = []
        for site, folder in folders.items():
            state, wish = read_state(folder), read_wish(folder)
            for study in state.studies if state else ():
                standing = self._standings.setdefault((site, study.study), _Standing())
                stands = study.state in (State.PAUSED, State.FAILING) and not wish.pauses(study.study)
                held = study.held if stands else ""
                told += _news(site, standing, held, now_s)
                standing.begun |= _has_begun(study)
                if held and not standing.begun and now_s - standing.since_s >= self._patience_s:
                    raise LocalError(f"{site} cannot begin: {held}", hint=f"mend what {site} loads, then start again")
        return told


def _news(site: str, standing: _Standing, held: str, now_s: float) -> list[str]:
    if held == standing.reason:
        return []
    if not (held and standing.reason):  # another reason does not make the wait a new one
        standing.since_s = now_s
    standing.reason = held
    return [f"{site} is held: {held}" if held else f"{site} goes on"]


def _has_begun(study: StudyState) -> bool:
    return study.state != State.PAUSED and study.held != LOADING
