"""Tells the federation what this site is doing: on a change, but not too often, and now and then anyway."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from participant.core.effects import State
from participant.shell.gate import Gate, What
from participant.shell.store import Left, Store
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Presence, SiteState, Trouble
from transport.errors import TopicMissing
from transport.writing.writer import Writer

LEDGER_PERIOD_S = 60.0
AGAIN_S = 30.0  # how long until a topic that is missing is tried again
_STATES = {
    State.AWAY: SiteState.IDLE,  # nobody reads this while we are away
    State.IDLE: SiteState.IDLE,
    State.FETCHING: SiteState.FETCHING,
    State.TRAINING: SiteState.TRAINING,
    State.SENDING: SiteState.SENDING,
    State.PAUSED: SiteState.PAUSED,
    State.WAITING: SiteState.WAITING,
    State.LOADING: SiteState.LOADING,
    State.FAILING: SiteState.FAILING,
}

log = structlog.get_logger()


class PresenceTeller:
    """Keeps the newest state of every study and sends them together."""

    def __init__(
        self,
        site: str,
        software: str,
        *,
        signer: Callable[[], SigningKey],
        writer: Writer,
        gate: Gate,
        store: Store,
        period_s: float,
        interval_min_s: float,
        believed: Callable[[], bool] = lambda: True,
    ) -> None:
        """`signer`: the key that signs now; `believed`: whether the roster knows it; what nobody believes is untold."""
        self._site, self._software, self._signer, self._writer = site, software, signer, writer
        self._gate, self._store, self._period_s, self._interval_min_s = gate, store, period_s, interval_min_s
        self._believed = believed
        self._states: dict[str, SiteState] = {}
        self._troubles: dict[tuple[str, Trouble], int] = {}
        self._told: dict[str, SiteState] | None = None
        self._changed = asyncio.Event()
        self._messages, self._bytes = 0, 0
        self._listed_s: float | None = None
        self._complained = False

    def show(self, study: str, state: State) -> None:
        """Note what is being done in a study; it is told soon."""
        self._states[study] = _STATES[state]
        self._changed.set()

    def show_trouble(self, study: str, what: Trouble, count: int) -> None:
        """Note how often something has failed; it is told with the next state."""
        self._troubles[study, what] = count

    def lost_trainer(self, study: str) -> None:
        """Note that a trainer was lost while it worked for a study."""
        self.show_trouble(study, Trouble.TRAINER, self._troubles.get((study, Trouble.TRAINER), 0) + 1)

    async def run(self) -> None:
        """Tell until cancelled. Without this site's own topic nobody hears it; that is said, and tried again."""
        while True:
            try:
                async with asyncio.timeout(self._period_s):
                    await self._changed.wait()
                due = self._states != self._told
            except TimeoutError:
                due = True
            self._changed.clear()
            if due:
                await asyncio.sleep(self._interval_min_s if await self._told_at_all() else AGAIN_S)

    async def _told_at_all(self) -> bool:
        try:
            await self._tell()
        except LocalError as error:
            if not self._complained:
                missing = isinstance(error, TopicMissing) and not error.forbidden
                what = (
                    "this site's topic is missing, waiting for it"
                    if missing
                    else "presence cannot be told, trying again"
                )
                log.error(what, reason=str(error), hint=error.hint)
            self._complained = True
            self._changed.set()
            return False
        self._complained = False
        return True

    async def farewell(self, seconds: float) -> None:
        """Tell the last states, if the broker takes them within `seconds`."""
        with contextlib.suppress(TimeoutError, LocalError):
            async with asyncio.timeout(seconds):
                await self._tell()

    async def _tell(self) -> None:
        if not self._believed():
            return
        told = dict(self._states)
        allowed = self._gate.let_out(What.PRESENCE, {study: int(state) for study, state in told.items()})
        states = tuple((study, int(allowed[study])) for study in sorted(allowed))
        troubles = {study: self._failing(study) for study in allowed}
        listed = tuple((study, what, count) for study in sorted(troubles) for what, count in troubles[study])
        value = self._signer().sign(Presence(self._site, states, self._software, listed)).to_bytes()
        self._list(len(value))
        await self._writer.send(topics.offers(self._site), value)
        self._told = told

    def _failing(self, study: str) -> list[tuple[int, int]]:
        """(Trouble, how often) of one study, as far as policy lets it out."""
        counts = {what.name.lower(): n for (of, what), n in self._troubles.items() if of == study and n}
        allowed = self._gate.let_out(What.PRESENCE, counts)
        return [(what, int(allowed[what.name.lower()])) for what in Trouble if what.name.lower() in allowed]

    def _list(self, size_bytes: int) -> None:
        """One ledger line a minute, for all studies together: each message says nothing but states."""
        self._messages, self._bytes = self._messages + 1, self._bytes + size_bytes
        if self._listed_s is None or time.monotonic() - self._listed_s >= LEDGER_PERIOD_S:
            self.list_now()

    def list_now(self) -> None:
        """Put what was told since the last line into the ledger."""
        if self._messages:
            self._store.note_left(Left("", b"", What.PRESENCE.value, self._bytes, messages=self._messages))
        self._messages, self._bytes, self._listed_s = 0, 0, time.monotonic()
