"""Makes aiokafka's clients as they are needed here, starts them until the broker answers, ends them for certain.

Knows:    which calls of aiokafka 0.14 hang: start() in a silent network, stop() while the broker is away.
Never:    waits without a bound while ending something.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from schemas import topics
from schemas.errors import LocalError
from schemas.topics import BATCH_BYTES_MAX
from transport import inside
from transport.errors import NotAllowed
from transport.reading.batches import DAMAGED, sieved
from transport.reading.fetched import check_whole
from transport.reading.thin import thinned
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.staying.quiet import quiet
from transport.staying.quota import heed_quotas
from transport.staying.trouble import Trouble
from transport.staying.why_away import why_away
from transport.writing import watch

START_S = 15.0  # one try to connect; the next one begins with a fresh client
CURIOUS_S = 2.0  # a start that takes longer is looked into meanwhile
STOP_S = 2.0
RETRY_MS = 500  # aiokafka's constant pause between its own tries
MEMBER_RETRY_MS = 100  # a member that has just found its group asks again at once
MEMBER_REQUEST_MS = 10_000  # a heartbeat is small; a join waits for the slowest member, at most a session
TRANSACTION_BATCH_BYTES = 768 * 1024  # any record of the wire fits, and a broker's default takes it
TRANSACTION_RETRY_MS = 50  # also its pause while the broker still completes the transaction before

# A transaction that its coordinator left open is ended by that coordinator's next start. Only topics that nobody else
# writes are held back until then, so the limit may outlast a broker that is away for minutes in the middle of one.
TRANSACTION_TIMEOUT_MS = 600_000

# Of one topic in one answer, so that a site with a long backlog leaves room for others; a larger record comes alone.
TOPIC_BYTES = 256 * 1024
HISTORY_BYTES = 1024 * 1024  # where most of it is thinned

_FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
_OTHER_VERSIONS = (errors.IncompatibleBrokerVersion, errors.UnsupportedVersionError, NotImplementedError)

Client: TypeAlias = AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaClient | AIOKafkaAdminClient
C = TypeVar("C", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaClient, AIOKafkaAdminClient)

_watches: dict[AIOKafkaProducer, asyncio.Task[None]] = {}
_ending: set[asyncio.Task[None]] = set()  # the event loop itself keeps no task alive


def new_consumer(
    settings: KafkaSettings,
    *,
    committed: bool,
    fetch_wait_ms: int,
    thorough: bool = False,
    thin: Callable[[str, int, int], None] | None = None,
) -> AIOKafkaConsumer:
    """A consumer without group and subscription for small signed records, that reports an offset which is gone.

    What it fetches is `sieved`: stand-ins come instead of batches that nobody may open. Fetches have a connection of
    their own, which a consumer without a group has to spare: a broker answers in order, and a fetch waits for records.

    thin   None: everything; else signs of life between others that say the same are left out, and it is told of them:
           topic, offset of the last of a run, time of its first (see `thinned`)
    """
    quiet()
    consumer = AIOKafkaConsumer(
        **settings.how,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_wait_ms=fetch_wait_ms,
        fetch_max_bytes=settings.fetch_bytes,
        max_partition_fetch_bytes=HISTORY_BYTES if thin else TOPIC_BYTES,
        request_timeout_ms=settings.request_timeout_ms,
        retry_backoff_ms=RETRY_MS,
    )
    _sieve(consumer, thorough=thorough, thin=thin)
    return consumer


def _sieve(consumer: AIOKafkaConsumer, *, thorough: bool, thin: Callable[[str, int, int], None] | None) -> None:
    """Between its connection and its parser: the parser itself unpacks whatever says it is compressed."""

    def sifted(topic: str, records: bytes | None) -> bytes | None:
        try:
            if records and thin is not None:
                records = thinned(records, functools.partial(thin, topic))
            return sieved(records, thorough=thorough) if records else records
        except (errors.KafkaError, *DAMAGED):
            return records  # changed on its way, for the consumer to find by the checksum

    def arrived(request: FetchRequest, response: Any) -> Any:
        check_whole(response)
        if not response.topics:
            _note_answer(consumer, request)
        response.topics = [
            (topic, [(*head, sifted(topic, records)) for *head, records in partitions])
            for topic, partitions in response.topics
        ]
        return response

    inside.divert_fetches(consumer, arrived)


def _note_answer(consumer: AIOKafkaConsumer, request: FetchRequest) -> None:
    """A broker that slows this client down answers without topics: a time stamp on each tells that it is there."""
    tps = [TopicPartition(topic, partition) for topic, partitions in request.topics for partition, *_ in partitions]
    inside.stamp(consumer, tps, time.time_ns() // 1_000_000)


def new_member(
    settings: KafkaSettings, *, group: str, assignor: object, session_ms: int, heartbeat_ms: int
) -> AIOKafkaConsumer:
    """A member of a group that only divides partitions: it reads and commits nothing, and needs no polling."""
    quiet()
    return AIOKafkaConsumer(
        **settings.how,
        group_id=group,
        enable_auto_commit=False,
        partition_assignment_strategy=(assignor,),
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=heartbeat_ms,
        max_poll_interval_ms=2**31 - 1,
        request_timeout_ms=MEMBER_REQUEST_MS,
        retry_backoff_ms=MEMBER_RETRY_MS,
    )


def new_producer(settings: KafkaSettings, *, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer whose batches take a whole chunk; transactional when it has an id.

    Transactions hold no bodies: their topics take what a broker takes by default, and a thousand records are more.
    """
    quiet()
    batch_bytes = settings.batch_bytes if transactional_id is None else TRANSACTION_BATCH_BYTES
    return AIOKafkaProducer(
        **settings.how,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=batch_bytes,
        max_request_size=settings.batch_bytes + 64 * 1024,
        request_timeout_ms=settings.request_timeout_ms,
        retry_backoff_ms=RETRY_MS if transactional_id is None else TRANSACTION_RETRY_MS,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )


def new_client(settings: KafkaSettings) -> AIOKafkaClient:
    """A bare connection for requests of our own."""
    quiet()
    return AIOKafkaClient(
        **settings.how,
        request_timeout_ms=settings.request_timeout_ms,
        retry_backoff_ms=RETRY_MS,
    )


def new_admin(settings: KafkaSettings) -> AIOKafkaAdminClient:
    """A client that creates and describes topics."""
    quiet()
    return AIOKafkaAdminClient(
        **settings.how,
        request_timeout_ms=30_000,
        retry_backoff_ms=RETRY_MS,
    )


def refused(error: BaseException, topic: str = "") -> LocalError | None:
    """What to tell the operator when the broker will never accept this client or record, else None.

    topic   where a record was sent to; empty where that is not known
    """
    if isinstance(error, _FORBIDDEN):
        return NotAllowed(error)
    if isinstance(error, _OTHER_VERSIONS):
        return LocalError(
            f"the broker does not speak the versions of Kafka's protocol that are spoken here: {error}",
            hint="use a broker of Kafka 4; whoever looks after it knows which version it is",
        )
    if isinstance(error, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
        return LocalError(
            f"the broker refuses this client: {error}", hint="check certificate, key and password of this client"
        )
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        where = topic or "a topic"
        return LocalError(f"{where} takes no batch of this size: {error}", hint=_larger(topic))
    return None


def _larger(topic: str) -> str:
    """How a topic is made to take what is sent to it."""
    name = topic or "TOPIC"
    if topic and not topics.takes_bodies(topic):
        change = "--delete-config max.message.bytes"
        why = "Kafka's default of 1 MB is enough for its records"
    else:
        change = f"--add-config max.message.bytes={BATCH_BYTES_MAX}"
        why = "bodies need it; the registrar makes the topic so"
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} {change} ({why})"


def hear_drains(producer: AIOKafkaProducer, topic: str) -> None:
    """Nobody waits for the end of a batch as such; asyncio would report its error as never retrieved."""
    if (drained := inside.newest_batch_end(producer, topic)) is not None:
        drained.add_done_callback(of_no_interest)


async def started(make: Callable[[], C], link: Link) -> C:
    """Make and start a client, for ever until the broker answers; one that failed is ended and never tried again.

    Raises LocalError when the broker refuses this client for good.
    """
    while True:
        client = make()
        heed_quotas(inside.connections(client), link)
        curious = asyncio.create_task(_find_out(client, link, after_s=CURIOUS_S))
        try:
            async with asyncio.timeout(START_S):
                await _start(client)
        except (errors.KafkaError, OSError, TimeoutError, NotImplementedError) as error:
            await end(client)
            final = refused(error)
            if final is not None:
                raise final from error
            if not curious.done():
                await _find_out(client, link)
            link.down(error)
            await link.backoff()
        except BaseException:
            await end(client)
            raise
        else:
            link.up()
            if isinstance(client, AIOKafkaProducer):
                _watch(client, link)
            return client
        finally:
            curious.cancel()
            curious.add_done_callback(of_no_interest)


def _watch(producer: AIOKafkaProducer, link: Link) -> None:
    def stall_s() -> float:
        return link.stall_s("producer", watch.STALL_S)

    watching = watch.watch_producer(producer, link, stall_s, lambda: _kill_producer(producer))
    _watches[producer] = asyncio.create_task(watching)


async def end(client: Client) -> None:
    """Stop a client, flushing what it still can; returns within about 2 * STOP_S, whatever the broker does.

    When the caller is cancelled meanwhile, the ending goes on by itself and stays bounded.
    """
    watching = _watches.pop(client, None)
    if watching is not None:
        watching.cancel()
    task = asyncio.create_task(_end(client))
    _ending.add(task)
    task.add_done_callback(_ending.discard)
    await asyncio.shield(task)


async def _start(client: Client) -> None:
    await (client.bootstrap() if isinstance(client, AIOKafkaClient) else client.start())
    connections = inside.connections(client)
    nodes = [broker.nodeId for broker in connections.cluster.brokers()]
    for node in nodes:  # the address that was written may answer, and those to which it sends its clients may not
        if await connections.ready(node):
            return
    if nodes:
        raise errors.NodeNotReadyError("no broker of the cluster can be reached")


async def _find_out(client: Client, link: Link, *, after_s: float = 0.0) -> None:
    """Why a client could not start: by the address that was written, or by those to which it is sent from there."""
    await asyncio.sleep(after_s)
    connections = inside.connections(client)
    context = inside.context_of(connections)
    trouble = await why_away((f"{host}:{port}" for host, port, _ in connections.hosts), context)
    if trouble is None:
        told = [f"{broker.host}:{broker.port}" for broker in connections.cluster.brokers()]
        elsewhere = await why_away(told, context) if told else None
        if elsewhere is not None:
            text = f"it sends its clients to {', '.join(told)} (its advertised.listeners), and {elsewhere}"
            trouble = Trouble(text, elsewhere.patience_s, elsewhere.kind)
    if trouble is not None:
        link.found_out(trouble)


async def _end(client: Client) -> None:
    if isinstance(client, AIOKafkaProducer) and (waiter := inside.transaction_end(client)) is not None:
        waiter.add_done_callback(of_no_interest)
    has_stop = isinstance(client, AIOKafkaConsumer | AIOKafkaProducer)
    if await _finished(client.stop() if has_stop else client.close(), STOP_S):
        return
    if isinstance(client, AIOKafkaProducer):
        await _kill_producer(client)
    elif isinstance(client, AIOKafkaConsumer):
        await _finished(inside.connections(client).close(), STOP_S / 2)


async def _finished(work: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Whether `work` ended well in time; it is cancelled otherwise, and what it raised is of no interest any more."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    task.cancel()
    return bool(done) and not task.cancelled() and task.exception() is None


def of_no_interest(task: "asyncio.Future[Any]") -> None:
    """What a task that was given up raised; asyncio would report it as never retrieved."""
    if not task.cancelled():
        task.exception()


async def _kill_producer(producer: AIOKafkaProducer) -> None:
    """Give up what a producer still holds, so that none of its tasks waits for a broker that is away."""
    sender = inside.fail_all(producer, of_no_interest)
    if sender is not None:
        sender.cancel()
    await _finished(producer.client.close(), STOP_S / 2)
    if sender is not None:
        await asyncio.wait({sender}, timeout=STOP_S / 2)
