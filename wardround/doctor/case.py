"""Whom the doctor looks at, and what the checks have found out so far: each check adds what the next ones need."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from coordinator.settings import Settings as CoordinatorSettings
from participant.settings import Settings as SiteSettings
from participant.settings import Study
from protocol.directory import Directory
from schemas.plan import Plan
from schemas.records import Role
from schemas.records.registrar import REGISTRAR_NAME
from transport.dialing import ProxyChoice
from transport.looking import ClusterSeen, Looking
from transport.reading.entry import Entry
from transport.settings import KafkaSettings
from transport.staying.link import Link
from wardround.doctor import machine


class Who(Enum):
    SITE = "site"
    COORDINATOR = "coordinator"
    FEDERATION = "federation"

    @property
    def roles(self) -> tuple[Role, ...]:
        return {Who.SITE: (Role.SITE,), Who.COORDINATOR: (Role.COORDINATOR,), Who.FEDERATION: ()}[self]


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of the operating system; tests pass in other figures.

    synchronised   whether the kernel believes its clock; None where it does not say
    free_bytes     of the disk that a folder lies on; sync_s: how long it takes to have a few MB on it for good
    memory_bytes   what may still be taken; None where the system does not say
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    synchronised: Callable[[], bool | None] = machine.synchronised
    free_bytes: Callable[[Path], int] = machine.free_bytes
    sync_s: Callable[[Path], float] = machine.sync_s
    memory_bytes: Callable[[], int | None] = machine.memory_bytes
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(slots=True)
class Case:
    """`config` for a site or a coordinator; `kafka`, `registrar_sign` and `choice` are given for the federation."""

    who: Who
    config: Path | None = None
    machine: Machine = field(default_factory=Machine)
    kafka: KafkaSettings | None = None
    choice: ProxyChoice | None = None
    registrar_sign: Path | None = None
    passphrase: bytes | None = field(default=None, repr=False)
    settings: SiteSettings | CoordinatorSettings | None = None
    unproxied: str = ""  # why the proxy that is named cannot be used
    signing: tuple[bytes, ...] = ()  # ids of this member's keys
    opening: tuple[bytes, ...] = ()
    registrar: bytes = b""
    link: Link | None = None
    looking: Looking | None = None
    seen: ClusterSeen | None = None
    entries: list[Entry] = field(default_factory=list)
    directory: Directory | None = None
    tails: list[Entry] = field(default_factory=list)  # the ends of the studies' logs

    @property
    def name(self) -> str:
        """Under which the brokers know whoever asks."""
        return self.settings.name if self.settings is not None else REGISTRAR_NAME

    @property
    def reached(self) -> KafkaSettings:
        assert self.kafka is not None  # a check that uses it needs `settings-file`
        return self.kafka

    @property
    def data_dir(self) -> Path:
        assert self.settings is not None
        return self.settings.data_dir

    @property
    def approved(self) -> tuple[Study, ...]:
        """The studies that this site has approved."""
        return self.settings.studies if isinstance(self.settings, SiteSettings) else ()

    @property
    def plans(self) -> dict[str, Plan]:
        """The plans on the log that concern this member, by study."""
        found = self.directory.plans if self.directory is not None else {}
        plans = {plan.study: plan for plan, _ in found.values()}
        if isinstance(self.settings, SiteSettings):
            digests = {study.digest for study in self.settings.studies}
            return {name: plan for name, plan in plans.items() if plan.digest in digests}
        only = self.settings.studies if isinstance(self.settings, CoordinatorSettings) else ()
        return {name: plan for name, plan in plans.items() if not only or name in only}

    async def close(self) -> None:
        looking, self.looking = self.looking, None
        if looking is not None:
            await looking.close()
