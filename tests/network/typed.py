"""What a person types: a document's blocks, line by line, on a terminal of a machine of the test's network."""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.kafka.config import JVM_FLAGS
from ops.kafka.install import Kafka
from tests.network.net import ROOT, Net

LINE_S = 60.0
_SETS = re.compile(r"(?:export )?[A-Z_]+=")


def blocks(document: str, kind: str = "sh") -> list[str]:
    """The fenced blocks of one kind, in order."""
    text = (ROOT / "docs" / document).read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_of(document: str) -> list[str]:
    """What is to be typed, in order; continued lines as one."""
    return [line for block in blocks(document) for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def exchanged(text: str, names: Mapping[str, str]) -> str:
    """The document's names exchanged for the test's."""
    for name, own in names.items():
        text = text.replace(name, own)
    return text


@dataclass(slots=True)
class House:
    """One machine's user: a folder, what it has set in its shell, and what it typed.

    programs   a folder that comes first on its PATH
    hosts      what stands in its /etc/hosts; empty: as on this machine
    """

    net: Net
    where: str
    folder: Path
    programs: Path
    names: Mapping[str, str]
    hosts: Path | None = None
    typed: list[str] = field(default_factory=list)
    _set: list[str] = field(default_factory=list)

    def type(self, line: str, answers: Sequence[tuple[str, str]] = (), *, code: int = 0) -> str:
        """Type a line and answer each question that has these words; what the terminal shows in the end.

        Raises AssertionError for a line that ends otherwise than with `code`, or takes too long.
        """
        line = self._noted(line)
        if _SETS.match(line):
            self._set.append(line)
            return ""
        shown, ended = _on_a_terminal(self._argv(line), answers, self._environment())
        with (self.folder / "typed.txt").open("a") as file:
            file.write(f"$ {line}\n{shown}\n")
        assert ended == code, f"{line}: exit code {ended}\n{shown}"
        return shown

    def start(self, line: str, *, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start what a line runs for ever. It is the process itself."""
        return self.net.start(self.where, self._inside(f"exec {self._noted(line)}"), port=port, env=self._environment())

    def _noted(self, line: str) -> str:
        line = exchanged(line, self.names)
        self.typed.append(line)
        return line

    def _argv(self, line: str) -> list[str]:
        return self.net.within(self.where, *self._inside(line))

    def _inside(self, line: str) -> list[str]:
        named = [f"mount --bind {self.hosts} /etc/hosts"] if self.hosts else []  # seen by this process alone
        return ["bash", "-ec", "\n".join([*named, f"cd '{self.folder}'", *self._set, line])]

    def _environment(self) -> dict[str, str]:
        path = f"{self.programs}:/usr/local/sbin:/usr/sbin:/sbin:{os.environ.get('PATH', '/usr/bin:/bin')}"
        return {"PATH": path, "HOME": str(self.folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def _on_a_terminal(
    argv: Sequence[str], answers: Sequence[tuple[str, str]], environment: Mapping[str, str]
) -> tuple[str, int]:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=its, stdout=its, stderr=its, env=dict(environment), start_new_session=True, close_fds=True
    )
    os.close(its)
    shown, answered, left, end = "", 0, list(answers), time.monotonic() + LINE_S
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    read = os.read(ours, 65536)
                except OSError:  # the last process has closed it
                    break
                shown += read.decode(errors="replace").replace("\r\n", "\n")
            if left and left[0][0] in shown[answered:]:
                answered = len(shown)
                os.write(ours, f"{left.pop(0)[1]}\n".encode())
        with contextlib.suppress(subprocess.TimeoutExpired):
            return shown, process.wait(5)
        raise AssertionError(f"{argv[-1]} still waits after {LINE_S:g} s; questions left: {left}\n{shown}")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def programs_in(folder: Path, kafka: Kafka) -> Path:
    """`wardround` of this checkout, and what Kafka's two scripts amount to, with this machine's Java and jars."""
    folder.mkdir()
    flags = [flag for flag in JVM_FLAGS if not flag.startswith(("-Xmx", "-XX:CompilerDirectivesFile"))]
    logs, path = "-Dlog4j2.configurationFile=log4j2.properties", ":".join(map(str, kafka.jars))
    # as bin/kafka-run-class.sh puts the line together; the flags and the cache are for a quick start
    line = f"exec {kafka.java} $KAFKA_HEAP_OPTS {' '.join(flags)} {{cache}} {logs} -cp {path} $KAFKA_OPTS"
    texts = {
        "wardround": f"PYTHONPATH={ROOT} exec {sys.executable} -m wardround",
        "kafka-storage.sh": f"{line.format(cache='')} kafka.tools.StorageTool",
        "kafka-server-start.sh": f"{line.format(cache=' '.join(kafka.jvm_options))} kafka.Kafka",
    }
    for name, text in texts.items():
        (folder / name).write_text(f'#!/bin/sh\n{text} "$@"\n')
        (folder / name).chmod(0o755)
    return folder
