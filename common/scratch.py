"""A daemon's temporary folder, and what daemons that were killed left of theirs.

A folder belongs to the process that holds a lock (flock) on it. The system lets go of the lock when that process ends,
in whatever way, so a folder of ours that can be locked is of a dead daemon, and the next one that starts removes it.
(systemd-tmpfiles, too, leaves locked folders alone, however old they are.)
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from common.errors import SettingsError

log = logging.getLogger("eventspec.scratch")

PREFIX = "eventspec-daemon-"
_MOST_SWEPT = 1_000  # folders looked at in one start
_ATTEMPTS = 100


class ScratchFolder:
    """A new folder of mode 0700 in the system's place for temporary files, locked until `remove` or this process's end.

    `swept` folders of dead daemons were removed on the way.

    Raises:
        SettingsError: it can't be made.
    """

    def __init__(self, base: Path | None = None) -> None:
        """`base`: where; None: the system's place (TMPDIR)."""
        base = base or Path(tempfile.gettempdir())
        self.swept = sweep(base)
        try:
            self.path, lock = _made(base)
        except OSError as error:
            raise SettingsError(
                f"no temporary folder can be made in {base} ({error.strerror}): set TMPDIR to one that can be written"
            ) from error

        self._end = weakref.finalize(self, _remove, self.path, lock)  # at the latest when the interpreter ends

    def emptied(self) -> Path:
        """The folder without anything in it, whatever was there, or happened to it."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        for entry in self.path.iterdir():
            entry.unlink(missing_ok=True)
        return self.path

    def remove(self) -> None:
        """Remove it with all that is in it; again: nothing."""
        self._end()


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _made(base: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        lock = _locked(path)
        if lock is not None:
            return path, lock
        # another daemon, starting at the same moment, took it for a dead one's between these two lines
    raise OSError(0, "other daemons remove it again and again")


def sweep(base: Path) -> int:
    """Remove the folders in `base` that daemons of this user left when they were killed; returns how many."""
    removed = 0
    with suppress(OSError), os.scandir(base) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
        for path in found[:_MOST_SWEPT]:
            lock = _locked(path)
            if lock is not None:
                _remove(path, lock)
                removed += 1
    if removed:
        log.info("removed the temporary folders of %d daemons that had been killed", removed)
    return removed


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock on a folder of this user; None if it is another's, is in use, or is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(found, path.lstat()):  # not removed before it was locked
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
