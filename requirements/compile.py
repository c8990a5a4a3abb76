"""Pin everything once, with hashes: run `python requirements/compile.py` after a change in pyproject.toml.

pyproject.toml gives ranges, as a library has to; what is installed and tested is what stands here. What is pinned stays
as it is while the ranges allow it; `--upgrade` takes the newest of everything.

Writes base.txt (all but torch), torch.txt (torch and what it needs for CUDA), dev.txt (what tests need besides) and
uv.txt (the installer). One resolution for all of them, so that they fit together. No address of an index is written.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUN = ("participant", "models", "studies", "report", "embedded", "build")
UV = "uv==0.13.9"
TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
HEADER = "# Written by requirements/compile.py; every file is checked against these hashes when it is installed.\n"
COMPILE = (
    "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11",
)  # fmt: skip


def main() -> None:
    upgrade = "--upgrade" in sys.argv[1:]
    everything = resolve("pyproject.toml", extras=(*RUN, "dev"), upgrade=upgrade)
    run = resolve("pyproject.toml", extras=RUN, upgrade=upgrade)
    torch = {name for name in everything if TORCH.fullmatch(name)}
    write("base.txt", {name: text for name, text in everything.items() if name in run and name not in torch})
    write("torch.txt", {name: text for name, text in everything.items() if name in torch})
    write("dev.txt", {name: text for name, text in everything.items() if name not in run})
    write("uv.txt", resolve("-", text=UV))


def resolve(source: str, *, extras: tuple[str, ...] = (), text: str = "", upgrade: bool = True) -> dict[str, str]:
    """Package name -> its lines, pinned and hashed."""
    asked = [word for extra in extras for word in ("--extra", extra)]
    if not upgrade:
        asked += [word for name in ("base", "torch", "dev") for word in ("--constraint", str(HERE / f"{name}.txt"))]
    done = subprocess.run(
        (*COMPILE, source, *asked), cwd=HERE.parent, input=text, text=True, stdout=subprocess.PIPE, check=True
    )
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", done.stdout.strip())
    return {block.split("==")[0]: block for block in blocks}


def write(name: str, packages: dict[str, str]) -> None:
    (HERE / name).write_text(HEADER + "\n".join(packages.values()) + "\n")


if __name__ == "__main__":
    main()
