"""Makes jars.toml anew after a change of versions: resolves every jar, downloads it and notes size and SHA-256.

Run by whoever changes a version, as `python -m ops.kafka.pin`; look through the difference before it is committed.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.4.0",
    "org.apache.kafka:kafka-clients:4.4.0",  # named, or the log4j pom's management pulls an older one
    "org.apache.logging.log4j:log4j-slf4j2-impl:2.25.5",
)

_HEADER = """# The broker and all it needs: coordinate = [bytes, SHA-256 of the jar]. Made by `python -m ops.kafka.pin`.

[jars]
"""


def main() -> None:
    """Write jars.toml beside this file."""
    from jgo.maven import MavenContext, PythonResolver

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(folder))
        named, found = context.resolver.resolve([context.create_dependency(coordinate) for coordinate in COORDINATES])
        lines = []
        for dependency in [*named, *(d for d in found if d.scope in ("compile", "runtime"))]:
            artifact = dependency.artifact
            jar = Path(artifact.resolve()).read_bytes()
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            lines.append(f'"{coordinate}" = [{len(jar)}, "{hashlib.sha256(jar).hexdigest()}"]\n')
    Path(__file__).with_name("jars.toml").write_text(_HEADER + "".join(sorted(lines)))
    sys.stdout.write(f"{len(lines)} jars pinned\n")


if __name__ == "__main__":
    main()
