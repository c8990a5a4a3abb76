"""Logs: structlog, readable on a terminal and of commands, else JSON; never a secret, a vector or a patient value."""

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from runtime.stderr import STDERR
from schemas.text import plain

_TEXT_MAX = 400
_ITEMS_MAX = 16


def _shown(value: Any) -> Any:
    """A value as a log may show it: bytes by length, what is neither plain nor a short list by its type alone."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return plain(value, _TEXT_MAX)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset | Mapping) and len(value) > _ITEMS_MAX:
        return f"<{len(value)} values>"
    if isinstance(value, Mapping):
        return {plain(str(key)): _shown(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(inner) for inner in value]
    return plain(str(value), _TEXT_MAX) if isinstance(value, Path | BaseException) else f"<{type(value).__name__}>"


def _bounded(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """No vector or record slips into a log; structlog's own entries (exc_info, names with _) pass as they are."""
    for key, value in event.items():
        if key not in ("exc_info", "stack_info") and not key.startswith("_"):
            event[key] = _shown(value)
    return event


class _Lines:
    """Where finished lines go. One that is written after others were lost is followed by a line that says so.

    That line is made here: a logger that is writing holds its lock.
    """

    def __init__(self, *render: structlog.typing.Processor) -> None:
        self._render = render

    def write(self, text: str) -> int:
        written = STDERR.write(text)
        lost, reason = STDERR.recovered()
        if lost:
            line: Any = {"event": "lines of this log could not be written", "lost": lost, "reason": reason}
            for processor in self._render:
                line = processor(None, "warning", line)
            STDERR.write(f"{line}\n")
        return written

    def flush(self) -> None:
        """Nothing waits to be written."""


def _without_waiting(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out who is being waited for: a command gives up in the end, and then says so itself."""
    if "away_s" in event:
        raise structlog.DropEvent
    return event


def _as_text(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    """`warning: topic differs (topic=wardround.plans, wanted=1)`"""
    more = ", ".join(f"{key}={value}" for key, value in event.items() if key not in ("level", "timestamp", "event"))
    return f"{event['level']}: {event['event']}{f' ({more})' if more else ''}"


def tell_strange(variables: Iterable[tuple[str, str]]) -> None:
    """Say once which `WARDROUND_…` variables are no settings, and which was perhaps meant."""
    for name, near in variables:
        meant = {"meant": near} if near else {}
        structlog.get_logger().warning("environment variable is no setting, left out", variable=name, **meant)


def tell_security(security: str, broker: str) -> None:
    """Say it where the broker is reached without TLS, on purpose."""
    if security != "tls":
        structlog.get_logger().warning(
            "without TLS, on purpose: who is on the way reads and changes what is sent, the broker lets in everybody",
            broker=broker,
            security=security,
        )


def logs_of_a_library() -> None:
    """Send warnings to stderr where nobody has configured structlog: it would print them among a program's results."""
    if structlog.is_configured():
        return
    lines = _Lines(structlog.processors.add_log_level, _bounded, _as_text)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _bounded, _as_text],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, lines)),
        cache_logger_on_first_use=False,
    )


def configure(level: str = "info", *, command: bool = False) -> None:
    """Send structlog and the standard loggers of our libraries to stderr in one format.

    Where stderr is no terminal, a service writes JSON for whoever collects logs; a `command` writes plain lines, and
    none that only tells of waiting.
    """
    terminal = sys.stderr.isatty()
    quiet: list[structlog.typing.Processor] = [_without_waiting] if command and not terminal else []
    elsewhere: structlog.typing.Processor = _as_text if command else structlog.processors.JSONRenderer()
    shared: list[structlog.typing.Processor] = [
        *quiet,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _bounded,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)  # rich would show local values
        if terminal
        else elsewhere
    )
    traceback: list[structlog.typing.Processor] = [] if terminal else [structlog.processors.format_exc_info]
    lines = cast(TextIO, _Lines(*shared[len(quiet) :], renderer))
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *traceback, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *traceback, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
