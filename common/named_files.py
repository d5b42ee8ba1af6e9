"""Files that somebody else names: which ones may be opened, and opening them without being held up or led astray.

A name is followed to what it stands for without opening it (O_PATH): what is then checked is the very thing that is
read, whatever happens to the name or to links in it meanwhile. Pipes, devices and sockets are never opened by mistake.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from common.errors import PathError, SettingsError

_CAMERAS = 81  # major number of video4linux devices
_KERNEL = ("/proc", "/sys")  # files that aren't on a disk: reading some waits for ever, or says what nobody asked for


class Kind(Enum):
    """What a name can stand for."""

    FILE = "a file"
    FOLDER = "a folder"
    PIPE = "a pipe"
    CAMERA = "a camera"
    DEVICE = "a device"
    SOCKET = "a socket"
    KERNEL = "a file of the kernel's"


FILES = frozenset({Kind.FILE})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be named: everything inside `roots`, real paths of folders (or files); None: all that can be read."""

    roots: tuple[str, ...] | None = None

    def check(self, real: str) -> None:
        """Raise PathError if a real path is outside; the message doesn't tell whether there is something."""
        if self.roots is None or any(_inside(real, root) for root in self.roots):
            return
        if not self.roots:
            raise PathError("files can't be named here: this daemon runs without --files FOLDER")
        raise PathError("is in none of the folders that may be named here: see --files of the daemon")


EVERYTHING = Allowed()


def allowed_in(roots: Sequence[str]) -> Allowed:
    """What is inside these folders, links in their own names resolved now.

    Raises:
        SettingsError: there is no such folder.
    """
    resolved = []
    for root in roots:
        real = os.path.realpath(root)
        if not root or not Path(real).exists():
            raise SettingsError(f"files: there is no folder {root!r}")
        resolved.append(real)
    return Allowed(tuple(resolved))


def kind_of(path: str | os.PathLike[str], allowed: Allowed = EVERYTHING) -> Kind:
    """What a name stands for.

    Raises:
        PathError: there is nothing, or it may not be named.
    """
    handle = _located(path, allowed)
    try:
        return _kind(handle)
    finally:
        os.close(handle)


def open_named(
    path: str | os.PathLike[str], allowed: Allowed = EVERYTHING, kinds: frozenset[Kind] = FILES
) -> io.FileIO:
    """Open for reading, unbuffered and never waiting; `name` is `path`.

    Raises:
        PathError: there is nothing of that kind, it may not be named, or it can't be read. The message doesn't name it.
    """
    handle = _located(path, allowed)
    try:
        found = _kind(handle)
        if found not in kinds:
            wanted = " or ".join(kind.value for kind in Kind if kind in kinds)
            raise PathError(f"is {found.value}; name {wanted}")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = io.FileIO(os.open(f"/proc/self/fd/{handle}", flags))
    except OSError as error:
        raise PathError(f"can't be read ({error.strerror})") from error
    finally:
        os.close(handle)
    file.name = os.fspath(path)  # for messages, in place of the number
    return file


def path_of(file: io.FileIO) -> Path:
    """A path to an open file, for libraries that want one."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def _located(path: str | os.PathLike[str], allowed: Allowed) -> int:
    """A handle (O_PATH) on what a name stands for, inside what is allowed."""
    name = os.fspath(path)
    if not name or "\0" in name:
        raise PathError("is no name of a file")
    try:
        handle = os.open(name, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        allowed.check(os.path.realpath(name))
        raise PathError(f"can't be read ({error.strerror})") from error
    try:
        allowed.check(_real(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _real(handle: int) -> str:
    """Where what a handle is on lies, as the kernel says: the name's links are behind us."""
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def _kind(handle: int) -> Kind:
    status = os.fstat(handle)
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return Kind.KERNEL if _of_the_kernel(handle, status) else Kind.FILE
    if stat.S_ISCHR(mode) and os.major(status.st_rdev) == _CAMERAS:
        return Kind.CAMERA
    tests = ((stat.S_ISDIR, Kind.FOLDER), (stat.S_ISFIFO, Kind.PIPE), (stat.S_ISSOCK, Kind.SOCKET))
    return next((kind for holds, kind in tests if holds(mode)), Kind.DEVICE)


def _of_the_kernel(handle: int, status: os.stat_result) -> bool:
    real = _real(handle)
    if any(_inside(real, place) for place in _KERNEL):
        return True
    devices = set()
    for place in _KERNEL:
        with suppress(OSError):
            devices.add(os.stat(place).st_dev)  # noqa: PTH116
    return status.st_dev in devices


def _inside(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip("/") + "/")
