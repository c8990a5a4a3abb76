"""The files and the command line of a small one-node broker that starts fast and listens on the loopback alone.

Knows:    Kafka's and the JVM's settings for a node of about 200 MB, and which of them every broker has (`cluster.py`).
Never:    starts anything.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.kafka.ports import HOST
from schemas.records.registrar import BROKER_NAME, REGISTRAR_NAME

SUPER_USERS = (BROKER_NAME, REGISTRAR_NAME)  # by the names in their certificates

MAIN = "CLIENTS"  # the listener that every bootstrap address means
CONTROLLER = "CONTROLLER"
DATA, LOG = "data", "broker.log"  # in its folder
KEYSTORE, TRUSTSTORE, COMPILER = "keystore.pem", "truststore.pem", "compiler.json"

# The AOT cache holds classes as they were loaded in one training run; it is taken only when these flags are the same.
JVM_FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+UnlockDiagnosticVMOptions",
    f"-XX:CompilerDirectivesFile={COMPILER}",
    "-Djava.awt.headless=true",
)

# What every broker of ours has, of one node or of many.
EVERY_NODE = {
    "process.roles": "broker,controller",
    "auto.create.topics.enable": "false",  # else a mistyped name makes a topic as nobody wanted it
    "log.message.timestamp.type": "LogAppendTime",
    "log.segment.bytes": "134217728",  # trimmed bodies free the disk by whole segments
}

_SMALL_NODE = {
    "node.id": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",  # the default takes 128 MiB of heap at the start
    "log.index.size.max.bytes": "1048576",
    "log.segment.delete.delay.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "2000",  # after SIGKILL the node waits this long for its own former self
    "broker.heartbeat.interval.ms": "500",
    "controlled.shutdown.enable": "false",  # there is nobody to hand leadership to
}

# Who is connected stands in the certificate: O=federation and nothing else is believed; what is not granted is barred.
SECURED = {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": KEYSTORE,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": TRUSTSTORE,
    "ssl.client.auth": "required",
    "ssl.enabled.protocols": "TLSv1.3",
    "ssl.protocol": "TLSv1.3",
    "ssl.principal.mapping.rules": "RULE:^CN=([a-z0-9-]+),O=federation$/$1/",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": ";".join(f"User:{name}" for name in SUPER_USERS),
    "connection.failed.authentication.delay.ms": "500",  # a stranger who tries on is slowed down
}

_CIPHERS = (
    "com/sun/crypto/provider/*.*",
    "javax/crypto/*.*",
    "sun/security/provider/*.*",
    "sun/security/ssl/*.*",
    "java/util/zip/*.*",
)

_LOGGING = """status = error
rootLogger.level = warn
rootLogger.appenderRef.file.ref = FILE
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = info
appender.file.type = RollingFile
appender.file.name = FILE
appender.file.fileName = {file}
appender.file.filePattern = {file}.%i
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c{{1}} %m%n
"""


def server_properties(
    ports: Mapping[str, int], advertised: Mapping[str, int], *, secured: bool, provider: str = ""
) -> str:
    """The text of server.properties: the broker runs in `folder`, so no path stands in it.

    A path may hold what is no plain text there: commas part it, and the file is read as Latin-1.
    ports        listener -> loopback port it listens on; MAIN and CONTROLLER among them
    advertised   listener -> port that its clients are sent to, where a proxy stands before it
    secured      TLS 1.3 with certificates both ways on every listener, and rights; its keys lie in its folder
    """
    settings = EVERY_NODE | copies(1) | _SMALL_NODE
    settings["log.dirs"] = DATA
    settings["controller.listener.names"] = CONTROLLER
    settings["inter.broker.listener.name"] = MAIN
    settings["controller.quorum.voters"] = f"1@{HOST}:{ports[CONTROLLER]}"
    protocol = "SSL" if secured else "PLAINTEXT"
    settings["listener.security.protocol.map"] = ",".join(f"{name}:{protocol}" for name in ports)
    if secured:
        settings |= SECURED
    settings["listeners"] = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    settings["advertised.listeners"] = ",".join(
        f"{name}://{HOST}:{advertised.get(name, port)}" for name, port in ports.items() if name != CONTROLLER
    )
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def copies(nodes: int) -> dict[str, str]:
    """On how many brokers of a cluster of `nodes` what is acknowledged lies, Kafka's own topics too."""
    count = min(3, nodes)
    least = 2 if count == 3 else 1
    return {
        "default.replication.factor": str(count),
        "min.insync.replicas": str(least),
        "offsets.topic.replication.factor": str(count),
        "transaction.state.log.replication.factor": str(count),
        "transaction.state.log.min.isr": str(least),
        "share.coordinator.state.topic.replication.factor": str(count),
        "share.coordinator.state.topic.min.isr": str(least),
    }


def compiler_directives() -> str:
    """The text of compiler.json: the optimising compiler for ciphers and checksums, the quick one for all the rest.

    Only the optimising compiler puts the processor's own instructions for AES in the place of Java's code: without it
    a broker takes fifteen times the CPU for TLS. For everything else it costs a broker on two shared cores more than
    it earns back within the hour.
    """
    rules = [{"match": list(_CIPHERS), "c2": {"Exclude": False}}, {"match": ["*.*"], "c2": {"Exclude": True}}]
    return json.dumps(rules, indent=1)


def logging_properties() -> str:
    """The text of log4j2.properties: warnings and the line that tells of a finished start, at most 30 MB."""
    return _LOGGING.format(file=LOG)


def command(java: Path, jars: Sequence[Path], folder: Path, *, extra: Sequence[str] = ()) -> list[str]:
    """The line that starts the broker whose files lie in `folder`; it can be run there again after any end."""
    return [*_java(java, jars, extra), "kafka.Kafka", str(folder / "server.properties")]


def format_command(java: Path, jars: Sequence[Path], folder: Path, cluster_id: str) -> list[str]:
    """The line that makes the empty data folder named in `folder`'s server.properties; to be run there."""
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(folder / "server.properties")]
    return [*_java(java, jars, ()), *tool]


def _java(java: Path, jars: Sequence[Path], extra: Sequence[str]) -> list[str]:
    class_path = ":".join(str(jar) for jar in jars)
    files = ["-Dlog4j2.configurationFile=log4j2.properties", "-XX:ErrorFile=crash.log"]
    return [str(java), *JVM_FLAGS, *extra, *files, "-cp", class_path]
