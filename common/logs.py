"""Logs of the daemons: text for people, or one JSON object a line for machines; with session ids, without secrets.

A session is told by the first eight characters of the id that its edge chose, the same on both sides: enough to find
it, too little to take it over. What looks like a token is blackened in whatever is written, wherever it comes from.
Nothing that is logged can begin a line or steer a terminal: it is escaped here (`common/printable.py`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from common.printable import as_json, marked, one_line
from common.settings import require

FORMATS = ("text", "json")
_SHOWN = 8
_SECRETS = re.compile(r"evs_[\w-]{8,}|(?i:(?<=bearer )\S+)|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*")
_session: ContextVar[str] = ContextVar("session", default="")


def in_session(session_id: str) -> None:
    """From here on, what this task and those that it starts log is about this session."""
    _session.set(session_id[:_SHOWN])


def check_log_format(name: str) -> None:
    """Raise SettingsError unless there is such a format."""
    require(name in FORMATS, f"log_format must be one of {', '.join(FORMATS)}, not {name!r}")


def set_up(log_format: str, *, verbose: bool) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else Lines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(Sparing())


def without_secrets(text: str) -> str:
    """The same with tokens and keys blackened."""
    return _SECRETS.sub("[hidden]", text)


class Sparing(logging.Filter):
    """Lets one record through every ten seconds: a stranger who resets calls gets one of gRPC's tracebacks for each."""

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._clock = every_s, clock
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """True if it is time for another one."""
        now = self._clock()
        due = now >= self._next
        if due:
            self._next = now + self._every_s
        return due


class Lines(logging.Formatter):
    """Time, logger, session if there is one, message, fields; the lines of a traceback are marked with `| `."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s: %(session)s%(message)s%(told)s")

    def format(self, record: logging.LogRecord) -> str:
        record.session = f"[{session}] " if (session := _session.get()) else ""
        record.told = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return marked(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return marked(stack_info)


class JsonLines(logging.Formatter):
    """One object a line: `time` (UTC), `level`, `logger`, `message`, `session`, `error`, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if session := _session.get():
            line["session"] = session
        line |= _fields(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return as_json({str(key): _plain(value) for key, value in line.items()})


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | None) else without_secrets(str(value))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}
