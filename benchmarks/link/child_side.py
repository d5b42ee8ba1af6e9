"""How a process that emulates a link talks with the one that started it: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def stay_behind() -> None:
    """Ctrl-C and SIGTERM are the parent's business, which closes this process's input when it is done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def say(message: Mapping[str, Any]) -> None:
    """One line of JSON to the parent, who may be gone."""
    with suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


def read_line() -> bytes:
    """The parent's next line; empty when it has closed this process's input, or is gone."""
    line = bytearray()
    while byte := os.read(0, 1):
        line += byte
        if byte == b"\n":
            break
    return bytes(line)
