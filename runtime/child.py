"""How a service starts Python processes of this very installation, whatever folder it was started in.

Knows:    where our rooms lie; that a folder of a person may hold a `learning` or `runtime` of its own.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # a checkout, or the site-packages of an installation


def child_line(module: str, *words: str) -> list[str]:
    """`python -m module words…`; the working directory is not searched for modules (-P)."""
    return [sys.executable, "-P", "-m", module, *words]


def child_environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base`, so that a child finds our rooms as this process did: a checkout need not be installed."""
    if not (ROOT / "pyproject.toml").is_file():
        return dict(base)
    others = [path for path in base.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
    return {**base, "PYTHONPATH": os.pathsep.join([str(ROOT), *others])}
