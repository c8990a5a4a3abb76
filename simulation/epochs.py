"""Who may read models: the key of an epoch, given to each member; a new epoch begins when somebody leaves.

Knows:    which epoch is current and who has its key, as it stands on the `keys` topic.
Source:   coordinator/shell/epochs.py, which it stands for.
"""

import hashlib
from collections.abc import Iterable

from simulation.records import Given

COORDINATOR = "coordinator"  # all its processes are one member


class Epochs:
    """The epochs of a study as one leader knows them; `maker` names its life, so that no two make the same key."""

    def __init__(self, given: Iterable[Given], maker: str) -> None:
        self._maker = maker
        self._keys: dict[int, bytes] = {}
        self._holders: set[tuple[int, str]] = set()
        self.note(given)

    @property
    def current(self) -> int:
        return max(self._keys, default=-1)

    def wanted(self, sites: Iterable[str]) -> list[Given]:
        """What has to be given for all of `sites` to have the current key, and nobody else."""
        members = {*sites, COORDINATOR}
        holders = {member for epoch, member in self._holders if epoch == self.current}
        epoch = self.current + (self.current < 0 or bool(holders - members))
        key = self._keys.get(epoch) or hashlib.sha256(f"{self._maker} {epoch}".encode()).digest()
        return [Given(epoch, member, key) for member in sorted(members) if (epoch, member) not in self._holders]

    def note(self, given: Iterable[Given]) -> None:
        """These stand on the log."""
        for one in given:
            self._keys[one.epoch] = one.key
            self._holders.add((one.epoch, one.member))
