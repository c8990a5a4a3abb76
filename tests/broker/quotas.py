"""Client quotas on a broker, as its operators set them with kafka-configs.sh."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

_TEXT = String("utf-8")


class _AlteredV0(Response):  # type: ignore[misc]  # aiokafka tells no types
    API_KEY = 49
    API_VERSION = 0
    _WHOM = Array(("entity_type", _TEXT), ("entity_name", _TEXT))
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _WHOM))),
    )


class _AlterV0(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlteredV0
    _WHOM = Array(("entity_type", _TEXT), ("entity_name", _TEXT))
    _WHAT = Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))
    SCHEMA = Schema(("entries", Array(("entity", _WHOM), ("ops", _WHAT))), ("validate_only", Boolean))


class _Alter(Request[_AlterV0]):  # type: ignore[misc]  # as above
    """AlterClientQuotas, for clients of any id that have no quota of their own."""

    API_KEY = 49

    def __init__(self, quotas: Mapping[str, float | None]) -> None:
        self._quotas = quotas

    def build(self, request_struct_class: type[_AlterV0]) -> _AlterV0:
        ops = [(key, value or 0.0, value is None) for key, value in self._quotas.items()]
        return request_struct_class([([("client-id", None)], ops)], False)


async def set_quotas(bootstrap: str, quotas: Mapping[str, float | None]) -> None:
    """Quotas of every client id, e.g. {"consumer_byte_rate": 100_000}; None takes one away."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        answer = await client._send_request(_Alter(quotas))
    finally:
        await client.close()
    assert [code for code, *_ in answer.entries] == [0], answer
