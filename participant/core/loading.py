"""When a study's task and data are loaded, and what it means that they cannot be.

Knows:    how often that failed in a row, and whether the operator lets anything begin.

What may come right by itself is tried again for ever: a share is mounted a minute after the machine has started, a
process is killed for memory. A mistake of the settings ends the service, where a person may be at the keyboard and
nothing waits for it: at the first try of its only study, with no finished work in the outbox.
"""

from collections.abc import Callable

from participant.core.pauses import Pauses

_KIND = "load"


class Loading:
    """Tries to load one study, with growing pauses between them."""

    def __init__(self, *, only: bool, jitter: Callable[[], float]) -> None:
        """`only`: there is no other study here that the service would go on for; `jitter` gives numbers in [0, 1)."""
        self._only, self._pauses = only, Pauses(jitter)
        self._first = True
        self._rests = False

    @property
    def failures(self) -> int:
        """How many tries have failed in a row."""
        return self._pauses.failures(_KIND)

    def failed(self, now_ms: int, *, mends: bool, undecided: bool, took_ms: int = 0) -> bool:
        """Note a try that failed; returns whether the service has to end with it.

        mends      whether it may come right without other settings
        undecided  whether finished work of this study is in the outbox
        took_ms    how long the trainer was busy with it: others wait for it, so the next try waits at least as long
        """
        first, self._first = self._first, False
        self._pauses.failed(_KIND, now_ms, took_ms=took_ms)
        return first and self._only and not mends and not undecided

    def loaded(self) -> None:
        """It came off; what fails later never ends the service."""
        self._first = False
        self._pauses.passed(_KIND)

    def wished(self, *, rests: bool) -> None:
        """The operator said something. `rests`: nothing may begin; otherwise a failed try is made again at once."""
        self._rests = rests
        if not rests:
            self._pauses.passed(_KIND)

    def wait_ms(self, now_ms: int) -> int | None:
        """How long until the next try; None while only the operator can end the wait."""
        if self._rests:
            return None
        until_ms = self._pauses.next_ms(now_ms)
        return 0 if until_ms is None else until_ms - now_ms
