"""Requests of Kafka's protocol that aiokafka has not, or cannot make for many at once: access rules and quotas.

Source:   https://kafka.apache.org/protocol: DescribeAcls (29), CreateAcls (30), DeleteAcls (31), DescribeClientQuotas
          (48), AlterClientQuotas (49); the versions before those with tagged fields, which Kafka 4 still speaks.
"""

from collections.abc import Iterable, Mapping

from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1, DescribeAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int8, Int16, Int32, Schema, String

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
