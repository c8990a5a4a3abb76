"""Requests of Kafka's protocol that aiokafka has not, or cannot make for many at once: rules, quotas, one's own rights.

Source:   https://kafka.apache.org/protocol: Metadata (3), DescribeGroups (15), DescribeAcls (29), CreateAcls (30),
          DeleteAcls (31), DescribeClientQuotas (48), AlterClientQuotas (49); the versions before those with tagged
          fields, which Kafka 4 still speaks.
"""

from collections.abc import Iterable, Mapping

from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1, DescribeAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Float64, Int8, Int16, Int32, Schema, String

_TEXT = String("utf-8")
_ANY = 1  # of a pattern, operation or permission, in a question

#: resource type, name, pattern type (3 this name, 4 names that begin so), principal, host, operation, permission
AclRow = tuple[int, str, int, str, str, int, int]


class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]  # aiokafka tells no types
    """Any number of rules in one request."""

    API_KEY = 30

    def __init__(self, rows: Iterable[AclRow]) -> None:
        self._rows = list(rows)

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._rows)


class DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]  # as above
    """Just these rules, in one request."""

    API_KEY = 31

    def __init__(self, rows: Iterable[AclRow]) -> None:
        self._rows = list(rows)

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self._rows)


class DescribeAcls(Request[DescribeAclsRequest_v1]):  # type: ignore[misc]  # as above
    """Every rule there is."""

    API_KEY = 29

    def build(self, request_struct_class: type[DescribeAclsRequest_v1]) -> DescribeAclsRequest_v1:
        return request_struct_class(_ANY, None, _ANY, None, None, _ANY, _ANY)


_WHOM = Array(("entity_type", _TEXT), ("entity_name", _TEXT))


class _QuotasAlteredV0(Response):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 49, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _WHOM))),
    )


class _AlterQuotasV0(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 49, 0
    RESPONSE_TYPE = _QuotasAlteredV0
    _WHAT = Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))
    SCHEMA = Schema(("entries", Array(("entity", _WHOM), ("ops", _WHAT))), ("validate_only", Boolean))


class AlterQuotas(Request[_AlterQuotasV0]):  # type: ignore[misc]  # as above
    """Quotas by user, e.g. {"clinic": {"producer_byte_rate": 1e6}}; a None value takes a quota away."""

    API_KEY = 49

    def __init__(self, quotas: Mapping[str, Mapping[str, float | None]]) -> None:
        self._quotas = quotas

    def build(self, request_struct_class: type[_AlterQuotasV0]) -> _AlterQuotasV0:
        entries = [
            ([("user", user)], [(key, value or 0.0, value is None) for key, value in values.items()])
            for user, values in self._quotas.items()
        ]
        return request_struct_class(entries, False)


class _QuotasDescribedV0(Response):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 48, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        ("entries", Array(("entity", _WHOM), ("values", Array(("key", _TEXT), ("value", Float64))))),
    )


class _DescribeQuotasV0(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 48, 0
    RESPONSE_TYPE = _QuotasDescribedV0
    SCHEMA = Schema(
        ("components", Array(("entity_type", _TEXT), ("match_type", Int8), ("match", _TEXT))), ("strict", Boolean)
    )


class DescribeQuotas(Request[_DescribeQuotasV0]):  # type: ignore[misc]  # as above
    """The quotas of every user that has some."""

    API_KEY = 48

    def build(self, request_struct_class: type[_DescribeQuotasV0]) -> _DescribeQuotasV0:
        any_specified = 2
        return request_struct_class([("user", any_specified, None)], True)


class _MetadataWithRightsV8(Response):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 3, 8
    _PARTITION = Array(
        ("error_code", Int16),
        ("partition", Int32),
        ("leader", Int32),
        ("leader_epoch", Int32),
        ("replicas", Array(Int32)),
        ("isr", Array(Int32)),
        ("offline", Array(Int32)),
    )
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                ("partitions", _PARTITION),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _MetadataV8(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 3, 8
    RESPONSE_TYPE = _MetadataWithRightsV8
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class MetadataWithRights(Request[_MetadataV8]):  # type: ignore[misc]  # as above
    """Brokers and topics, and of each what whoever asks may do there; no topic is made by it."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = sorted(topics)

    def build(self, request_struct_class: type[_MetadataV8]) -> _MetadataV8:
        return request_struct_class(self._topics, False, True, True)


class _GroupWithRightsV3(Response):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 15, 3
    _MEMBER = Array(
        ("member_id", _TEXT), ("client_id", _TEXT), ("client_host", _TEXT), ("metadata", Bytes), ("assignment", Bytes)
    )
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                ("members", _MEMBER),
                ("operations", Int32),
            ),
        ),
    )


class _DescribeGroupsV3(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY, API_VERSION = 15, 3
    RESPONSE_TYPE = _GroupWithRightsV3
    SCHEMA = Schema(("groups", Array(_TEXT)), ("include_operations", Boolean))


class GroupWithRights(Request[_DescribeGroupsV3]):  # type: ignore[misc]  # as above
    """One group of consumers, and what whoever asks may do there; aiokafka 0.14 reads the answer as an older one."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_DescribeGroupsV3]) -> _DescribeGroupsV3:
        return request_struct_class([self._group], True)
