"""What the brokers' operators are handed: keystores, a node's settings, and the way by one port."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import LocalError
from wardround.commands import options

_BROKER = (
    "Issue a broker's certificate: keystore.pem and truststore.pem, as Kafka reads them. With --node and --of also its "
    "server.properties and compiler.json: a node of a cluster, TLS 1.3 with certificates both ways, access rules on."
)
_SNI = (
    "Write the configuration of the one port in front of the brokers: HAProxy, or nginx, tells them apart by the name "
    "in the TLS greeting and holds no key."
)
_NODE = re.compile(r"([1-9]\d{0,3})@([A-Za-z0-9_.:-]+)=([A-Za-z0-9_.-]+:\d{1,5})")


def add_arguments(into: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    broker = options.subcommand(
        into,
        "broker",
        run_broker,
        _BROKER,
        "wardround registrar broker brokers/1 --host b1.example.org --host 10.0.0.1",
    )
    broker.add_argument("folder", type=Path, metavar="FOLDER", help="where to write, a folder for each broker")
    broker.add_argument(
        "--host", action="append", required=True, help="a name or address it is reached under; repeatable"
    )
    broker.add_argument("--node", type=int, metavar="N", help="which of --of this one is")
    broker.add_argument(
        "--of",
        action="append",
        default=[],
        metavar="N@INSIDE=HOST:PORT",
        help="a node: its number, where other nodes reach it, where clients do; repeatable, all of them",
    )
    options.add_registrar_key(broker)
    options.add_json(broker)
    sni = options.subcommand(
        into, "sni", run_sni, _SNI, "wardround registrar sni b1.example.org=10.0.0.1:9092 --bootstrap kafka.example.org"
    )
    sni.add_argument(
        "brokers", nargs="+", metavar="NAME=HOST:PORT", help="a broker's name for clients, and where it is"
    )
    sni.add_argument("--bootstrap", default="", metavar="NAME", help="one more name, which leads to any of them")
    sni.add_argument("--port", type=int, default=443, help="the one port (default: 443)")
    sni.add_argument("--bind", default="*", metavar="ADDRESS", help="the address it listens on (default: all)")
    sni.add_argument("--nginx", action="store_true", help="for nginx instead of HAProxy")
    sni.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: haproxy.cfg, or nginx.conf)")
    options.add_json(sni)


def run_broker(arguments: argparse.Namespace) -> int:
    from ops.kafka.cluster import Node, node_properties
    from ops.kafka.config import COMPILER, KEYSTORE, TRUSTSTORE, compiler_directives
    from protocol.files import write_whole
    from registry.pki.authority import Authority, utc_now
    from registry.pki.issuing import broker_keys

    nodes = [Node(int(number), inside, at) for number, inside, at in map(_node, arguments.of)]
    this = next((one for one in nodes if one.number == arguments.node), None)
    if (arguments.node is not None or nodes) and this is None:
        raise LocalError(
            f"--node {arguments.node} is none of those that --of names", hint="name every node with --of, and this one"
        )
    authority = Authority.load(arguments.key.parent, options.passphrase(arguments))
    keystore, truststore = broker_keys(authority, arguments.host, utc_now())
    folder = arguments.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"{folder} cannot be made: {error.strerror}", hint="name another folder") from None
    write_whole(folder / KEYSTORE, keystore, mode=0o600)
    write_whole(folder / TRUSTSTORE, truststore)
    lines = [
        f"{folder / KEYSTORE}    private: the key, with its certificate for {', '.join(arguments.host)}",
        f"{folder / TRUSTSTORE}  whom it believes",
    ]
    if this is not None:
        write_whole(folder / "server.properties", node_properties(this, nodes).encode())
        write_whole(folder / COMPILER, compiler_directives().encode())
        lines += [
            f"{folder / 'server.properties'}  the settings of node {this.number} of {len(nodes)}",
            f"{folder / COMPILER}  for the JVM: -XX:+UnlockDiagnosticVMOptions -XX:CompilerDirectivesFile={COMPILER}",
        ]
    options.emit(arguments, {"folder": str(folder), "hosts": arguments.host, "node": arguments.node}, lines)
    return 0


def run_sni(arguments: argparse.Namespace) -> int:
    from ops.sni import haproxy_config, nginx_config
    from protocol.files import write_whole

    brokers = _routes(arguments.brokers)
    write = nginx_config if arguments.nginx else haproxy_config
    text = write(arguments.port, brokers, bootstrap=arguments.bootstrap, bind=arguments.bind)
    out = arguments.out or Path("nginx.conf" if arguments.nginx else "haproxy.cfg")
    write_whole(out, text.encode())
    names = [*brokers, *([arguments.bootstrap] if arguments.bootstrap else [])]
    line = f"{out} brings {', '.join(names)} to their brokers by port {arguments.port}"
    options.emit(arguments, {"file": str(out), "names": names, "port": arguments.port}, [line])
    return 0


def _routes(words: list[str]) -> Mapping[str, str]:
    routes = {}
    for word in words:
        name, equals, at = word.partition("=")
        if not equals or not name or ":" not in at:
            raise LocalError(f"`{word}` names no broker", hint="write b1.example.org=10.0.0.1:9092")
        routes[name] = at
    return routes


def _node(word: str) -> tuple[str, str, str]:
    match = _NODE.fullmatch(word)
    if match is None:
        raise LocalError(f"`{word}` names no node", hint="write 1@10.0.0.1=b1.example.org:443")
    return match[1], match[2], match[3]
