"""A small file that the engine process maps and writes, as the front reads it.

The front reads, and never maps: a mapping of a file that its writer cuts short ends the process that looks at it. What
is missing reads as zeros, and what is there may be anything.
"""

from __future__ import annotations

import os
from pathlib import Path


class PageFile:
    """The front's end of a file of `size` bytes."""

    def __init__(self, path: Path, size: int) -> None:
        """Make it, of zeros."""
        path.write_bytes(bytes(size))
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = size

    def read(self, size: int = 0, at: int = 0) -> bytes:
        """So many bytes from `at` on; all of the file's if `size` is 0."""
        size = size or self._size - at
        return os.pread(self._file, size, at).ljust(size, b"\0")

    def close(self) -> None:
        """Let go of the file; it can't be read any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
