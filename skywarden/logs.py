"""Structured logs on stderr: coloured lines on a terminal, one JSON object a line for a service."""

import contextlib
import logging
import os
import sys
from typing import Literal, TextIO, cast

import structlog

LogFormat = Literal["auto", "console", "json"]

_LEVELS = {"-1": logging.WARNING, "0": logging.INFO, "1": logging.DEBUG}


def configure_logs(style: LogFormat = "auto", *, verbosity: int = 0) -> None:
    """Set up structlog once per process.

    `verbosity` -1 shows warnings and errors, 0 also start and stop, 1 everything. "auto" is console on a
    terminal, JSON elsewhere; the choice is handed on to child processes. Logging never raises.
    """
    style = _chosen(style)
    os.environ["SKYWARDEN_LOG_FORMAT"] = style
    wanted = str(verbosity) if verbosity else os.environ.get("SKYWARDEN_LOG_VERBOSITY", "0")
    level = _LEVELS.get(wanted, logging.INFO)
    if verbosity:
        os.environ["SKYWARDEN_LOG_VERBOSITY"] = str(verbosity)
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=_wants_colour())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info if style == "json" else _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # A line and its end in one write: worker and vision processes share one stderr.
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _PatientStream(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(level, logging.INFO) if verbosity < 1 else level)


class _PatientStream:
    """Stderr whose trouble (a full disk under a log file, a reader that went away) is nobody else's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _ToStructlog(logging.Handler):
    """Hands what libraries log by the standard module to structlog, so that there is one stream."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the words and the values of the library's call disagree
            text = f"{record.msg} {record.args}"
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger(record.name).log(level, text, exc_info=record.exc_info or None)


def _chosen(style: LogFormat) -> LogFormat:
    if style != "auto":
        return style
    inherited = os.environ.get("SKYWARDEN_LOG_FORMAT")
    if inherited == "json":
        return "json"
    if inherited == "console":
        return "console"
    return "console" if sys.stderr.isatty() else "json"


def _wants_colour() -> bool:
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _printable(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Nothing in a line moves a terminal's cursor or turns its writing round, whoever wrote the text."""
    return {
        name: _escaped(value) if isinstance(value, str) and not value.isprintable() else value
        for name, value in event.items()
    }


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
