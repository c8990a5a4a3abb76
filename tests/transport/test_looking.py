"""What a client asks about its own rights, as bytes; and how the answers are read."""

import pytest
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.protocol.coordination import FindCoordinatorResponse_v1

from schemas.errors import TransientError
from transport import looking
from transport.looking import ClusterSeen, Looking, may
from transport.requests import GroupWithRights, MetadataWithRights
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:1", "tests", security=PLAINTEXT)
NOT_TOLD = -(2**31)


class Answers(Looking):
    """Gives out answers instead of asking."""

    def __init__(self, *answers: object) -> None:
        super().__init__(SETTINGS, Link(SETTINGS))
        self.answers, self.asked = list(answers), list[object]()

    async def _ask(self, request: object, node: int | None = None) -> object:
        self.asked.append((type(request).__name__, node))
        return self.answers.pop(0)


def test_topics_are_asked_for_with_their_rights_and_none_is_made() -> None:
    request = MetadataWithRights({"b", "a"}).prepare({3: (0, 13)})
    assert request.encode() == bytes.fromhex("00000002 0001") + b"a" + b"\0\1b" + bytes([0, 1, 1])


def test_a_group_is_asked_for_with_its_rights() -> None:
    request = GroupWithRights("lead").prepare({15: (0, 6)})
    assert request.encode() == bytes.fromhex("00000001 0004") + b"lead" + bytes([1])


def test_a_bit_field_holds_operations_by_their_number_and_one_that_was_not_told_holds_none() -> None:
    assert [number for number in range(16) if may(1 << 3 | 1 << 8, number)] == [3, 8]
    assert [number for number in range(16) if may(NOT_TOLD, number)] == []


async def test_a_topic_that_is_missing_is_told_from_one_that_is_not_allowed() -> None:
    response = MetadataWithRights([]).prepare({3: (8, 8)}).RESPONSE_TYPE
    partition: tuple[object, ...] = (0, 0, 1, 0, [1, 2], [1], [])
    topics = [
        (0, "here", False, [partition], 8),
        (UnknownTopicOrPartitionError.errno, "gone", False, [], 264),
        (TopicAuthorizationFailedError.errno, "closed", False, [], NOT_TOLD),
    ]
    wire = response(0, [(1, "kafka-1", 9093, None)], "id", 1, topics, 0).encode()
    seen = await Answers(response.decode(wire)).cluster(["here", "gone", "closed"])
    assert isinstance(seen, ClusterSeen)
    assert seen.brokers == {1: "kafka-1:9093"}
    assert (seen.topics["here"].operations, seen.topics["here"].replicas) == (8, 2)
    assert (seen.topics["gone"].missing, seen.topics["gone"].forbidden) == (True, False)
    assert (seen.topics["closed"].missing, seen.topics["closed"].forbidden) == (False, True)


async def test_a_group_is_asked_at_its_coordinator_and_again_while_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking, "_AGAIN_S", 0.0)
    none, found = _coordinator(15, -1), _coordinator(0, 7)
    response = GroupWithRights("lead").prepare({15: (3, 3)}).RESPONSE_TYPE
    answer = response.decode(response(0, [(0, "lead", "Dead", "", "", [], 264)]).encode())
    look = Answers(none, none, found, answer)
    assert await look.group("lead") == 264
    assert look.asked[-1] == ("GroupWithRights", 7)


async def test_a_group_or_an_id_that_is_not_allowed_gives_no_right() -> None:
    assert await Answers(_coordinator(30, -1)).group("lead") == 0
    assert await Answers(_coordinator(53, -1)).may_begin("wardround.lead.0") is False
    assert await Answers(_coordinator(0, 1)).may_begin("wardround.lead.0") is True


async def test_before_it_is_open_nothing_can_be_asked() -> None:
    with pytest.raises(TransientError):
        await Looking(SETTINGS, Link(SETTINGS)).cluster([])


def _coordinator(code: int, node: int) -> object:
    return FindCoordinatorResponse_v1(0, code, None, node, "", -1)
