"""The registrar's acts on a real broker, as a program and as a person does them."""

import asyncio
import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.kafka import Broker
from protocol.digests import digest_of, initial_subject
from protocol.directory import Directory
from protocol.sealing import ChunkOpener, OpenKey, open_body_box
from protocol.signing import SigningKey
from protocol.tls.requests import new_tls_key
from registry.keyfiles import MemberCard
from registry.members import NewMember
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import KeyState, Role
from tests.broker.access import authority, reach
from tests.broker.conftest import make_topics
from tests.schemas.plans import changed
from transport.admin import Admin
from transport.bodies import BodyReader
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from wardround.cli import main

pytestmark = pytest.mark.broker
ENTRY = "tests.wardround.tasks.small:task"
PARAMETERS = 200_000  # a body of two chunks
INITIAL = bytes(range(256)) * (4 * PARAMETERS // 256)


def new_keys(name: str) -> tuple[MemberCard, SigningKey, OpenKey]:
    signing, opening = SigningKey.generate(), OpenKey.generate()
    return MemberCard.of(name, name, signing, opening.public, new_tls_key()), signing, opening


def plan_named(study: str) -> Plan:
    return changed(study=study, parameters=PARAMETERS, initial=digest_of([INITIAL]), encoding={"clip_inf": 0.125})


async def directory_of(settings: KafkaSettings, link: Link, key: SigningKey) -> Directory:
    """What every member makes of the log."""
    directory = Directory(key.public)
    for entry in await read_to_end(settings, link, [topics.MEMBERS, topics.PLANS]):
        try:
            directory.feed(entry.topic, entry.key, entry.value)
        except PeerError:
            continue  # of another test's registrar
    return directory


@pytest.fixture
def study() -> str:
    return f"study-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def coordinator() -> tuple[MemberCard, SigningKey, OpenKey]:
    return new_keys(f"lead-{uuid.uuid4().hex[:12]}")


async def test_a_study_stands_on_the_log_with_a_version_0_that_only_the_coordinator_opens(
    settings: KafkaSettings, link: Link, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    key, (card, _, opening), site = SigningKey.generate(), coordinator, new_keys(f"site-{uuid.uuid4().hex[:12]}")
    plan = plan_named(study)
    async with Registrar(settings, key) as registrar:
        await registrar.publish_members([NewMember(card, (Role.COORDINATOR,)), NewMember(site[0], (Role.SITE,))])
        await registrar.publish_roster()
        created = await registrar.create_study(plan, INITIAL)
        assert created.new
    directory = await directory_of(settings, link, key)
    assert directory.membership is not None
    assert directory.membership.coordinator == card.name
    assert directory.membership.sites(study) == (site[0].name,)
    assert directory.plans[plan.digest] == (plan, created.record)
    body = created.record.initial
    assert body is not None
    subject, reader = initial_subject(study), BodyReader(settings, link)
    opener = ChunkOpener(open_body_box(opening, body.boxes, subject), subject, body.count)
    sealed = [chunk async for chunk in reader.chunks(topics.REGISTRAR_BODIES, body.runs)]
    await reader.close()
    assert b"".join(opener.open(index, chunk) for index, chunk in enumerate(sealed)) == INITIAL
    with pytest.raises(PeerError):
        open_body_box(site[2], body.boxes, subject)


async def test_a_study_whose_auditor_is_not_on_the_roster_is_refused_before_anything_of_it_stands(
    settings: KafkaSettings, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    auditor = new_keys(f"auditor-{uuid.uuid4().hex[:12]}")[0]
    plan = changed(
        study=study, parameters=PARAMETERS, initial=digest_of([INITIAL]), storage={"auditors": (auditor.name,)}
    )
    async with Registrar(settings, SigningKey.generate()) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_roster()
        with pytest.raises(LocalError, match=f"auditors {auditor.name} have no opening key on the roster") as refused:
            await registrar.create_study(plan, INITIAL)
        assert "--role auditor" in refused.value.hint
        await registrar.publish_member(auditor, roles=(Role.AUDITOR,))
        await registrar.publish_roster()
        assert (await registrar.create_study(plan, INITIAL)).new


async def test_every_topic_of_sites_and_study_is_there_with_its_settings(
    settings: KafkaSettings, link: Link, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    site = new_keys(f"site-{uuid.uuid4().hex[:12]}")[0]
    async with Registrar(settings, SigningKey.generate()) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_member(site, size_cap_bytes=2**30)
        await registrar.publish_roster()
        await registrar.create_study(plan_named(study), INITIAL)
    admin = Admin(settings, link)
    wanted = {**topics.study_topics(study), **topics.site_topics(site.name, size_cap_bytes=2**30)}
    for topic, config in wanted.items():
        actual = await admin.describe(topic)
        assert {name: actual[name] for name in config} == dict(config)
        assert actual["min.insync.replicas"] == "1"  # on one broker more would let nobody write
    await admin.close()


async def test_a_sites_offers_topic_without_a_cap_gets_one_and_keeps_its_other_settings(
    settings: KafkaSettings, link: Link
) -> None:
    site = new_keys(f"site-{uuid.uuid4().hex[:12]}")[0]
    topic = topics.offers(site.name)
    await make_topics(settings, topic, retention_ms="86400000", min_cleanable_dirty_ratio="0.25")
    async with Registrar(settings, SigningKey.generate()) as registrar:
        await registrar.publish_member(site)
    admin = Admin(settings, link)
    actual, wanted = await admin.describe(topic), topics.site_topics(site.name, size_cap_bytes=20 * 2**30)[topic]
    await admin.close()
    assert [actual[name] for name in ("retention.bytes", "segment.bytes")] == [
        wanted["retention.bytes"],
        wanted["segment.bytes"],
    ]
    assert (actual["retention.ms"], actual["min.cleanable.dirty.ratio"]) == ("86400000", "0.25")


async def test_a_topic_that_was_there_is_left_as_it_is_and_the_line_that_changes_it_is_told(
    settings: KafkaSettings, link: Link, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    await make_topics(settings, topics.keys(study), cleanup_policy="compact")
    with capture_logs() as lines:
        async with Registrar(settings, SigningKey.generate()) as registrar:
            await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
            await registrar.publish_roster()
            await registrar.create_study(plan_named(study), INITIAL)
    (told,) = [line for line in lines if line["event"] == "topic differs"]
    assert (told["topic"], told["setting"], told["wanted"]) == (topics.keys(study), "flush.messages", "1")
    assert told["do"].endswith(f"--entity-name {topics.keys(study)} --add-config flush.messages=1")
    admin = Admin(settings, link)
    assert (await admin.describe(topics.keys(study)))["flush.messages"] != "1"
    await admin.close()


def test_more_replicas_than_the_cluster_has_brokers_are_refused_before_anything_is_made(
    mortal_kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority_in(tmp_path)
    assert main(["registrar", "keys", "--out", str(tmp_path)]) == 0
    assert main(["keys", "new", "lead", "--out", str(tmp_path)]) == 0
    card = ["registrar", "approve", str(tmp_path / "lead.pub"), "--role", "coordinator"]
    broker = ["--key", str(tmp_path / "registrar.sign"), "--broker", mortal_kafka.bootstrap]
    assert main([*card, *broker, "--replication", "2"]) == 2
    told = capsys.readouterr().err
    assert "2 replicas of each topic are asked for, and the cluster has one broker" in told
    assert "leave --replication out for 1" in told
    assert asyncio.run(existing(mortal_kafka)) == set()
    assert main([*card, *broker, "--replication", "1"]) == 0


def authority_in(keys: Path) -> None:
    """The authority of the tests' brokers, as if this folder were their registrar's."""
    keys.mkdir(exist_ok=True)
    authority().save(keys)


async def existing(broker: Broker) -> set[str]:
    settings = reach(broker.bootstrap, "tests")
    admin = Admin(settings, Link(settings))
    try:
        return await admin.existing(topics.federation_topics())
    finally:
        await admin.close()


async def test_creating_again_changes_nothing_and_another_plan_of_that_name_is_refused(
    settings: KafkaSettings, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    key, plan = SigningKey.generate(), plan_named(study)
    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_roster()
        first = await registrar.create_study(plan, INITIAL)
    async with Registrar(settings, key) as registrar:
        again = await registrar.create_study(plan, INITIAL)
        assert (again.new, again.record) == (False, first.record)
        with pytest.raises(LocalError, match="stands on the log already"):
            await registrar.create_study(replace(plan, seed=1), INITIAL)


async def test_an_interrupted_upload_is_no_study_and_the_next_try_makes_one(
    settings: KafkaSettings, link: Link, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    key, plan = SigningKey.generate(), plan_named(study)

    def cut(sent: int, total: int) -> None:
        raise RuntimeError("cut")

    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_roster()
        with pytest.raises(RuntimeError):
            await registrar.create_study(plan, INITIAL, progress=cut)
    assert not (await directory_of(settings, link, key)).plans
    async with Registrar(settings, key) as registrar:
        assert (await registrar.create_study(plan, INITIAL)).new


async def test_a_version_0_that_is_not_the_plans_is_refused(
    settings: KafkaSettings, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey], tmp_path: Path
) -> None:
    path = tmp_path / "x.initial"
    async with Registrar(settings, SigningKey.generate()) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_roster()
        for wrong in (INITIAL[:-4], b"\x01" + INITIAL[1:], INITIAL + INITIAL):
            path.write_bytes(wrong)
            with pytest.raises(LocalError, match="is not the version 0 of this plan"):
                await registrar.create_study(plan_named(study), path)
        with pytest.raises(LocalError, match="cannot be read"):
            await registrar.create_study(plan_named(study), tmp_path / "none")


async def test_a_member_with_new_keys_keeps_the_old_ones_as_retired(
    settings: KafkaSettings, link: Link, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    key, name = SigningKey.generate(), f"site-{uuid.uuid4().hex[:12]}"
    old, new = new_keys(name), new_keys(name)
    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_member(old[0], institution="Clinic")
    async with Registrar(settings, key) as registrar:
        member = await registrar.publish_member(new[0])
        await registrar.publish_roster()
    assert member.institution == "Clinic"
    states = {one.key_id: one.state for one in member.keys}
    assert states[old[1].key_id] == states[old[2].key_id] == KeyState.RETIRED
    membership = (await directory_of(settings, link, key)).membership
    assert membership is not None
    assert membership.opening_key(name).key_id == new[2].key_id
    assert membership.signing_key(name, old[1].key_id) == old[1].public


async def test_a_revoked_member_is_no_site_any_more_and_its_keys_never_return(
    settings: KafkaSettings, link: Link, study: str, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    key, (card, signing, _) = SigningKey.generate(), new_keys(f"site-{uuid.uuid4().hex[:12]}")
    async with Registrar(settings, key) as registrar:
        await registrar.publish_member(coordinator[0], roles=(Role.COORDINATOR,))
        await registrar.publish_member(card)
        assert (await registrar.publish_roster()).serial == 1
        assert (await registrar.publish_roster()).serial == 1, "it says the same"
        assert (await registrar.revoke(card.name)).serial == 2
        assert (await registrar.revoke(card.name)).serial == 2, "it says so already"
        with pytest.raises(LocalError, match="is revoked"):
            await registrar.publish_member(card)
        with pytest.raises(LocalError, match="no member nobody"):
            await registrar.revoke("nobody")
    membership = (await directory_of(settings, link, key)).membership
    assert membership is not None
    assert membership.sites(study) == ()
    with pytest.raises(PeerError) as refused:
        membership.signing_key(card.name, signing.key_id)
    assert refused.value.code == "revoked"


async def test_a_key_of_another_member_is_refused(
    settings: KafkaSettings, coordinator: tuple[MemberCard, SigningKey, OpenKey]
) -> None:
    card, signing, opening = coordinator
    thief = MemberCard.of("thief", "a thief", signing, opening.public, new_tls_key())
    async with Registrar(settings, SigningKey.generate()) as registrar:
        await registrar.publish_member(card, roles=(Role.COORDINATOR,))
        with pytest.raises(LocalError, match=f"belongs to {card.name}"):
            await registrar.publish_member(thief)


async def test_a_roster_without_a_coordinator_is_refused(settings: KafkaSettings) -> None:
    async with Registrar(settings, SigningKey.generate()) as registrar:
        with pytest.raises(LocalError, match="needs one coordinator"):
            await registrar.publish_roster()


def test_a_federation_set_up_by_hand_from_the_first_command_to_its_status(
    mortal_kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, broker = tmp_path / "keys", ["--broker", mortal_kafka.bootstrap]
    registrar = ["--key", str(keys / "registrar.sign"), *broker]
    draft, signed = tmp_path / "plan.toml", tmp_path / "signed"
    authority_in(keys)
    steps = [
        ["registrar", "keys", "--out", str(keys)],
        ["keys", "new", "lead", "--out", str(keys)],
        ["keys", "new", "site-1", "--out", str(keys)],
        ["registrar", "approve", str(keys / "lead.pub"), "--role", "coordinator", *registrar],
        ["registrar", "approve", str(keys / "site-1.pub"), "--institution", "Clinic North", *registrar],
        ["registrar", "acl", "check", *registrar],
        ["plan", "init", ENTRY, "--study", "small", "--site", "site-1", "--out", str(draft)],
        ["plan", "sign", str(draft), "--key", str(keys / "registrar.sign"), "--out", str(signed)],
        ["study", "create", str(signed / "small.plan"), *registrar],
        ["study", "create", str(signed / "small.plan"), *registrar],
    ]
    for step in steps:
        assert main(step) == 0, step
    public = ["--registrar", str(keys / "registrar.pub"), *broker]
    capsys.readouterr()
    assert main(["status", "--json", *public]) == 0
    told = json.loads(capsys.readouterr().out)["studies"]
    assert [(one["study"], one["version"]) for one in told] == [("small", -1)]
    assert [one["site"] for one in told[0]["sites"]] == ["site-1"]
    assert main(["status", "none", *public]) == 2
    opening = ["--key", str(keys / "lead.open")]
    assert main(["audit", "recompute", "small", "--version", "1", *opening, *public]) == 2
    assert "is not announced: there is none yet" in capsys.readouterr().err


def test_a_log_of_another_registrar_is_left_alone(
    mortal_kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = ["--broker", mortal_kafka.bootstrap]
    for name in ("ours", "theirs"):
        keys = tmp_path / name
        authority_in(keys)
        main(["registrar", "keys", "--out", str(keys)])
        main(["keys", "new", "lead", "--out", str(keys)])
    member = ["registrar", "approve", "--role", "coordinator", *broker]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert main([*member, str(theirs / "lead.pub"), "--key", str(theirs / "registrar.sign")]) == 0
    assert main([*member, str(ours / "lead.pub"), "--key", str(ours / "registrar.sign")]) == 2
    assert "belongs to another registrar; nothing was published" in capsys.readouterr().err
