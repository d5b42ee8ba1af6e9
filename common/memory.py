"""Memory that was freed goes back to the system: glibc keeps what many small pieces were cut out of."""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """Ask the C library to return what is free; False if it can't (it isn't glibc). Blocks for milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
