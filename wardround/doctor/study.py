"""What stands on the log: whose it is, this member's place on it, its plans, and whether its tasks load here."""

import asyncio
from contextlib import aclosing

from participant.core.approvals import Approvals
from participant.core.place import Place
from participant.settings import Settings as SiteSettings
from participant.shell.setup import check_fits, load_of
from participant.training.client import Trainer
from participant.training.errors import TrainerRefusedError
from participant.training.launch import Launcher, TrainerLostError
from protocol.directory import Directory
from protocol.roster_memory import FILE, Met, RosterMemory
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.records import RECORDS, Role, Signed, kind_of, version_of
from transport.admin import within
from transport.reading.entry import Entry
from transport.reading.log import LogReader, each_to_end, read_to_end
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import AUTHOR, KAFKA, MACHINE, NOBODY, REGISTRAR, Check, Said, Skip, ok, warning, wrong

READ_S = 60.0
TASK_S = 180.0
AHEAD_S = 60.0  # how far the log may be ahead of this clock: more is no delay of a network
TAIL = 50  # records of each study that are looked at


async def log(case: Case) -> Said:
    assert case.link is not None
    assert case.looking is not None
    wanted = [topics.MEMBERS, topics.PLANS]
    seen = (await case.looking.cluster(wanted)).topics
    if any(seen[name].missing for name in wanted):
        raise Skip("it depends on `topics`", on="topics")
    if any(seen[name].forbidden for name in wanted):
        raise Skip("it depends on `access-rules`", on="access-rules")
    case.entries = await within(read_to_end(case.reached, case.link, wanted), READ_S, case.link)
    case.directory = _directory(case, None)
    return ok(f"{len(case.entries)} records of members and plans")


async def registrar(case: Case) -> Said:
    assert case.directory is not None
    directory = case.directory
    if directory.is_anothers:
        return wrong(f"no record is signed by the registrar {directory.registrar_id} whose registrar.pub lies here")
    if not case.entries:
        return warning("the log is empty: nobody was approved yet", "wait until the registrar has approved members")
    return ok(f"the log is of the registrar {directory.registrar_id}")


async def log_age(case: Case) -> Said:
    if case.who is Who.FEDERATION:
        assert case.registrar_sign is not None
        memory = _Met.beside(case.registrar_sign, case.registrar)
    else:
        memory = _Met(case.data_dir / FILE, case.registrar)
    if memory.newest is None:
        return ok("no roster was met here before")
    met = memory.newest.serial
    directory = _directory(case, memory)
    return wrong(directory.behind) if directory.behind else ok(f"not older than the roster of serial {met} met here")


async def roster(case: Case) -> Said:
    assert case.directory is not None
    membership = case.directory.membership
    if membership is None:
        return wrong("there is no complete roster on the log")
    if case.who is Who.FEDERATION:
        count = len(membership.with_role(Role.COORDINATOR))
        said = f"the roster of serial {membership.serial} has {len(membership.members)} members"
        return ok(said) if count == 1 else wrong(f"{said}, {count} of them coordinators")
    (role,) = case.who.roles
    if case.name not in membership.with_role(role):
        return wrong(f"the roster of serial {membership.serial} does not list {case.name} as a {role.name.lower()}")
    if why := Place(case.name, case.signing, case.opening).wrong_key(membership):
        return wrong(why)
    return ok(f"the roster of serial {membership.serial} lists {case.name} under these keys")


async def plans(case: Case) -> Said:
    assert case.directory is not None
    known = case.directory.plans
    if case.who is Who.SITE:
        missing = [one.plan[:16] + "…" for one in case.approved if one.digest not in known]
        if missing:
            return wrong(f"no plan on the log has the digest {', '.join(missing)}")
        return ok(", ".join(sorted(case.plans)) or "no study is approved yet")
    named = case.settings.studies if case.settings is not None else ()
    if lost := [str(one) for one in named if one not in case.plans]:
        return wrong(f"no plan of {', '.join(lost)} stands on the log")
    return ok(", ".join(sorted(case.plans)) or "no study was begun yet")


async def record_versions(case: Case) -> Said:
    assert case.looking is not None
    names = [topics.rounds(study) for study in case.plans]
    seen = (await case.looking.cluster(names)).topics
    readable = [name for name in names if not (seen[name].missing or seen[name].forbidden)]
    case.tails = await _tails(case, readable) if readable else []
    newer = sorted({said for entry in (*case.entries, *case.tails) if (said := _not_understood(entry))})
    if newer:
        return warning(f"on the log, and not read by this software: {', '.join(newer)}")
    return ok(f"{len(case.entries) + len(case.tails)} records are of versions that this software reads")


async def clock_log(case: Case) -> Said:
    newest_ms = max((entry.timestamp_ms for entry in (*case.entries, *case.tails)), default=0)
    ahead_s = newest_ms / 1000 - case.machine.now().timestamp()
    if ahead_s > AHEAD_S:
        return wrong(f"the newest record on the log was written {ahead_s:.0f} s after what it is by this clock")
    return ok("nothing on the log lies in the future of this clock")


async def policy(case: Case) -> Said:
    settings = case.settings
    assert isinstance(settings, SiteSettings)
    refused, kept = list[str](), list[str]()
    for study, plan in sorted(case.plans.items()):
        try:
            Approvals(frozenset([plan.digest]), settings.policy.cohort_min).floor(plan)
        except LocalError as error:
            refused.append(f"{error}; {error.hint}")
        if plan.body_bytes > settings.outbox_bytes_max:
            refused.append(f"{study}: one update has {plan.body_bytes} bytes, more than outbox_bytes_max")
        shares, metric = settings.policy, plan.evaluation.metric
        if not shares.share_evaluations or not {"*", metric} & set(shares.share_metrics):
            kept.append(f"{study}: its metric {metric} does not leave this site")
    if refused:
        return wrong("; ".join(refused))
    return warning("; ".join(kept)) if kept else ok("this site's policy lets every approved plan work")


async def task(case: Case) -> Said:
    settings = case.settings
    assert isinstance(settings, SiteSettings)
    if not case.approved:
        raise Skip("not needed: no study is approved yet (`plans`)")
    trainer = Trainer(Launcher(None, []), task_words=settings.policy.task_words)
    by_digest = {plan.digest: plan for plan in case.plans.values()}
    well, troubles = list[str](), list[str]()
    try:
        for study in case.approved:
            plan = by_digest[study.digest]
            try:
                async with asyncio.timeout(TASK_S):
                    loaded = await trainer.load(load_of(plan, study, case.name))
                check_fits(plan, loaded)
                well.append(f"{plan.study}: {loaded.examples} examples")
            except LocalError as error:
                troubles.append(f"{plan.study}: {error}" + (f"; {error.hint}" if error.hint else ""))
            except (TrainerLostError, TrainerRefusedError) as error:
                troubles.append(f"{plan.study}: {error}")
            except TimeoutError:
                troubles.append(f"{plan.study}: task and data were not loaded in {TASK_S:g} s")
    finally:
        trainer.close()
    return wrong("; ".join(troubles)) if troubles else ok("; ".join(well))


class _Met(RosterMemory):
    """The service's memory, looked at; it is the service that writes there."""

    def meet(self, met: Met, key: bytes | None = None) -> None:
        pass


def _directory(case: Case, memory: RosterMemory | None) -> Directory:
    directory = Directory(case.registrar, memory)
    for entry in case.entries:
        try:
            directory.feed(entry.topic, entry.key, entry.value)
        except PeerError:
            continue  # counted there: see is_anothers
    return directory


async def _tails(case: Case, names: list[str]) -> list[Entry]:
    assert case.link is not None
    reader = LogReader(case.reached, case.link)
    try:
        ends = await within(reader.ends(names), READ_S, case.link)
    finally:
        await reader.close()
    start = {name: max(0, end - TAIL) for name, end in ends.items()}
    found: list[Entry] = []
    async with asyncio.timeout(READ_S), aclosing(each_to_end(case.reached, case.link, names, start=start)) as entries:
        async for entry in entries:
            found.append(entry)
    return found


def _not_understood(entry: Entry) -> str:
    """What kind and version of record this software does not read; empty where it does, or where it is none."""
    if not entry.value:
        return ""
    try:
        payload = Signed.from_bytes(entry.value).payload
    except PeerError:
        return ""
    kind, version = kind_of(payload), version_of(payload)
    known = next((one for one in RECORDS if kind == one.KIND), None)
    if known is None:
        return f"kind {kind} on {entry.topic}"
    if version == known.VERSION or version in getattr(known, "OLDER", {}):
        return ""
    return f"{known.__name__} of version {version} on {entry.topic}"


LOG = (
    Check(
        "log",
        "the log of members and plans is read",
        "The log of members and plans cannot be read.",
        "try again; look into the broker's own log",
        KAFKA,
        log,
        ("barred", "broker", "keys"),
    ),
    Check(
        "registrar",
        "whether the log is of the registrar that is pinned here",
        "The log is another registrar's: another registrar.pub lies here, or this is another federation's broker.",
        "compare the fingerprint of registrar.pub with the one that the registrar reads out; is bootstrap right?",
        REGISTRAR,
        registrar,
        ("log",),
    ),
    Check(
        "log-age",
        "whether the log is as new as what was met here",
        "The log is an older copy: keys count in it that were revoked since.",
        "ask what was put back at the broker; see docs/operations/log-older-than-its-sites.md",
        KAFKA,
        log_age,
        ("registrar",),
    ),
    Check(
        "roster",
        "whether this member is on the roster, under these keys",
        "This member is not on the roster, or is there under other keys.",
        "send the request to the registrar for `wardround registrar approve`, or name the right key files under [keys]",
        REGISTRAR,
        roster,
        ("log-age",),
    ),
    Check(
        "plans",
        "whether the approved plans stand on the log",
        "A plan that is approved or named here does not stand on the log.",
        "compare the digest with the one that the registrar tells; a plan is published by `wardround study create`",
        REGISTRAR,
        plans,
        ("registrar",),
    ),
    Check(
        "record-versions",
        "which versions of records stand on the log",
        "Others write records of a newer version than this software reads.",
        "install the newer version of wardround",
        REGISTRAR,
        record_versions,
        ("registrar",),
    ),
    Check(
        "clock-log",
        "whether the log lies in the future of this clock",
        "This clock is behind the brokers', or theirs is ahead.",
        "have the time synchronised here; if it is, have it synchronised at the brokers",
        MACHINE,
        clock_log,
        ("clock", "record-versions"),
    ),
)
SITE = (
    Check(
        "policy",
        "this site's policy against the approved plans",
        "This site's policy and a plan that it approved do not go together.",
        "change [policy] as it says, or take the study out of the settings",
        NOBODY,
        policy,
        ("plans",),
    ),
    Check(
        "task",
        "a trainer is started and loads each study's task and data",
        "A study's task or data cannot be loaded here.",
        "mend as it says; task.log in the data folder holds what a task printed when it ran",
        AUTHOR,
        task,
        ("plans", "memory", "data-folder"),
    ),
)
