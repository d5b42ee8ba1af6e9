"""Text as it may be shown: what could forge a line of a log, or steer a terminal, is escaped and can be seen.

Names of files, ids, messages and answers come from peers and files. A newline in one would begin a log line of the
writer's choice, an escape sequence would move the cursor, and a bidirectional override would show a name as another.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

_ALL = (
    "\x00-\x1f\x7f-\x9f"  # C0 (newline and ESC among them), DEL, C1 (CSI among them)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    "\u2028\u2029"  # line and paragraph separators
    "\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # invisible; zero-width joiners stay, since scripts need them
    "\ud800-\udfff"  # bytes of a name that are no UTF-8
)
_IN_LINES = re.compile(f"[{_ALL}]")
_IN_ANSWERS = re.compile(f"(?![\n\t])[{_ALL}]")


def one_line(text: str) -> str:
    r"""The text on one line; what isn't plain text is written as Python would: `\n`, `\x1b`, `\u202e`."""
    return _IN_LINES.sub(_escaped, text)


def paragraphs(text: str) -> str:
    """The same for an answer: newlines and tabs stay."""
    return _IN_ANSWERS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def marked(trace: str) -> str:
    """Many lines, such as a traceback's, each with a mark before it: none of them looks like one of a log."""
    return "\n".join(f"  | {one_line(line)}" for line in trace.rstrip("\n").split("\n"))


def trace_of(error: BaseException) -> str:
    """What to print of an error that ends a process or a thread: its kind, and its traceback, marked."""
    return f"ended by {type(error).__name__}\n{marked(''.join(traceback.format_exception(error)))}\n"


def escape_tracebacks() -> None:
    """From here on, errors that nobody catches, in this process's threads too, are printed like that."""

    def ended(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        print(trace_of(error), end="", file=sys.stderr, flush=True)

    def thread_ended(what: threading.ExceptHookArgs) -> None:
        if what.exc_value is not None and not isinstance(what.exc_value, SystemExit):
            print(trace_of(what.exc_value), end="", file=sys.stderr, flush=True)

    sys.excepthook, threading.excepthook = ended, thread_ended


def as_json(value: Any) -> str:
    """One line of JSON that reads back as `value`: other alphabets stay legible, what `one_line` escapes is escaped."""
    return _IN_LINES.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(value, ensure_ascii=False))
