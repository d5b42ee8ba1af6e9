"""A daemon's memory is its own: tokens, keys and videos of others are in it, and its children read hostile files.

Linux lets a user's processes look into each other (ptrace, `/proc/PID/mem`, `/proc/PID/environ`) and writes their
memory into core dumps. A process that isn't "dumpable" is left alone by all but root. One that executes another program
has to say it again.
"""

from __future__ import annotations

import ctypes
import sys

_SET_DUMPABLE = 4  # of prctl(2)


def keep_memory_private(private: bool = True) -> None:
    """Close this process to others of the same user, or open it again. Nothing where that can't be (not Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, int(not private), 0, 0, 0)
