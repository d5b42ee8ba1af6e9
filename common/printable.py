"""Text as it may be shown: what could forge a line of a log, or steer a terminal, is escaped and can be seen.

Names of files, ids, messages and answers come from peers and files. A newline in one would begin a log line of the
writer's choice, an escape sequence would move the cursor, and a bidirectional override would show a name as another.
"""

from __future__ import annotations

import json
import re
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


def as_json(value: Any) -> str:
    """One line of JSON that reads back as `value`: other alphabets stay legible, what `one_line` escapes is escaped."""
    return _IN_LINES.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(value, ensure_ascii=False))
