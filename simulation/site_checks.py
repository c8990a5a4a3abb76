"""What a site may do with its updates: name each once, give none up too early, leave none behind.

Knows:    what stands on its disk, and what stands in its way.
"""

from simulation.records import Name, SentOffer
from simulation.site import Site
from simulation.verdict import Broken
from simulation.world import World

OUTBOX_MAX = 2  # updates of a study in a site's outbox


class SiteChecks:
    """All sites of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._named: set[Name] = set()

    def sealed(self, name: Name) -> None:
        site, sequence = name
        if name in self._named and not self._world.sites[site].copied:
            raise Broken("name-twice", f"two updates of {site} are both named {sequence}")
        self._named.add(name)

    def settled(self, name: Name, outcome: str, offer: SentOffer | None) -> None:
        """A site takes an update out of its outbox; `offer` is the first one of it, if there was any."""
        site, sequence = name
        if outcome == "stale" and offer is not None:
            late = self._world.version - offer.fact.base_version > self._world.scene.plan.aggregation.staleness_max
            if not (late or self._world.final):
                raise Broken("lost", f"{site} gives up {sequence}, which is fresh enough")
        if outcome == "ended" and not self._world.final:
            raise Broken("lost", f"{site} gives up {sequence} as if the study had ended")

    def left(self, name: str) -> None:
        """A site that nothing keeps from sending goes when what it finished is settled."""
        site = self._world.sites[name]
        free = site.member and not (site.wish.paused or site.copied)
        if free and site.disk.rows and not site.trouble.disk_full:
            raise Broken("lost", f"{name} leaves with {sorted(site.disk.rows)} in its outbox")

    def look(self) -> None:
        for site in self._world.sites.values():
            if site.alive and site.joined and len(site.core.outbox) > OUTBOX_MAX:
                raise Broken("memory", f"{len(site.core.outbox)} updates of {site.name} wait in its outbox")

    def at_rest(self) -> None:
        """The study is over, and everybody has heard of it."""
        for site in self._world.sites.values():
            if not site.alive or not site.joined:
                raise Broken("no-progress", f"{site.name} is not back")
            if site.core.outbox:
                waiting = [entry.sequence for entry in site.core.outbox]
                raise Broken("lost", f"{site.name} waits for ever for an answer about {waiting}")
            self._at_work(site)

    def _at_work(self, site: Site) -> None:
        """What has passed holds nobody up for ever."""
        if site.core.held:
            raise Broken("no-progress", f"{site.name} is held although nothing is wrong: {site.core.held}")
        version = self._world.version
        if site.store.now.evaluated < version:
            raise Broken("no-progress", f"{site.name} has not measured version {version}, the last one")
