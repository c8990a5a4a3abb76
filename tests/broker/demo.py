"""A demo as a person starts it: its process, what it prints, and where it says what it has started."""

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runtime.child import ROOT


class Demo:
    """A running `wardround demo` and what it has printed."""

    def __init__(self, out: Path, *words: str) -> None:
        self.out, self.lines = out, list[str]()
        line = [sys.executable, "-m", "wardround", "demo", "--out", str(out), *words]
        self.process = subprocess.Popen(
            line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def until(self, pattern: str, seconds: float = 150.0) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"no {pattern!r} in:\n{self.text}"
            assert self.process.poll() is None or re.search(pattern, self.text), self.text
            time.sleep(0.05)

    def row(self, study: str, name: str) -> dict[str, Any]:
        rows = json.loads((self.out / study / "processes.json").read_text())
        return next(row for row in rows if row["name"] == name)

    def wait(self) -> int:
        code = self.process.wait(240)
        self._reader.join(10)
        return code

    def folder(self, study: str) -> Path:
        return Path((self.out / study / ".run").read_text())
