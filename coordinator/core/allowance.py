"""How much of each site is read: who sends more than its share waits, alone, and loses nothing.

Knows:    what was read of each site, against a share that refills with time; time is passed in.
Never:    reads, or looks at what a record says: a flood of good records costs as much as one of bad ones.
Imports:  stdlib.
Source:   a token bucket, RFC 2697; docs/decisions/0041.
"""

from dataclasses import dataclass

RECORDS_S = 100.0  # a record read costs 0.2 to 0.4 ms: one site takes at most a few per cent of a core
BURST = 2000.0  # what a site may have waiting after weeks
BYTES_A_RECORD = 2048  # a larger record costs as several
SKIPPED = 0.02  # one that is only looked at from outside


@dataclass(slots=True)
class _Site:
    left: float
    at_ms: int


class Allowance:
    """One study's sites."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}

    def spend(self, site: str, size_bytes: int, now_ms: int, *, skipped: bool = False) -> None:
        """A record of `size_bytes` was read: it may leave the site in debt, for it was read."""
        one = self._refilled(site, now_ms)
        one.left -= (1 + size_bytes / BYTES_A_RECORD) * (SKIPPED if skipped else 1)

    def wait_ms(self, site: str, now_ms: int) -> int:
        """How long nothing of the site may be read; 0 while it is within its share."""
        one = self._refilled(site, now_ms)
        return 0 if one.left >= 0 else 1 + round(-one.left * 1000 / RECORDS_S)

    def _refilled(self, site: str, now_ms: int) -> _Site:
        one = self._sites.setdefault(site, _Site(BURST, now_ms))
        if now_ms > one.at_ms:
            one.left = min(BURST, one.left + (now_ms - one.at_ms) * RECORDS_S / 1000)
            one.at_ms = now_ms
        return one
