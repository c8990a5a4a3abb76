"""The scripts that make `conformance/` without the product's code, and what reads it."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "conformance"


def load(name: str) -> dict[str, Any]:
    """The content of `<name>.json`."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content
