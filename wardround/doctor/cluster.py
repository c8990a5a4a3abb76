"""The cluster: topics and their settings, the brokers' own settings, and access rules against the table."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from registry.grants import Grants
from registry.members import SIZE_CAP_BYTES
from registry.on_log import OnLog
from schemas import topics
from schemas.records import Role
from schemas.rights import Resource, Right, is_out
from transport.admin import COMMAND_S, Admin, TopicDifference, TopicSpec, within
from transport.rules import Rules
from transport.settings import PLAINTEXT
from transport.staying.link import Link
from transport.writing.replication import REPLICAS
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import KAFKA, REGISTRAR, Check, Said, Skip, ok, warning, wrong
from wardround.doctor.rights import rights_here, rights_in_studies

T = TypeVar("T")
SHOWN_MAX = 12  # differences that are told one by one
_CHOSEN = frozenset({"retention.bytes"})  # of a site's topics: as the registrar chose when they were made


@dataclass(frozen=True, slots=True)
class Relied:
    """A setting of brokers that this design relies on. `fits` takes what the broker says."""

    setting: str
    wanted: str
    fits: Callable[[str], bool]


def _is(value: str) -> Callable[[str], bool]:
    return lambda found: found.lower() == value.lower()


def _least(value: int) -> Callable[[str], bool]:
    return lambda found: found.isdecimal() and int(found) >= value


RELIED = (
    Relied("auto.create.topics.enable", "false", _is("false")),
    Relied("log.message.timestamp.type", "LogAppendTime", _is("LogAppendTime")),
    Relied("unclean.leader.election.enable", "false", _is("false")),
    Relied("message.max.bytes", "1048576 or more", _least(1024 * 1024)),
    Relied("allow.everyone.if.no.acl.found", "false", _is("false")),
)
RELIED_BY_TLS = (Relied("ssl.client.auth", "required", _is("required")),)
RELIED_BY_THREE = tuple(
    Relied(name, f"{REPLICAS}", _least(REPLICAS))
    for name in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor")
)


def unfit(settings: Mapping[str, str | None], relied: Iterable[Relied]) -> list[str]:
    """Settings of one broker that are not as they have to be; what it keeps to itself is not judged."""
    found = ((one, settings.get(one.setting)) for one in relied)
    return [f"{one.setting}={value} (wanted: {one.wanted})" for one, value in found if value and not one.fits(value)]


async def own_topics(case: Case) -> Said:
    return await _there(case, rights_here(case, ()))


async def study_topics(case: Case) -> Said:
    return await _there(case, rights_in_studies(case))


async def federation_topics(case: Case) -> Said:
    missing, _ = await _compared(case, _wanted(case))
    return wrong(f"missing: {_listed(missing)}") if missing else ok("every topic is there")


async def topic_settings(case: Case) -> Said:
    _, differences = await _compared(case, _wanted(case))
    counted = [one for one in differences if not _is_chosen(one)]
    if counted:
        said = [f"{one.topic}: {one.setting} is {one.actual}, wanted {one.wanted}" for one in counted]
        return wrong(_listed(said))
    return ok("every topic is set as it has to be")


async def broker_settings(case: Case) -> Said:
    found = await _asked(case, lambda admin: admin.broker_settings())
    relied = [*RELIED, *(RELIED_BY_THREE if len(found) >= REPLICAS else ())]
    relied += RELIED_BY_TLS if case.reached.security != PLAINTEXT else ()
    said = [f"broker {node}: {one}" for node, settings in sorted(found.items()) for one in unfit(settings, relied)]
    return wrong(_listed(said)) if said else ok(f"{len(relied)} settings of each broker are as they have to be")


async def authorizer_set(case: Case) -> Said:
    if case.reached.security == PLAINTEXT:
        raise Skip("not needed: without `encryption` no broker can tell members apart")
    found = await _asked(case, lambda admin: admin.broker_settings())
    without = [str(node) for node, settings in sorted(found.items()) if not settings.get("authorizer.class.name")]
    if without:
        return wrong(f"authorizer.class.name is not set on broker {', '.join(without)}")
    return ok("every broker has an authorizer")


async def access_table(case: Case) -> Said:
    if case.reached.security == PLAINTEXT:
        raise Skip("not needed: without `encryption` there are no rules")
    on_log = OnLog(case.registrar)
    on_log.read(case.entries)
    found = await _asked(case, lambda admin: Grants(Rules(admin), on_log).difference())
    if found.missing:
        return wrong(f"missing: {_listed([str(rule) for rule in found.missing])}")
    if beyond := [*map(str, found.beyond), *found.strange]:
        return warning(
            f"beyond the table: {_listed(beyond)}",
            "look whether each is meant; members' go with `wardround registrar acl apply`",
        )
    return ok("the brokers' rules are those of the table")


async def _there(case: Case, rights: list[Right]) -> Said:
    assert case.looking is not None
    names = {right.name for right in rights if right.resource == Resource.TOPIC and not right.prefix}
    seen = (await case.looking.cluster(names)).topics
    if missing := sorted(name for name, topic in seen.items() if topic.missing):
        return wrong(f"missing: {_listed(missing)}")
    return ok(f"{len(names)} topics are there")


def _wanted(case: Case) -> dict[str, Mapping[str, str]]:
    """Every topic that this one may see the settings of, as it should be."""
    studies = {name: config for study in case.plans for name, config in topics.study_topics(study).items()}
    if case.who is not Who.FEDERATION:
        return studies
    wanted = {**topics.federation_topics(), **studies}
    membership = case.directory.membership if case.directory is not None else None
    for name, member in (membership.members if membership is not None else {}).items():
        if is_out(member):
            continue
        wanted |= topics.member_topics(name)
        if Role.SITE in member.roles:
            wanted |= topics.site_topics(name, size_cap_bytes=SIZE_CAP_BYTES)
    return wanted


def _is_chosen(one: TopicDifference) -> bool:
    """Whether the registrar may have chosen otherwise."""
    return one.setting in _CHOSEN or (one.topic == topics.LEAD and one.setting == "partitions")


async def _compared(case: Case, wanted: Mapping[str, Mapping[str, str]]) -> tuple[list[str], list[TopicDifference]]:
    specs = [TopicSpec(name, 1, config) for name, config in wanted.items()]
    return await _asked(case, lambda admin: admin.differences(specs))


async def _asked(case: Case, question: Callable[[Admin], Awaitable[T]]) -> T:
    link = Link(case.reached)
    admin = Admin(case.reached, link)
    try:
        return await within(question(admin), COMMAND_S, link)
    finally:
        await admin.close()


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN_MAX
    return ", ".join(names[:SHOWN_MAX]) + (f", and {more} more" if more > 0 else "")


_BACK = (
    "first ask whether a backup has it: made anew it is empty; `wardround registrar approve` makes a member's, "
    "`wardround study create` a study's"
)
_SET = "set it by kafka-configs.sh --alter --entity-type topics; replicas by kafka-reassign-partitions.sh"

OWN_TOPICS = Check(
    "topics",
    "whether this member's topics are there",
    "A topic is missing that this member needs.",
    _BACK,
    REGISTRAR,
    own_topics,
    ("barred",),
)
STUDY_TOPICS = Check(
    "study-topics",
    "whether the topics of its studies are there",
    "A study's topic is missing.",
    _BACK,
    REGISTRAR,
    study_topics,
    ("plans",),
)
FEDERATION_TOPICS = Check("topics", OWN_TOPICS.tried, OWN_TOPICS.means, _BACK, KAFKA, federation_topics, ("roster",))
SETTINGS = Check(
    "topic-settings",
    "settings, replicas and limits of the topics",
    "A topic is not set as it was made, or lies on too few brokers.",
    _SET,
    KAFKA,
    topic_settings,
    ("plans", "study-access-rules"),
)
FEDERATION_SETTINGS = Check("topic-settings", SETTINGS.tried, SETTINGS.means, _SET, KAFKA, topic_settings, ("roster",))
BROKERS = Check(
    "broker-settings",
    "the brokers' settings that this design relies on",
    "A broker is set otherwise than this design relies on.",
    "change it in server.properties of each broker as it says, and start the brokers one after the other",
    KAFKA,
    broker_settings,
    ("broker",),
)
AUTHORIZER_SET = Check(
    "authorizer",
    "whether the brokers check rights at all",
    "The brokers check nobody's rights: whoever reaches them may read, write and delete everything.",
    "set authorizer.class.name and allow.everyone.if.no.acl.found=false on every broker, and start them again",
    KAFKA,
    authorizer_set,
    ("broker",),
)
TABLE = Check(
    "access-table",
    "the brokers' access rules against the table of rights",
    "The brokers' access rules are not those of the table of rights.",
    "run `wardround registrar acl apply`",
    KAFKA,
    access_table,
    ("registrar", "authorizer"),
)
