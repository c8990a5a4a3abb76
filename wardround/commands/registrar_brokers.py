"""What the brokers' operators are handed: keystores, a node's settings, and the way by one port."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError
from wardround.commands import options

if TYPE_CHECKING:
    from ops.kafka.cluster import Node

_BROKER = (
    "Issue a broker's certificate: keystore.pem and truststore.pem, as Kafka reads them. With --node and --of also its "
    "server.properties, cluster.id and compiler.json: a node of a cluster, TLS 1.3 with certificates both ways, access "
    "rules on. Run again it issues the next certificate, which the broker takes at its next start."
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
        "wardround registrar broker brokers/1 --host kafka.example.org --node 1 --of 1@10.0.0.1=b1.example.org:443",
    )
    broker.add_argument("folder", type=Path, metavar="FOLDER", help="where to write, a folder for each broker")
    broker.add_argument(
        "--host",
        action="append",
        default=[],
        help="a name or address it is reached under, beside those that --of names; repeatable",
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
    from ops.kafka.config import COMPILER, KEYSTORE, TRUSTSTORE, compiler_directives
    from protocol.files import write_whole
    from registry.pki.authority import Authority, utc_now
    from registry.pki.issuing import broker_keys

    nodes = [_node(word) for word in arguments.of]
    this = _this(arguments.node, nodes)
    hosts = list(dict.fromkeys([*arguments.host, *(this.hosts if this is not None else ())]))
    if not hosts:
        raise LocalError("the broker has no name", hint="--host NAME for each name or address it is reached under")
    settings = {} if this is None else _settings(arguments.key.parent, this, nodes)
    authority = Authority.load(arguments.key.parent, options.passphrase(arguments))
    keystore, truststore = broker_keys(authority, hosts, utc_now())
    folder: Path = arguments.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"{folder} cannot be made: {error.strerror}", hint="name another folder") from None
    write_whole(folder / KEYSTORE, keystore, mode=0o600)
    write_whole(folder / TRUSTSTORE, truststore)
    said = {KEYSTORE: f"private: the key, with its certificate for {', '.join(hosts)}", TRUSTSTORE: "whom it believes"}
    for name, (text, what) in settings.items():
        write_whole(folder / name, text.encode())
        said[name] = what
    if this is not None:
        write_whole(folder / COMPILER, compiler_directives().encode())
        said[COMPILER] = f"for the JVM: -XX:+UnlockDiagnosticVMOptions -XX:CompilerDirectivesFile={COMPILER}"
    width = max(len(str(folder / name)) for name in said)
    lines = [f"{folder / name!s:<{width}}  {what}" for name, what in said.items()]
    where = "the broker's machine" if this is None else this.inside
    lines.append(f"bring the folder to {where}, for the user that runs Kafka there, and start the broker in it")
    options.emit(arguments, {"folder": str(folder), "hosts": hosts, "node": arguments.node}, lines)
    return 0


def _this(number: int | None, nodes: "list[Node]") -> "Node | None":
    """The node that --node names among those of --of; None where neither is given. Raises LocalError."""
    this = next((one for one in nodes if one.number == number), None)
    if this is None and number is None and nodes:
        raise LocalError("--of names nodes, and --node does not say which is this one", hint="--node 1 for the first")
    if this is None and number is not None:
        raise LocalError(
            f"--node {number} is none of those that --of names", hint="name every node with --of, and this one"
        )
    return this


def _settings(keys: Path, this: "Node", nodes: "list[Node]") -> Mapping[str, tuple[str, str]]:
    """File -> its text, and what it is for."""
    from ops.kafka.cluster import cluster_id, node_properties
    from protocol.key_files import read_registrar_key

    public = read_registrar_key(keys / "registrar.pub")
    return {
        "server.properties": (
            node_properties(this, nodes),
            f"the settings of node {this.number} of {len(nodes)}: clients reach it at {this.advertised}",
        ),
        "cluster.id": (cluster_id(public) + "\n", "alike for all nodes: its disk is formatted with it"),
    }


def run_sni(arguments: argparse.Namespace) -> int:
    from ops.sni import haproxy_config, nginx_config
    from protocol.files import write_whole
    from registry.keyfiles import check_place

    brokers = _routes(arguments.brokers)
    write = nginx_config if arguments.nginx else haproxy_config
    text = write(arguments.port, brokers, bootstrap=arguments.bootstrap, bind=arguments.bind)
    out = arguments.out or Path("nginx.conf" if arguments.nginx else "haproxy.cfg")
    check_place(out)
    write_whole(out, text.encode())
    names = [*brokers, *([arguments.bootstrap] if arguments.bootstrap else [])]
    lines = [
        f"{out} brings {', '.join(names)} to their brokers by port {arguments.port}",
        f"look it over: `{f'nginx -t -c {out.resolve()}' if arguments.nginx else f'haproxy -c -f {out}'}`",
        "in DNS each of these names has to lead to the machine where it runs",
    ]
    options.emit(arguments, {"file": str(out), "names": names, "port": arguments.port}, lines)
    return 0


def _routes(words: list[str]) -> Mapping[str, str]:
    routes = {}
    for word in words:
        name, equals, at = word.partition("=")
        if not equals or not name or ":" not in at:
            raise LocalError(f"`{word}` names no broker", hint="write b1.example.org=10.0.0.1:9092")
        if name in routes:
            raise LocalError(f"{name} is named twice", hint="each broker has a name of its own")
        routes[name] = at
    return routes


def _node(word: str) -> "Node":
    from ops.kafka.cluster import Node

    match = _NODE.fullmatch(word)
    if match is None:
        raise LocalError(f"`{word}` names no node", hint="write 1@10.0.0.1=b1.example.org:443")
    return Node(int(match[1]), match[2], match[3])
