"""What a person touches: the command, the registrar's tool, reports, the demo, and `Federation` for notebooks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wardround.federation import Federation

__all__ = ["Federation"]


def __getattr__(name: str) -> Any:
    """`Federation` is imported when it is asked for: a service started by its command line does not need it."""
    if name == "Federation":
        from wardround.federation import Federation

        return Federation
    raise AttributeError(f"module wardround has no attribute {name}")
