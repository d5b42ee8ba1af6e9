"""A small file that is read again when it has changed, and not more often than it is looked at."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from common.errors import SettingsError

_LOOK_EVERY_S = 0.5
_MAX_BYTES = 4 << 20

Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """What changes when a file does; None if it isn't there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class WatchedFile:
    """One file. May be asked from several threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: Stamp = None
        self._looked = float("-inf")

    def read_text(self) -> str:
        """The contents now. Raises SettingsError if they can't be read, are too much, or no text."""
        with self._lock:
            self._stamp, self._looked = stamp_of(self.path), self._clock()
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise SettingsError(f"{self.path} has more than {_MAX_BYTES:,} bytes: is it the right file?")
            return data.decode("utf-8")
        except OSError as error:
            raise SettingsError(f"can't read {self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.path} isn't text: is it the right file?") from error

    def changed_text(self) -> str | None:
        """The contents, if they have changed since they were read; looks twice a second at most.

        Raises:
            SettingsError: as `read_text`.
        """
        with self._lock:
            now = self._clock()
            if now - self._looked < _LOOK_EVERY_S:
                return None
            self._looked = now
            stamp = stamp_of(self.path)
            if stamp == self._stamp:
                return None
        return self.read_text()


def readable_by_others(path: Path) -> bool:
    """True if the file's mode lets others than its owner and group read it."""
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it appears whole or not at all. Raises SettingsError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SettingsError(f"can't write {path}: {error.strerror}") from error
