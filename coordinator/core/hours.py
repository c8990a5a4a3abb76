"""How long a round and a study have lasted: the time of a pause counts towards no deadline and no limit."""


class Hours:
    """Times are the leader's, and passed in."""

    def __init__(self, now_ms: int) -> None:
        self._began_ms = self._round_ms = now_ms
        self._paused_ms: int | None = None

    def round_ms(self, now_ms: int) -> int:
        return now_ms - self._round_ms

    def study_ms(self, now_ms: int) -> int:
        """Since this leader took over."""
        return now_ms - self._began_ms

    def pause(self, now_ms: int, *, paused: bool) -> None:
        """Whether the study is paused from now on."""
        if paused and self._paused_ms is None:
            self._paused_ms = now_ms
        elif not paused and self._paused_ms is not None:
            away_ms, self._paused_ms = now_ms - self._paused_ms, None
            self._round_ms += away_ms
            self._began_ms += away_ms

    def begin_round(self, now_ms: int) -> None:
        self._round_ms = now_ms
        if self._paused_ms is not None:  # the order came while the round before was being written
            self._paused_ms = now_ms
