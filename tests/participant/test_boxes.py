"""Who is given the key of an update: the coordinator always, an auditor of the plan while it is on the roster."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from participant.shell.outgoing import Outgoing
from participant.shell.services import Services
from participant.shell.store import Row
from protocol.digests import record_digest, update_subject
from protocol.sealing import OpenKey, open_body_box
from protocol.signing import SigningKey
from schemas.errors import PeerError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Offer, Role, Roster, Signed
from schemas.roster import Membership, assemble
from tests.schemas.plans import changed

PLAN = changed(storage={"auditors": ("ines", "otto")})
OPENING = {name: OpenKey.generate() for name in ("hub", "ines", "otto")}
ROW = Row(PLAN.study, 7, 3, b"header", bytes(64), bytes(range(32)), bytes(32), size_bytes=10)


def member(name: str, state: KeyState = KeyState.ACTIVE) -> Member:
    key = MemberKey(KeyUse.OPEN, OPENING[name].key_id, OPENING[name].public, state)
    return Member(name, name, (), (Role.COORDINATOR if name == "hub" else Role.AUDITOR,), (key,))


def membership(*members: Member) -> Membership:
    digests = {record_digest(one.to_bytes()): one for one in members}
    return assemble(Roster(4, tuple((one.name, digest) for digest, one in digests.items())), bytes(32), digests)


HUB, INES, OTTO = (member(name) for name in OPENING)


class Sending:
    """A site's way out, on which nothing but the offers is real."""

    def __init__(self, folder: Path, *roster: Member) -> None:
        (folder / f"{ROW.study}.{ROW.sequence}").write_bytes(bytes(ROW.size_bytes))
        self.directory = SimpleNamespace(behind="", membership=membership(*roster))
        store = Mock()
        store.row.return_value = ROW
        services = SimpleNamespace(
            name="clinic", store=store, gate=None, directory=self.directory, signer=SigningKey.generate(),
            writer=self, bodies=self, outbox=folder, metrics=Mock(),
        )  # fmt: skip
        self._out, self._offer = Outgoing(cast(Services, services), PLAN), b""

    async def upload(self, *_: Any, **__: Any) -> tuple[tuple[int, int], ...]:
        return ((0, 1),)

    async def send(self, _topic: str, value: bytes) -> int:
        self._offer = Signed.from_bytes(value).payload
        return 0

    async def offer(self) -> Offer:
        await self._out.send(ROW.sequence, anew=False)
        return Offer.from_bytes(self._offer)


def opens(offer: Offer) -> set[str]:
    """Those to whom the body is sealed; each of them opens it."""
    assert offer.body.boxes
    for box in offer.body.boxes:
        assert open_body_box(OPENING[box.name], (box,), update_subject(ROW.header)) == ROW.body_key
    return {box.name for box in offer.body.boxes}


async def test_coordinator_and_auditors_are_given_the_key(tmp_path: Path) -> None:
    assert opens(await Sending(tmp_path, HUB, INES, OTTO).offer()) == {"hub", "ines", "otto"}


async def test_an_auditor_who_left_is_given_nothing_which_is_said_once_and_holds_up_nobody(tmp_path: Path) -> None:
    site = Sending(tmp_path, HUB, INES, OTTO)
    with capture_logs() as lines:
        await site.offer()
        site.directory.membership = membership(HUB, INES)
        assert opens(await site.offer()) == opens(await site.offer()) == {"hub", "ines"}
    (told,) = lines
    assert (told["event"], told["auditors"]) == ("auditors without a key on the roster are given no updates", ["otto"])


async def test_without_the_coordinators_key_nothing_is_offered(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="no active opening key of hub"):
        await Sending(tmp_path, member("hub", KeyState.RETIRED)).offer()
