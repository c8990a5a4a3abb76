"""Make wire.json from the golden files that were laid out by hand, tests/schemas/vectors: plain hex for any reader.

From the repository's root, whenever one of them has changed: python -m tests.vectors.make_wire
"""

import json
from typing import Any

from tests.schemas import hex_vectors
from tests.vectors import FOLDER

OUT = FOLDER / "wire.json"
SHOWN_BYTES_MAX = 4096  # what is refused for its size alone is a rule, and no vector


def made() -> dict[str, Any]:
    return {
        "comment": "made by make_wire.py from the files in tests/schemas/vectors",
        "read": [
            {
                "name": name,
                "payload": hex_vectors.golden(name).hex(),
                "fields": [[label, value.hex()] for label, value in hex_vectors.fields_of(name).items()],
            }
            for name in hex_vectors.names()
        ],
        "refused": [
            {"from": bad.vector, "what": bad.what, "says": bad.says, "payload": bad.payload.hex()}
            for bad in hex_vectors.bad()
            if len(bad.payload) <= SHOWN_BYTES_MAX
        ],
    }


def main() -> None:
    OUT.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
