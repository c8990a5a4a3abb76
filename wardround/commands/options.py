"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runtime.stderr import STDERR
from schemas.text import visible

if TYPE_CHECKING:
    from protocol.signing import SigningKey
    from registry.registrar import Registrar
    from runtime.sections import Kafka
    from transport.settings import KafkaSettings

SEALED = (
    "what single sites measured is sealed to the coordinator and the plan's auditors; the opening key of one of them "
    "shows it: --key FILE"
)
BROKER_VARIABLE = "WARDROUND_KAFKA_BOOTSTRAP"
PROXY_VARIABLE = "WARDROUND_KAFKA_PROXY"
TLS_VARIABLE, SECURITY_VARIABLE = "WARDROUND_KAFKA_TLS", "WARDROUND_KAFKA_SECURITY"
PLAINTEXT = "plaintext-on-purpose"
CA_OPENED_BY = "WARDROUND_CA_PASSPHRASE_FILE"
LEAD_PARTITIONS_MAX = 1000
T = TypeVar("T")
REGISTRAR_KEY_VARIABLE = "WARDROUND_KEYS_REGISTRAR"
LONG_S = 10.0
Progress = Callable[[int, int], None]


def add_reader_key(parser: argparse.ArgumentParser) -> None:
    """`--key`: whose measurements of single sites are sealed to."""
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="opening key of the coordinator or of an auditor of the plan: shows what single sites measured",
    )


def subcommand(
    into: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add one subcommand with its help and an example."""
    parser = into.add_parser(
        name,
        help=text[:1].lower() + text[1:].split(". ")[0].removesuffix("."),
        description=textwrap.fill(text, shutil.get_terminal_size().columns - 2),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def note_old_words(old: str, new: str) -> None:
    """Say once, beside the answer, what a command is called now."""
    STDERR.write(f"note: `{old}` is `{new}` now; the old words work until the next release\n")


def add_broker(parser: argparse.ArgumentParser) -> None:
    """`--broker host:port`, else the environment, else the broker of `wardround kafka up`."""
    parser.add_argument(
        "--broker",
        metavar="HOST:PORT",
        default=os.environ.get(BROKER_VARIABLE, "127.0.0.1:9092"),
        help=f"Kafka's address (default: ${BROKER_VARIABLE}, else 127.0.0.1:9092); several separated by commas",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="FOLDER",
        default=Path(os.environ[TLS_VARIABLE]) if TLS_VARIABLE in os.environ else None,
        help=f"the keys for TLS (default: ${TLS_VARIABLE}, else NAME.tls beside the key that is named)",
    )
    parser.add_argument(
        "--plaintext-on-purpose",
        action="store_true",
        default=os.environ.get(SECURITY_VARIABLE) == PLAINTEXT,
        help="without TLS: whoever is on the way reads and changes what is sent, and the broker lets in everybody",
    )
    parser.add_argument(
        "--proxy",
        metavar="PROXY",
        default=os.environ.get(PROXY_VARIABLE, "none"),
        help=f'"none", "environment" (HTTPS_PROXY), or http://host:port (default: ${PROXY_VARIABLE}, else none)',
    )
    parser.add_argument("--proxy-user", default="", metavar="NAME", help="for a proxy that asks who you are (Basic)")
    parser.add_argument("--proxy-password-file", type=Path, metavar="FILE", help="mode 0600; it holds one line")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object for scripts")


def add_registrar_public(parser: argparse.ArgumentParser) -> None:
    """`--registrar registrar.pub`: whom to believe."""
    parser.add_argument(
        "--registrar",
        type=Path,
        metavar="FILE",
        default=Path(os.environ.get(REGISTRAR_KEY_VARIABLE, "keys/registrar.pub")),
        help=f"the registrar's public key (default: ${REGISTRAR_KEY_VARIABLE}, else keys/registrar.pub)",
    )


def add_registrar_key(parser: argparse.ArgumentParser) -> None:
    """`--key registrar.sign`: whoever holds it is the registrar."""
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        default=Path("keys/registrar.sign"),
        help="the registrar's private key (default: keys/registrar.sign)",
    )


def registrar_key(arguments: argparse.Namespace) -> SigningKey:
    """The key that `--key` names. Raises LocalError where it is not there, or cannot be used."""
    from protocol.signing import SigningKey
    from schemas.errors import LocalError

    if not arguments.key.exists():
        raise LocalError(
            f"the registrar's private key {arguments.key} is not there",
            hint="name it with --key; a new federation's is made by `wardround registrar keys`",
        )
    key = SigningKey.load(arguments.key)
    _refuse_members_key(arguments.key, key.public)
    return key


def _refuse_members_key(path: Path, public: bytes) -> None:
    """A member's key looks like a registrar's; the card beside it tells whose it is."""
    from registry.keyfiles import read_card
    from schemas.errors import LocalError

    try:
        card = read_card(path.with_suffix(".pub"))
    except LocalError:
        return  # no card is there: nothing tells
    if card.sign == public:
        raise LocalError(
            f"{path} is the key of the member {card.name}, and not the registrar's",
            hint="name the registrar's private key with --key, e.g. keys/registrar.sign",
        )


def add_replication(parser: argparse.ArgumentParser) -> None:
    """`--replication N`: for topics that the command makes; those that exist keep theirs."""
    parser.add_argument(
        "--replication",
        type=int,
        metavar="N",
        help="on how many brokers a new topic lies (default: 3, or all of them where there are fewer)",
    )


def kafka_settings(arguments: argparse.Namespace, *keys: Path | None) -> KafkaSettings:
    """Kafka settings of a command; its library warnings are silenced, the command itself says what is wrong.

    keys   files beside which the folder for TLS may lie, where none is named
    """
    from transport.settings import KafkaSettings

    logs_of_a_command()
    how = reached(arguments, *keys)
    return KafkaSettings(how.pop("bootstrap"), f"wardround-{os.getpid()}", backoff_max_s=1.0, **how)


def reached(arguments: argparse.Namespace, *keys: Path | None) -> dict[str, Any]:
    """Where the broker is and how it is reached: `bootstrap`, `security`, `tls`. Says so where it is without TLS."""
    from protocol.tls.files import tls_beside

    if arguments.plaintext_on_purpose:
        STDERR.write(f"note: without TLS, on purpose: who is on the way to {arguments.broker} can read and change it\n")
        return {"bootstrap": arguments.broker, "security": PLAINTEXT, "tls": None}
    folder = arguments.tls or tls_beside(*keys, getattr(arguments, "registrar", None))
    return {"bootstrap": arguments.broker, "security": "tls", "tls": folder}


def loop_of(kafka: Kafka) -> Callable[[], asyncio.AbstractEventLoop]:
    """The event loop of a service, which dials as its settings say. Raises LocalError."""
    from transport.dialing import choice_of, loop_factory

    return loop_factory(choice_of(kafka.proxy, kafka.proxy_user, kafka.proxy_password_file))


def run(arguments: argparse.Namespace, work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end, on a loop that dials as `--proxy` says. Raises LocalError."""
    from transport.dialing import choice_of, loop_factory

    try:
        choice = choice_of(arguments.proxy, arguments.proxy_user, arguments.proxy_password_file)
        factory = loop_factory(choice)
    except BaseException:
        work.close()
        raise
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def registrar_settings(arguments: argparse.Namespace) -> KafkaSettings:
    """Kafka settings of a command of the registrar's: its own certificate, renewed beside its key where it is due."""
    if arguments.tls is None and not arguments.plaintext_on_purpose and arguments.key.exists():
        from registry.keyfiles import tls_folder
        from registry.pki.authority import Authority, utc_now
        from registry.pki.issuing import is_fresh, registrar_tls

        folder = arguments.key.parent
        if (folder / "ca.key").exists() and not is_fresh(tls_folder(arguments.key), utc_now()):
            registrar_tls(Authority.load(folder, passphrase(arguments)), arguments.key, utc_now())
    return kafka_settings(arguments, arguments.key)


def logs_of_a_command() -> None:
    """Warnings on stderr, and nothing a script would stumble over; to be called by commands whose rooms log."""
    from runtime.logs import configure

    configure(os.environ.get("WARDROUND_LOG_LEVEL", "warning"), command=True)


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """How topics are made that are not there yet."""
    parser.add_argument(
        "--lead-partitions",
        type=int,
        metavar="N",
        help="how many coordinators can share the studies; fixed by the first command (default: 8)",
    )
    add_replication(parser)


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """`--passphrase-file`: what opens the authority's key."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        default=Path(os.environ[CA_OPENED_BY]) if CA_OPENED_BY in os.environ else None,
        help=f"its first line opens ca.key (default: ${CA_OPENED_BY}; without one the key is not encrypted)",
    )


def passphrase(arguments: argparse.Namespace) -> bytes | None:
    """The passphrase that `--passphrase-file` names. Raises LocalError where it cannot be read, or is empty."""
    from protocol.key_files import read_text_key
    from schemas.errors import LocalError

    if arguments.passphrase_file is None:
        return None
    said = read_text_key(arguments.passphrase_file, "passphrase").split(b"\n")[0].strip()
    if not said:
        raise LocalError(f"{arguments.passphrase_file} holds no passphrase", hint="its first line is the passphrase")
    return said


def size_bytes(text: str) -> int:
    """'20GB' -> bytes, in powers of 1024. Raises LocalError for anything else."""
    from schemas.errors import LocalError

    match = re.fullmatch(r"([1-9]\d*) ?(MB|GB|TB)", text)
    if match is None:
        raise LocalError(f"--size-cap `{text}` is no size", hint="write for example 500MB, 20GB or 1TB")
    return int(match[1]) << {"MB": 20, "GB": 30, "TB": 40}[match[2]]


def with_registrar(arguments: argparse.Namespace, act: Callable[[Registrar], Awaitable[T]]) -> T:
    from protocol.roster_memory import RosterMemory
    from registry.registrar import Registrar
    from schemas.errors import LocalError

    key = registrar_key(arguments)
    settings = registrar_settings(arguments)
    count: int | None = arguments.lead_partitions
    if count is not None and not 1 <= count <= LEAD_PARTITIONS_MAX:
        raise LocalError(f"--lead-partitions {count} is none of 1 to {LEAD_PARTITIONS_MAX}", hint="leave it out for 8")

    async def whole() -> T:
        memory = RosterMemory.beside(arguments.key, key.public)
        async with Registrar(
            settings, key, lead_partitions=count, replication=arguments.replication, memory=memory
        ) as registrar:
            registrar.refuse_foreign_log()
            return await act(registrar)

    with waiting(f"talking to {arguments.broker}"):
        return run(arguments, whole())


def emit(arguments: argparse.Namespace, values: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Print JSON for a script or lines for a person."""
    if arguments.json:
        print(json.dumps(values, indent=2, sort_keys=True))
    else:
        print(visible("\n".join(lines)))


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner on a terminal while a person waits; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A running count on a terminal while a person waits; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"0 {what}") as status:
        yield lambda count: status.update(f"{count:,} {what}")


@contextmanager
def reading(broker: str) -> Iterator[Progress]:
    """Tell how far the reading of a log is: a spinner on a terminal, elsewhere a line on stderr when it takes long."""
    from runtime.stderr import STDERR

    told_s = time.monotonic()
    text = f"reading the log at {broker}"
    if not sys.stderr.isatty():

        def tell(done: int, total: int) -> None:
            nonlocal told_s
            if time.monotonic() - told_s >= LONG_S:
                told_s = time.monotonic()
                STDERR.write(f"{text}: {done:,} of {total:,} records\n")

        yield tell
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield lambda done, total: status.update(f"{text}: {done:,} of {total:,} records")
