"""What is judged of a cluster and of a log, from facts alone."""

import pytest

from protocol.signing import SigningKey
from schemas import topics
from schemas.records import Roster, Signed
from tests.wardround.doctor.cases import machine
from transport.looking import Looking
from transport.reading.entry import Entry
from transport.requests import MetadataWithRights
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link
from wardround.doctor.case import Case, Who
from wardround.doctor.cluster import RELIED, RELIED_BY_THREE, RELIED_BY_TLS, unfit
from wardround.doctor.finding import State
from wardround.doctor.study import record_versions

WELL = {
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
    "message.max.bytes": "1048588",
    "allow.everyone.if.no.acl.found": None,  # Kafka keeps it to itself
    "ssl.client.auth": "required",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
}
ALL = (*RELIED, *RELIED_BY_TLS, *RELIED_BY_THREE)


def test_a_broker_as_it_has_to_be_is_fit() -> None:
    assert unfit(WELL, ALL) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("auto.create.topics.enable", "true"),
        ("log.message.timestamp.type", "CreateTime"),
        ("unclean.leader.election.enable", "true"),
        ("message.max.bytes", "1000"),
        ("allow.everyone.if.no.acl.found", "true"),
        ("ssl.client.auth", "none"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.replication.factor", "1"),
    ],
)
def test_each_setting_that_is_not_is_told_with_what_is_wanted(setting: str, value: str) -> None:
    (said,) = unfit({**WELL, setting: value}, ALL)
    assert said.startswith(f"{setting}={value} (wanted: ")


@pytest.mark.parametrize(
    ("payload", "state"),
    [
        (Roster(1, ()).to_bytes(), State.OK),
        (bytes([0x94, Roster.KIND, 99, 1, 0x90]), State.WARNING),
        (bytes([0x93, 0x7E, 1, 0xC0]), State.WARNING),
    ],
    ids=["known", "a newer version", "a kind that nobody knows"],
)
async def test_records_that_this_software_does_not_read_are_told(payload: bytes, state: State) -> None:
    kafka = KafkaSettings("127.0.0.1:1", "tests", security=PLAINTEXT)
    case = Case(Who.FEDERATION, machine=machine(), kafka=kafka)
    case.looking = _Nothing(kafka, Link(kafka))
    value = Signed(SigningKey.generate().key_id, payload, bytes(64)).to_bytes()
    case.entries = [Entry(topics.MEMBERS, 0, 0, b"roster", value), Entry(topics.MEMBERS, 1, 0, b"x", b"no record")]
    assert (await record_versions(case)).state is state


class _Nothing(Looking):
    async def _ask(self, request: object, node: int | None = None) -> object:
        return MetadataWithRights([]).prepare({3: (8, 8)}).RESPONSE_TYPE(0, [], None, -1, [], 0)
