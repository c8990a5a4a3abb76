"""The template study of studies/README.md, word for word, and made patients for it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from rehearsal import comparing

README = Path(comparing.__file__).parents[1] / "studies" / "README.md"
SITES = ("site-1", "site-2", "site-3", "site-4")
PATIENTS = 120


def write_ward(place: Path) -> tuple[str, Path, tuple[str, ...]]:
    """Write the study and its tables below `place`; returns the task's entry, the tables' folder and the sites.

    Age is normal around 60 with 15 years, in whole years from 18 to 109; the log-odds of being ill are 1.3 for 15 years
    above 60. The same at every site.
    """
    found = re.search(r"## The task\n+```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    study, tables = place / "template" / "ward", place / "tables"
    study.mkdir(parents=True)
    tables.mkdir()
    (study.parent / "__init__.py").touch()
    (study / "__init__.py").touch()
    (study / "task.py").write_text(found[1], "utf-8")
    for number, site in enumerate(SITES, start=1):
        rng = np.random.default_rng(number)
        ages = np.clip(rng.normal(60, 15, PATIENTS), 18, 109).round()
        ill = rng.random(PATIENTS) < 1 / (1 + np.exp(-1.3 * (ages - 60) / 15))
        rows = (
            f"{1000 * number + row},{age:g},{int(one)}" for row, (age, one) in enumerate(zip(ages, ill, strict=True))
        )
        (tables / f"{site}.csv").write_text("\n".join(("patient,age,ill", *rows)) + "\n")
    return "template.ward.task:task", tables, SITES
