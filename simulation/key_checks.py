"""What must hold of the keys of epochs: one key an epoch, there before anything is announced under it, for members."""

from collections.abc import Iterable

from schemas.records import Announcement
from simulation.epochs import COORDINATOR
from simulation.records import Given
from simulation.verdict import Broken
from simulation.world import World


class KeyChecks:
    """Every key that was given."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys: dict[int, bytes] = {}
        self._holders: dict[int, set[str]] = {}
        self._newest: Announcement | None = None

    def given(self, given: Iterable[Given]) -> None:
        """One transaction on `keys`."""
        for one in given:
            if self._keys.setdefault(one.epoch, one.key) != one.key:
                raise Broken("two-keys", f"members are given two keys of epoch {one.epoch}")
            self._holders.setdefault(one.epoch, set()).add(one.member)

    def announced(self, announced: Announcement) -> None:
        if announced.key_epoch not in self._keys:
            raise Broken("no-key", f"version {announced.version} is announced under epoch {announced.key_epoch}")
        self._newest = announced

    def at_rest(self) -> None:
        """Everybody has heard of the newest roster."""
        if self._newest is None:
            return
        epoch, members = self._newest.key_epoch, self._world.scene.roster.sites
        holders = self._holders[epoch] - {COORDINATOR}
        if left := sorted(holders - members):
            raise Broken("reads-on", f"{left} have left, and have the key of epoch {epoch}, which is the newest")
        if without := sorted(members - holders):
            raise Broken("no-key", f"{without} belong, and have no key of epoch {epoch}, which is the newest")
