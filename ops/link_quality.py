"""What a link does to the bytes that pass: how late, how slowly, how faithfully.

Knows:    one capacity each way for all connections of a link; which bytes may be flipped.
Never:    awaits or opens anything; clock and randomness are handed in.
"""

import random
from dataclasses import dataclass

BLOCK_BYTES = 256 * 1024
_PIECES_A_S = 20  # a slow link passes small pieces, as a real one does
_PIECE_BYTES_LEAST = 512
_AROUND_BYTES = 128
_DENSE = 128  # different values among 256 bytes: ciphertext has about 162, text and numbers far fewer


@dataclass(frozen=True, slots=True)
class Quality:
    """How a link behaves while it is up. `up` is towards the target, `down` away from it.

    delay_s         each block comes so much later; a block is at most 256 KiB, like the window of a connection
    up_bytes_s      no more than so many bytes a second, all connections together; None: as fast as it goes
    down_bytes_s
    corrupt_bytes   one bit flipped in about so many bytes of ciphertext, either way; None: never
    """

    delay_s: float = 0.0
    up_bytes_s: float | None = None
    down_bytes_s: float | None = None
    corrupt_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.delay_s < 0 or any(one is not None and one <= 0 for one in self._limits()):
            raise ValueError(f"a link cannot be like this: {self}")

    def _limits(self) -> tuple[float | None, ...]:
        return self.up_bytes_s, self.down_bytes_s, self.corrupt_bytes

    def rate(self, *, up: bool) -> float | None:
        """Bytes a second in one direction."""
        return self.up_bytes_s if up else self.down_bytes_s

    def piece_bytes(self, *, up: bool) -> int:
        """How much is read at once."""
        rate = self.rate(up=up)
        return BLOCK_BYTES if rate is None else min(BLOCK_BYTES, max(_PIECE_BYTES_LEAST, round(rate / _PIECES_A_S)))


PERFECT = Quality()


class Capacity:
    """One direction of a link: who sends next waits until what was sent before has passed."""

    def __init__(self) -> None:
        self._free_s = 0.0

    def wait_s(self, size_bytes: int, rate: float, now_s: float) -> float:
        """Take room for `size_bytes`; how long until they have passed."""
        self._free_s = max(self._free_s, now_s) + size_bytes / rate
        return self._free_s - now_s


def flipped(block: bytes, corrupt_bytes: int, rng: random.Random) -> bytes:
    """`block`, now and then with one bit of ciphertext flipped; any other place is left alone.

    Kafka's answers name hosts and ports: a client with a changed one would go and talk to a stranger.
    """
    if rng.random() >= len(block) / corrupt_bytes:
        return block
    at = rng.randrange(len(block))
    if len(set(block[max(0, at - _AROUND_BYTES) : at + _AROUND_BYTES])) < _DENSE:
        return block
    changed = bytearray(block)
    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)
