"""The end of a daemon's process, once everything has been ended in good order."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def end_process(status: int = 0) -> NoReturn:
    """End this process at once.

    What was registered for the end is done, all output is out. What is left out is the interpreter's own tidying up:
    with torch loaded it takes seconds of processor time, and on a busy machine many, for memory that the system takes
    back anyway; and it would wait for threads that nobody waits for any more.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
