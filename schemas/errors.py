"""Whose fault it is: the other side's, this side's, or nobody's because something is away.

A service refuses on PeerError, ends with exit code 2 on LocalError, waits on TransientError.
"""

import sys

EXIT_LOCAL = 2
EXIT_AWAY = 3


class FederationError(Exception):
    """Any failure that has a name; its text is fit for an operator's eyes and holds no secret and no patient value."""


class PeerError(FederationError):
    """The other side broke the protocol: refuse the message, count it under `code`, go on."""

    def __init__(self, message: str, *, code: str = "malformed") -> None:
        super().__init__(message)
        self.code = code


class LocalError(FederationError):
    """This side is set up wrongly: stop, show the hint, exit with code 2."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:  # a notebook shows no more of an error than Python does
            self.add_note(f"hint: {hint}")


class MissingLibraryError(LocalError):
    """A library of ours is not installed beside us. The hint names no index: a name there may be anybody's."""

    def __init__(self, what: str, library: str, *, part: str) -> None:
        """`what` needs `library`, which belongs to the optional `part` of pyproject.toml."""
        super().__init__(
            f"{what} needs {library}, which this installation lacks ({sys.executable})",
            hint=f"run `make` in wardround's checkout: it installs all of it, the part `{part}` too, into .venv",
        )


class TransientError(FederationError):
    """Broker or peer is away: wait and retry. Offline is a normal state; a command gives up with exit code 3."""
