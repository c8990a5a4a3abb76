"""What was found when a task was tried: what is well, what to look at, what would fail at hospitals.

Never:    shows the text of an error that patients of the author's may be in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from learning.blame import in_short, in_words, place_of_error, place_of_method
from schemas.errors import FederationError

T = TypeVar("T")

Level = Literal["ok", "warning", "fault"]
_MARKS: dict[Level, str] = {"ok": "ok", "warning": "warning", "fault": "FAULT"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was tried, what came of it, and what to do about it."""

    level: Level
    what: str
    said: str
    todo: str = ""


class Findings:
    """Findings as they come up, each once. `private`: an error's text may hold a patient now."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the task's code: the author's lines."""
        self.folder, self.private = folder, False
        self.found: list[Finding] = []

    def attempt(self, what: str, do: Callable[[], T]) -> T | None:
        """The result; None after a fault, which is said with the author's line."""
        try:
            return do()
        except FederationError as error:
            place = place_of_error(error, self.folder)
            own = f" ({place})" if place.split(",")[0].endswith(".py") and self._is_own(place) else ""
            self.say("fault", what, f"{error}{own}", getattr(error, "hint", ""))
        except Exception as error:
            self.say("fault", what, self.words(error))
        return None

    def _is_own(self, place: str) -> bool:
        return (self.folder / place.split(",")[0]).is_file()

    def words(self, error: BaseException) -> str:
        said = in_short(error) if self.private else in_words(error)
        return f"{said} ({place_of_error(error, self.folder)})"

    def written(self, task: object, *names: str) -> str:
        places = [place for name in names if (place := place_of_method(task, name, self.folder))]
        return f" ({places[0]})" if places else ""

    def say(self, level: Level, what: str, said: str, todo: str = "") -> None:
        finding = Finding(level, what, said, todo)
        if finding not in self.found:
            self.found.append(finding)


def finding_lines(findings: list[Finding]) -> list[str]:
    """As a table for people, faults where they were met."""
    width = max((len(one.what) for one in findings), default=0)
    lines = []
    for one in findings:
        lines.append(f"{_MARKS[one.level]:<8} {one.what:<{width}}  {one.said}")
        if one.todo:
            lines.append(f"{'':<8} {'':<{width}}  → {one.todo}")
    return lines


def count(findings: list[Finding], level: Level) -> int:
    return sum(one.level == level for one in findings)
