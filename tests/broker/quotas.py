"""Client quotas on a broker, as its operators set them with kafka-configs.sh."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient

from schemas.records.registrar import REGISTRAR_NAME
from tests.broker.access import reach
from transport.requests import AlterQuotas


async def set_quotas(bootstrap: str, quotas: Mapping[str, float | None], *members: str) -> None:
    """Quotas of members, e.g. {"consumer_byte_rate": 100_000}; None takes one away. Nobody named: the registrar."""
    client = AIOKafkaAdminClient(**reach(bootstrap, "quotas").how)
    await client.start()
    try:
        answer = await client._send_request(AlterQuotas(dict.fromkeys(members or (REGISTRAR_NAME,), quotas)))
    finally:
        await client.close()
    assert {code for code, *_ in answer.entries} == {0}, answer
