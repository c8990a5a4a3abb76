"""A body on its way over a link, for the count of bytes."""

from dataclasses import dataclass
from typing import Literal

from simulation.clock import Timer


@dataclass(slots=True)
class Transfer:
    """`timer` is when it will have arrived; None while that is not planned."""

    direction: Literal["up", "down"]
    began_ms: int
    size_bytes: int
    timer: Timer | None = None
