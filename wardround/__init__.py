"""What a person touches: commands, the registrar, reports, the demo; for notebooks `Federation`, `open_model`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.federation import Federation
    from audit.models import open_model

__all__ = ["Federation", "open_model"]


def __getattr__(name: str) -> Any:
    """Both are imported when they are asked for: a service started by its command line does not need them."""
    if name == "Federation":
        from audit.federation import Federation

        return Federation
    if name == "open_model":
        from audit.models import open_model

        return open_model
    raise AttributeError(f"module wardround has no attribute {name}")
