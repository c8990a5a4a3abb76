"""Golden bytes, and the scripts that made them without the product's code."""

import json
from pathlib import Path
from typing import Any


def load(name: str) -> dict[str, Any]:
    """The content of `<name>.json`."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return content
