"""What keeps a study from working, and how far: each who holds it says so for himself."""

from participant.core.events import Held, Holder, Leaving, Loading, Room


class Holds:
    """A study is held, closed (not even finished work goes out), loading, leaving, or short of room for an update."""

    def __init__(self) -> None:
        self._why: dict[Holder, str] = {}  # who holds the study -> why
        self.loading, self.leaving = False, False
        self.has_room = True

    def on(self, event: Held | Loading | Leaving | Room) -> bool:
        """Note it; True when what is under way has to stop."""
        match event:
            case Held():
                self._why.pop(event.by, None)
                if event.reason:
                    self._why[event.by] = event.reason
                return bool(event.reason)
            case Loading():
                self.loading = event.loading
                return event.loading
            case Leaving():
                self.leaving = event.leaving
                return event.leaving
            case Room():
                self.has_room = event.free
                return False

    @property
    def held(self) -> bool:
        return bool(self._why)

    @property
    def idle(self) -> bool:
        """Whether nothing new may be begun."""
        return self.held or self.loading or self.leaving

    @property
    def closed(self) -> bool:
        """Whether not even finished work may go out."""
        return any(by is not Holder.SETUP for by in self._why)

    @property
    def reason(self) -> str:
        """Why nothing new is begun, for the operator; empty when nothing stands in the way."""
        notes = [("leaving", self.leaving), ("the outbox is full", not self.has_room)]
        return "; ".join([*self._why.values(), *(text for text, holds in notes if holds)])
