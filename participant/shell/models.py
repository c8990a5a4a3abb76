"""The files of the versions that a study works with: one at a time, and the half of one that is being fetched."""

from pathlib import Path

from participant.shell.fetch import partial


class Models:
    """Of one study, in the service's folder."""

    def __init__(self, folder: Path, study: str) -> None:
        self._folder, self._study = folder, study

    def of(self, version: int) -> Path:
        """Where this version lies, raw float32."""
        return self._folder / f"{self._study}.{version}.f32"

    def drop_other_halves(self, version: int) -> None:
        """Remove what was fetched of other versions and never came to its end."""
        self._drop("half", keep=partial(self.of(version)))

    def drop_others(self, version: int) -> None:
        """Remove every other version."""
        self._drop("f32", keep=self.of(version))

    def _drop(self, kind: str, keep: Path) -> None:
        for old in self._folder.glob(f"{self._study}.*.{kind}"):
            if old != keep:
                old.unlink(missing_ok=True)
