"""A study's decision log read strictly, for an audit: the first record of a coordinator that does not hold ends it.

Knows:    plan, members, the chain of rounds, the study keys that one member's opening keys open.
Never:    imports the coordinator, writes to a topic; leaves out what is wrong (audit.study_log does, for display).
"""

from contextlib import suppress
from dataclasses import dataclass, field

from protocol.digests import record_digest
from protocol.directory import Directory
from protocol.registrar_keys import RegistrarKeys
from protocol.roster_memory import RosterMemory
from protocol.rounds import RoundsView
from protocol.sealing import OpeningKeys, open_epoch_key
from protocol.written import ForeignError, read_epoch_key, read_rounds
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import Announcement, Request
from schemas.roster import Membership
from transport.reading.log import Entry, read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link


@dataclass(slots=True)
class AuditLog:
    """One study, read to its end. `made` holds the Announcement that first named each version."""

    plan: Plan
    membership: Membership
    registrar: RegistrarKeys  # as the log names them
    made: dict[int, Announcement] = field(default_factory=dict)
    requests: dict[bytes, Request] = field(default_factory=dict)
    epoch_keys: dict[int, bytes] = field(default_factory=dict, repr=False)
    foreign: int = 0  # records that no coordinator wrote, passed over


async def read_audit_log(
    settings: KafkaSettings,
    link: Link,
    registrar: bytes,
    study: str,
    keys: OpeningKeys,
    memory: RosterMemory | None = None,
) -> AuditLog:
    """Read and check a study; `keys` open the study keys that are sealed to them, `memory` is of the newest roster met.

    Raises LocalError when there is no such study, PeerError where the log breaks a rule.
    """
    directory = Directory(registrar, memory)
    for entry in await read_to_end(settings, link, [topics.MEMBERS, topics.PLANS]):
        with suppress(PeerError):  # not signed by this registrar: of no account, whoever wrote it
            directory.feed(entry.topic, entry.key, entry.value)
    plan = _plan_of(directory, study)
    if directory.behind:
        raise LocalError(directory.behind, hint=directory.to_do)
    if directory.membership is None:
        raise LocalError(
            "the log has no whole roster under this registrar's key", hint="is it the right registrar.pub?"
        )
    log = AuditLog(plan, directory.membership, directory.keys)
    view = RoundsView(study, plan.digest, trustees=len(plan.masking.trustees))
    for entry in await read_to_end(settings, link, [topics.rounds(study), topics.keys(study)]):
        try:
            if entry.topic == topics.rounds(study):
                _take_round(log, view, entry)
            else:
                _take_key(log, entry, keys)
        except ForeignError:
            log.foreign += 1
    return log


def _plan_of(directory: Directory, study: str) -> Plan:
    found = [plan for plan, _ in directory.plans.values() if plan.study == study]
    if not found:
        known = ", ".join(sorted({plan.study for plan, _ in directory.plans.values()})) or "none"
        raise LocalError(f"there is no study {study} on this broker", hint=f"studies under this registrar: {known}")
    return found[0]


def _take_round(log: AuditLog, view: RoundsView, entry: Entry) -> None:
    record = read_rounds(entry.value, log.membership, log.plan.study)
    view.add(record)
    if isinstance(record, Announcement):
        log.made.setdefault(record.version, record)
    elif isinstance(record, Request):
        log.requests[record_digest(record.to_bytes())] = record


def _take_key(log: AuditLog, entry: Entry, keys: OpeningKeys) -> None:
    record = read_epoch_key(entry.value, log.membership, log.plan.study)
    if keys.key(record.key_id) is not None:
        log.epoch_keys[record.epoch] = open_epoch_key(keys, record)
