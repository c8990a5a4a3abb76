"""Study keys by epoch: who gets which, and that no second key is given out under a number that has one."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coordinator.shell import epochs
from coordinator.shell.condition import condition_of
from coordinator.shell.epochs import Epochs
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.services import Services
from coordinator.shell.strangers import Strangers
from protocol.digests import record_digest
from protocol.rings import OpenRing, SignRing
from protocol.sealing import OpeningKeys, OpenKey, epoch_box, new_body_key, open_epoch_key, seal_epoch_key
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import FederationError
from schemas.plan import Plan
from schemas.records import (
    Announcement,
    BodyAt,
    BodyRef,
    EpochKey,
    KeyState,
    KeyUse,
    Member,
    MemberKey,
    Role,
    Roster,
    Signed,
)
from schemas.roster import Membership, assemble
from tests.schemas.plans import PLAN, changed
from transport.reading.log import Entry

TOPIC = topics.keys(PLAN.study)
SIGNING = SigningKey.generate()
OWN = SignRing.of(SIGNING)
OPENING = {name: OpenKey.generate() for name in ("coordinator", "a", "b", "late")}


def member(name: str, role: Role) -> Member:
    opening = OPENING[name]
    signing = SIGNING if role is Role.COORDINATOR else SigningKey.generate()
    keys = (
        MemberKey(KeyUse.SIGN, signing.key_id, signing.public, KeyState.ACTIVE),
        MemberKey(KeyUse.OPEN, opening.key_id, opening.public, KeyState.ACTIVE),
    )
    return Member(name, name, (), (role,), keys)


MEMBERS = {name: member(name, Role.COORDINATOR if name == "coordinator" else Role.SITE) for name in OPENING}


def membership(*sites: str) -> Membership:
    by_digest = {record_digest(MEMBERS[name].to_bytes()): MEMBERS[name] for name in sorted(("coordinator", *sites))}
    roster = Roster(1, tuple((one.name, digest) for digest, one in by_digest.items()))
    return assemble(roster, bytes(32), by_digest)


class Keys:
    """The study's `keys` topic, which outlives its coordinators."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.values: list[bytes] = []
        self.keys: list[bytes] = []
        patch.setattr(epochs, "to_end", self._read)

    async def _read(self, _connection: object, names: Sequence[str]) -> AsyncIterator[Entry]:
        assert names == [TOPIC]
        for offset, (key, value) in enumerate(zip(self.keys, self.values, strict=True)):
            yield Entry(TOPIC, offset, 0, key, value)

    async def write(self, records: Iterable[tuple[str, bytes, bytes]]) -> None:
        for _, value, key in records:
            self.put(key, value)

    def put(self, key: bytes, value: bytes) -> None:
        self.keys.append(key)
        self.values.append(value)

    def clear(self) -> None:
        self.keys.clear()
        self.values.clear()

    def given(self) -> dict[tuple[int, str], bytes]:
        """(epoch, member) -> the key that the member opens, the newest one."""
        records = [EpochKey.from_bytes(Signed.from_bytes(value).payload) for value in self.values]
        return {(one.epoch, one.member): open_epoch_key(OPENING[one.member], one) for one in records}

    def coordinator(
        self, opening: OpeningKeys = OPENING["coordinator"], plan: Plan = PLAN, signing: SignRing = OWN
    ) -> Epochs:
        """The epochs of a fresh process."""
        services = SimpleNamespace(
            name="coordinator", connection=None, signing=signing, signer=SIGNING, opening=opening, transactions=self,
            membership=membership("a", "b"), strangers=Strangers(CoordinatorMetrics()),
        )  # fmt: skip
        return Epochs(cast(Services, services), plan)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(monkeypatch)


def announced(key: bytes, epoch: int = 0) -> Announcement:
    model = BodyAt(bytes(32), BodyRef(0, 10, ((0, 1),), bytes(32), (epoch_box(key, new_body_key()),)))
    return cast(Announcement, SimpleNamespace(version=1, key_epoch=epoch, model=model))


async def begun(keys: Keys) -> Announcement:
    """Version 1 is announced under epoch 0."""
    first = keys.coordinator()
    await first.ensure(membership("a", "b"))
    return announced(first.key(0))


async def restored(keys: Keys, **how: Any) -> Epochs:
    one = keys.coordinator(**how)
    await one.restore()
    return one


async def refusal(keys: Keys, newest: Announcement | None, **how: Any) -> FederationError:
    """What keeps a successor from writing; nothing was written."""
    before = list(keys.values)
    with pytest.raises(FederationError) as caught:
        (await restored(keys, **how)).require(newest)
    assert keys.values == before
    return caught.value


async def test_who_joins_as_another_leaves_gets_the_new_key_alone_and_who_left_does_not(keys: Keys) -> None:
    newest = await begun(keys)
    one = await restored(keys)
    one.require(newest)
    await one.ensure(membership("b", "late"))
    given = keys.given()
    assert {name for epoch, name in given if epoch == 0} == {"coordinator", "a", "b"}
    assert {name for epoch, name in given if epoch == 1} == {"coordinator", "b", "late"}
    assert (await restored(keys)).current == 1


async def test_an_auditor_reads_what_is_made_while_it_is_on_the_roster(keys: Keys) -> None:
    one = keys.coordinator(plan=changed(storage={"auditors": ("late",)}))
    await one.ensure(membership("a", "late"))
    await one.ensure(membership("a"))
    assert {name for epoch, name in keys.given() if epoch == 0} == {"coordinator", "a", "late"}
    assert {name for epoch, name in keys.given() if epoch == 1} == {"coordinator", "a"}


async def test_a_successor_gives_nobody_a_key_twice(keys: Keys) -> None:
    newest = await begun(keys)
    before = list(keys.values)
    one = await restored(keys)
    one.require(newest)
    await one.ensure(membership("a", "b"))
    assert keys.values == before


async def test_a_key_that_somebody_wrote_over_is_given_once_more_and_no_other_is(keys: Keys) -> None:
    newest = await begun(keys)
    before, given = len(keys.values), keys.given()
    keys.put(b"0/a", b"x")
    keys.put(b"", b"")
    keys.put(b"9/a", keys.values[0])
    for name in ("b", "coordinator"):  # copied under another name
        keys.put(f"0/{name}".encode(), keys.values[keys.keys.index(b"0/a")])
    one = await restored(keys)
    one.require(newest)
    await one.ensure(membership("a", "b"))
    assert sorted(keys.keys[before + 5 :]) == [b"0/a", b"0/b", b"0/coordinator"]
    keys.keys, keys.values = keys.keys[before + 5 :], keys.values[before + 5 :]
    assert keys.given() == given


async def test_an_older_box_copied_to_the_end_does_not_stand_for_a_key_that_cannot_be_opened(keys: Keys) -> None:
    newest = await begun(keys)
    own = keys.keys.index(b"0/coordinator")
    old = EpochKey.from_bytes(Signed.from_bytes(keys.values[own]).payload)
    other = OpenKey.generate()
    box = seal_epoch_key(other.public, PLAN.study, 0, "coordinator", new_body_key())
    keys.put(b"0/coordinator", SIGNING.sign(replace(old, key_id=other.key_id, box=box)).to_bytes())
    (await restored(keys)).require(newest)


async def test_nothing_is_written_on_a_key_topic_that_was_emptied(keys: Keys) -> None:
    newest = await begun(keys)
    keys.clear()
    error = await refusal(keys, newest)
    assert condition_of(error).name == "log-lost"
    assert f"{TOPIC} has no key of epoch 0" in str(error)


async def test_another_key_under_the_number_of_the_announced_one_is_taken_for_none(keys: Keys) -> None:
    newest = await begun(keys)
    keys.clear()
    await begun(keys)
    error = await refusal(keys, newest)
    assert condition_of(error).name == "log-lost"
    assert f"{TOPIC} has another key of epoch 0" in str(error)


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_coordinator_with_another_opening_key_is_told_so_and_begins_no_epoch(
    keys: Keys, is_announced: bool
) -> None:
    newest = await begun(keys)
    error = await refusal(keys, newest if is_announced else None, opening=OpenKey.generate())
    assert condition_of(error).name == "local-trouble"
    assert "does not open with this coordinator's opening key" in str(error)


async def test_a_coordinator_with_a_new_opening_key_opens_what_was_given_to_the_former_one(keys: Keys) -> None:
    newest = await begun(keys)
    one = await restored(keys, opening=OpenRing.of(OpenKey.generate(), OPENING["coordinator"]))
    one.require(newest)
    assert one.current == 0


@pytest.mark.parametrize("is_own", [True, False])
async def test_what_is_signed_with_an_own_key_of_a_roster_that_was_not_read_yet_is_not_passed_over(
    keys: Keys, is_own: bool
) -> None:
    newest, rotated = await begun(keys), SigningKey.generate()
    record = EpochKey.from_bytes(Signed.from_bytes(keys.values[0]).payload)
    keys.put(keys.keys[0], rotated.sign(record).to_bytes())
    if not is_own:
        (await restored(keys)).require(newest)
        return
    error = await refusal(keys, newest, signing=SignRing.of(rotated, SIGNING))
    assert condition_of(error).name == "local-trouble"
    assert "has not read the roster" in str(error)


async def test_before_the_first_version_an_empty_key_topic_is_a_beginning(keys: Keys) -> None:
    one = await restored(keys)
    one.require(None)
    await one.ensure(membership("a"))
    assert (one.current, {name for _, name in keys.given()}) == (0, {"a", "coordinator"})
