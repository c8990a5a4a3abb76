"""What a person touches: commands, reports, the demo; for notebooks `Federation`, `AsyncFederation`, `open_model`."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.federation import AsyncFederation, Federation
    from audit.models import open_model

__all__ = ["AsyncFederation", "Federation", "open_model"]
_HOMES = {"AsyncFederation": "audit.federation", "Federation": "audit.federation", "open_model": "audit.models"}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a service started by its command line does not need it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        return version("wardround")
    raise AttributeError(f"module wardround has no attribute {name}")
