"""The spool's folder, looked at before it is trusted: whose it is, who else may write there, what lies in it.

Journals hold questions, and what they say is gone on with after a restart. So the folder must be this user's and closed
to others, and of what lies in it only regular files of this user, mode 0600, are read; all else is left where it is.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from common.errors import SettingsError

log = logging.getLogger("eventspec.spool")

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def opened(folder: Path) -> None:
    """Make the folder, if it is missing, with mode 0700; close one of this user's that others could look into.

    Raises:
        SettingsError: it can't be made or used, it is another user's, or others may write there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the spool {folder} can't be made ({error.strerror}): name another folder") from error
    check(folder)
    if folder.stat().st_mode & _OTHERS:
        log.warning("the spool %s could be looked into by others: closing it (chmod 700)", folder)
        folder.chmod(0o700)


def check(folder: Path) -> None:
    """Raise SettingsError unless the folder is this user's, no other may write there, and it can be used."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise SettingsError(
            f"the spool {folder} belongs to another user (uid {found.st_uid}): change its owner, or name another folder"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise SettingsError(
            f"others may write into the spool {folder} (mode {stat.S_IMODE(found.st_mode):04o}), and could give this "
            "daemon answers to go on with: empty it and chmod 700 it, or name another folder"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"the spool {folder} can't be written: chmod 700 it, or name another folder")


def journals(folder: Path, suffix: str) -> list[Path]:
    """The files with that suffix that are this daemon's to read, newest first; of others a line in the log tells."""
    aged: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix):
                    found = entry.stat(follow_symlinks=False)
                    if wrong := wrong_with(found):
                        log.warning("the spool's %a is left alone: it %s", entry.name, wrong)
                    else:
                        aged.append((found.st_mtime_ns, Path(entry.path)))
    except OSError as error:
        log.warning("the spool %s can't be read (%s): answers in it aren't gone on with", folder, error.strerror)
    return [path for _, path in sorted(aged, reverse=True)]


def read_own(path: Path, most: int) -> bytes | None:
    """The contents of a journal, up to `most` bytes; None if it is longer, can't be read, or isn't one (any more)."""
    try:
        # a FIFO would keep an open without O_NONBLOCK waiting for ever
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(file)
        if wrong_with(found) or found.st_size > most:
            return None
        return os.read(file, most)  # in one piece: it is a regular file, and short
    except OSError:
        return None
    finally:
        os.close(file)


def create(path: Path) -> int:
    """A descriptor of a new, empty journal, mode 0600, in place of an older one. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    try:
        if wrong := wrong_with(os.fstat(file)):
            raise OSError(f"{path.name} {wrong}")
    except OSError:
        os.close(file)
        raise
    return file


def wrong_with(found: os.stat_result) -> str:
    """What is wrong with a journal's file; empty: nothing."""
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_uid != os.geteuid():
        return f"belongs to another user (uid {found.st_uid})"
    if found.st_mode & _OTHERS:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o}, not 0600)"
    return ""
