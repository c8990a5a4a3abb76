"""Whether the broker answers: one flag, one log line in 30 s while it does not, and the wait before the next try.

Knows:    what its readers and writers saw last.
Never:    opens a connection itself.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from transport.settings import KafkaSettings
from transport.staying.trouble import Trouble

LOG_PERIOD_S = 30.0
DOCTOR = "`wardround doctor --config FILE` tries the way step by step"

_log = structlog.get_logger("transport")
_QUOTAS = {"fetch": "consumer_byte_rate or request_percentage", "produce": "producer_byte_rate or request_percentage"}


@dataclass(slots=True)
class _Throttle:
    """How a quota slows one kind of request down; `unsaid_s` are the waits since the last line that told of it."""

    until_s: float = float("-inf")
    unsaid_s: float = 0.0
    said_at: float | None = None


class Link:
    """Shared by all clients of one process. Not connected until the first answer of the broker."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self.connected = False
        self._settings = settings
        self._clock = clock
        self._random_unit = random_unit
        self._callbacks: list[Callable[[bool], None]] = []
        self._rebuild_callbacks: list[Callable[[str], None]] = []
        self._throttle_callbacks: list[Callable[[str, float], None]] = []
        self._throttles: dict[str, _Throttle] = {}
        self._trouble_callbacks: list[Callable[[Trouble], None]] = []
        self.trouble: Trouble | None = None  # why the broker is not reached, as far as that was found out
        self.stalls: Counter[str] = Counter()  # by kind of client: rebuilds since it last got on
        self._attempts = 0
        self._away_since: float | None = None
        self._logged_at: float | None = None

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call `callback(connected)` now and whenever the state changes; it must not raise or block."""
        self._callbacks.append(callback)
        callback(self.connected)

    def on_rebuild(self, callback: Callable[[str], None]) -> None:
        """Call `callback(kind)` whenever a client that made no progress is replaced; it must not raise or block."""
        self._rebuild_callbacks.append(callback)

    def on_throttle(self, callback: Callable[[str, float], None]) -> Callable[[], None]:
        """Call `callback(kind, seconds)` whenever a quota slows requests down; it must not raise or block.

        Returns what ends that.
        """
        self._throttle_callbacks.append(callback)
        return lambda: self._throttle_callbacks.remove(callback)

    def on_trouble(self, callback: Callable[[Trouble], None]) -> Callable[[], None]:
        """Call `callback(trouble)` whenever it was found out why the broker is not reached; as `on_throttle`."""
        self._trouble_callbacks.append(callback)
        return lambda: self._trouble_callbacks.remove(callback)

    def found_out(self, trouble: Trouble) -> None:
        """Why the broker is not reached, for whoever is told that it is away."""
        self.trouble = trouble
        for callback in list(self._trouble_callbacks):
            callback(trouble)

    def why_given_up(self, seconds: float) -> str:
        """What a command says that waited for the broker in vain."""
        broker = f"broker {self._settings.bootstrap}"
        if self.trouble is not None:
            return f"{broker} not reached: {self.trouble}"
        if self.connected:
            return f"{broker} answers, but nothing came of it in {seconds:g} s; see the broker's own log"
        return f"{broker} not reached in {seconds:g} s; is it running, and is its address right?"

    def throttled(self, kind: str, wait_s: float) -> None:
        """The broker has answered, and by a quota asks to wait with the next request of this kind."""
        now = self._clock()
        throttle = self._throttles.setdefault(kind, _Throttle())
        throttle.until_s = max(throttle.until_s, now + wait_s)
        throttle.unsaid_s += wait_s
        if throttle.said_at is None or now - throttle.said_at >= LOG_PERIOD_S:
            _log.warning(
                "slowed down by a quota of the broker; everything goes on, later",
                broker=self._settings.bootstrap,
                request=kind,
                wait_s=round(wait_s, 3),
                waits_s=round(throttle.unsaid_s, 3),
                hint=f"{_QUOTAS.get(kind, 'request_percentage')} of this client; kafka-configs.sh shows and changes it",
            )
            throttle.said_at, throttle.unsaid_s = now, 0.0
        for callback in list(self._throttle_callbacks):
            callback(kind, wait_s)
        self.up()

    def throttled_until_s(self, kind: str) -> float:
        """Until when no answer of this kind is to be expected, by this link's clock."""
        throttle = self._throttles.get(kind)
        return throttle.until_s if throttle is not None else float("-inf")

    def rebuilt(self, kind: str, reason: str) -> None:
        """A `reader` (for one `topic`, too), `producer`, `commit` or `member` made no progress: it is replaced."""
        self.stalls[kind] += 1
        _log.warning("client replaced", client=kind, reason=reason, broker=self._settings.bootstrap)
        for callback in self._rebuild_callbacks:
            callback(kind)

    def stall_s(self, kind: str, first_s: float) -> float:
        """How long a client of this kind may make no progress: doubles while replacing it does not help."""
        return min(first_s * 2.0 ** min(self.stalls[kind], 30), self._settings.request_timeout_ms / 1000)

    def got_on(self, kind: str) -> None:
        """A client of this kind makes progress."""
        self.stalls[kind] = 0

    def up(self) -> None:
        """The broker has just answered."""
        self._attempts, self.trouble = 0, None
        if self._away_since is not None:
            away_s = round(self._clock() - self._away_since, 1)
            if self._logged_at is not None and self._logged_at >= self._away_since:  # a flapping link fills no log
                _log.info("broker reached again", broker=self._settings.bootstrap, away_s=away_s)
            self._away_since = None
        self._set(True)

    def down(self, reason: BaseException | str) -> None:
        """The broker did not answer, or a connection broke, for `reason`."""
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        if self._logged_at is None or now - self._logged_at >= LOG_PERIOD_S:
            self._logged_at = now
            _log.warning(
                "broker away, trying again",
                broker=self._settings.bootstrap,
                away_s=round(now - self._away_since, 1),
                reason=str(self.trouble or _describe(reason)),
                hint=DOCTOR,
            )
        self._set(False)

    def next_backoff_s(self) -> float:
        """Seconds to wait before the next try: full jitter under a limit that doubles until `backoff_max_s`."""
        limit = min(self._settings.backoff_max_s, self._settings.backoff_min_s * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return limit * self._random_unit()

    async def backoff(self) -> None:
        """Sleep for `next_backoff_s`; the end of a task that was cancelled.

        In a library's own waits an error that comes together with a cancellation can win over it. Every retry for ever
        passes here, so nobody who was told to end goes on.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        await asyncio.sleep(self.next_backoff_s())

    def _set(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            for callback in self._callbacks:
                callback(connected)


def _describe(reason: BaseException | str) -> str:
    if isinstance(reason, str):
        return reason
    return f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
