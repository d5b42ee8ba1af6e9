"""What the children of `test_limited_child` do: each request names a deed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import VideoFormatError

_held: list[Any] = []


def make() -> Callable[[bytes], list[bytes]]:
    """An answerer that counts its requests."""
    count = 0

    def answer(request: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        name, _, argument = request.partition(b":")
        return _DEEDS[name.decode()](argument, count)

    return answer


def _echo(argument: bytes, _: int) -> list[bytes]:
    return [argument]


def _count(_: bytes, count: int) -> list[bytes]:
    return [str(count).encode()]


def _refuse(argument: bytes, _: int) -> list[bytes]:
    raise VideoFormatError(argument.decode())


def _segv(_: bytes, __: int) -> list[bytes]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def _leave(_: bytes, __: int) -> list[bytes]:
    os._exit(0)


def _hang(_: bytes, __: int) -> list[bytes]:
    time.sleep(60)
    return []


def _spin(_: bytes, __: int) -> list[bytes]:
    while True:
        pass


def _bomb(_: bytes, __: int) -> list[bytes]:
    _held.append(bytearray(2**40))
    return []


def _hold(argument: bytes, _: int) -> list[bytes]:
    _held.append(b"x" * int(argument))
    return [b"held"]


def _deep(_: bytes, __: int) -> list[bytes]:
    raise RecursionError("maximum recursion depth exceeded")


def _garbage(_: bytes, __: int) -> list[bytes]:
    os.write(0, b"\xff" * 64)
    return []


def _long(argument: bytes, _: int) -> list[bytes]:
    return [bytes(int(argument))]


def _cut(_: bytes, __: int) -> list[bytes]:
    os.write(0, b"\x01" + (100).to_bytes(8, "big") + b"half")
    os._exit(0)


def _write(argument: bytes, _: int) -> list[bytes]:
    Path(argument.decode()).write_bytes(b"no child may do this")
    return [b"written"]


def _open(argument: bytes, _: int) -> list[bytes]:
    Path(argument.decode()).read_bytes()
    return [b"read"]


def _socket(_: bytes, __: int) -> list[bytes]:
    socket.socket().close()
    return [b"made"]


def _where(_: bytes, __: int) -> list[bytes]:
    return ["\n".join([str(Path.cwd()), *sys.path]).encode()]


def _environment(_: bytes, __: int) -> list[bytes]:
    return [" ".join(sorted(os.environ)).encode()]


_DEEDS: dict[str, Callable[[bytes, int], list[bytes]]] = {
    "echo": _echo,
    "count": _count,
    "refuse": _refuse,
    "segv": _segv,
    "leave": _leave,
    "hang": _hang,
    "spin": _spin,
    "bomb": _bomb,
    "hold": _hold,
    "deep": _deep,
    "garbage": _garbage,
    "long": _long,
    "cut": _cut,
    "write": _write,
    "open": _open,
    "socket": _socket,
    "where": _where,
    "environment": _environment,
}
