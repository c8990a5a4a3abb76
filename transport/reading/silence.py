"""Which topic of a reader is answered no more while the others are: one that a client has lost sight of.

Knows:    when the answer for each topic last changed, as far as somebody asked without a pause.
Never:    suspects a topic because all are silent (the broker is away then), or because nobody asked.
"""

from collections.abc import Mapping

ASKED_S = 5.0  # who looks less often is busy with what came: what he did not ask for is not missing


class Silence:
    """Told again and again when each topic was answered last; a topic that is left out begins anew."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int | None, float]] = {}  # topic -> (stamp, since when)
        self._looked_s = 0.0

    def forget(self) -> None:
        """Begin anew with all of them: there is another client."""
        self._heard.clear()

    def longest(self, stamps: Mapping[str, int | None], now_s: float) -> tuple[str, float]:
        """The topic whose answer is furthest behind the newest one, and by how many seconds; ("", 0) without topics."""
        known = self._heard if now_s - self._looked_s <= ASKED_S else {}
        self._looked_s = now_s
        self._heard = {
            topic: known[topic] if topic in known and known[topic][0] == stamp else (stamp, now_s)
            for topic, stamp in stamps.items()
        }
        if not self._heard:
            return "", 0.0
        newest_s = max(since_s for _, since_s in self._heard.values())
        topic, since_s = min(((topic, since_s) for topic, (_, since_s) in self._heard.items()), key=lambda one: one[1])
        return topic, newest_s - since_s
