"""How long an event loop was kept from everybody else: the longest of the steps that it ran, one after another.

A step is timed in processor time of the loop's thread, so that whatever else the machine does isn't counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Longest:
    """The longest step so far, in seconds, and what it was."""

    seconds: float = 0.0
    what: str = ""

    def __str__(self) -> str:
        return f"{self.seconds * 1e3:.1f} ms in {self.what}"


@contextmanager
def longest_step() -> Iterator[Longest]:
    """Of this thread's loop, for as long as the block runs."""
    found, thread, run = Longest(), threading.get_ident(), asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        if threading.get_ident() != thread:
            run(handle)
            return
        began = time.thread_time()
        what = repr(handle)  # before it runs: a task is at its next place afterwards
        took_to_say = time.thread_time() - began
        run(handle)
        took = time.thread_time() - began - took_to_say
        if took > found.seconds:
            found.seconds, found.what = took, what[:400]

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]
