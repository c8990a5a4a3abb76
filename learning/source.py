"""Where a site's patients are, and how its tables are written down.

Knows:    the site's folder and options, and the quarantine of this loading.
Never:    puts a patient's value into a message.
Imports:  learning.contract, learning.formats, learning.quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from learning.contract import DataContract, Table, read_csv
from learning.formats import Format
from learning.quarantine import Quarantine
from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a site's patients are. `folder` is the site's own data folder (None: the task ships its data).

    options     the plan's [task] options and the site's own, strings; `split` (default "0") salts the split of every
                task that uses it; `delimiter`, `decimal`, `encoding` and `missing` tell `table` how it is written down
    quarantine  takes records that break the contract, as far as the plan allows; `table` uses it, `read_csv` and `sift`
                take it
    """

    site: str
    folder: Path | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    quarantine: Quarantine = field(default_factory=Quarantine)

    @property
    def split(self) -> str:
        return self.options.get("split", "0")

    def path(self, name: str) -> Path:
        """A file of this site. Raises LocalError where the site has no folder."""
        if self.folder is None:
            raise LocalError(
                f"{name} lies in the folder with this site's data, and none is named",
                hint="name it as `data` of the study in the participant's settings, or with --data",
            )
        return self.folder / name

    def table(
        self,
        contract: DataContract,
        name: str,
        *,
        names: Sequence[str] | None = None,
        skip: int = 0,
    ) -> Table:
        """The contract's columns of the file `name` in this site's folder: rows that keep the contract, in their order.

        What it is written in (delimiter, decimal mark, encoding, more marks for a missing value) say the options. The
        other arguments are those of `read_csv`. Raises LocalError as `read_csv` and `DataContract.sift` do.
        """
        how = Format.of(self.options, contract.missing)
        table = read_csv(
            self.path(name),
            contract,
            names=names,
            skip=skip,
            missing=how.missing,
            delimiter=how.delimiter,
            decimal=how.decimal,
            encoding=how.encoding,
            quarantine=self.quarantine,
        )
        return contract.sift(table, where=name, quarantine=self.quarantine)[0]
