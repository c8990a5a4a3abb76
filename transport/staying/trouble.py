"""What is wrong with an address, as a sentence for a person."""

import math
from dataclasses import dataclass

KINDS = ("way", "name", "server", "tls", "certificate", "proxy")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an address.

    patience_s   how long it makes sense that a person waits: 0 where somebody has to change something first
    kind         one of KINDS, for those who count
    """

    text: str
    patience_s: float = math.inf
    kind: str = "way"

    def __str__(self) -> str:
        return self.text
