"""An engine process that has been broken into, as a program: it misbehaves once, and its successor answers.

Started by `EngineProcess` in place of the real one: `model` in its settings names the misdeed, `faults` a folder that
remembers that it has been done.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import zmq

from cloud.engine_wire import HIGH_WATER, OUT, pack, unpack
from cloud.engine_words import pack_broken, pack_ready, pack_told
from cloud.messages import FrameSpec
from common import codec
from common.types import Commit, Finished, FinishReason, Opened, ServerInfo

INFO = ServerInfo(1, "fake", "01", "23", 50, 4, 8, (2,), 2, 512, 512, 16, 1 << 20, 1 << 20)
SPEC = FrameSpec(16, 8)
Socket = zmq.Socket[bytes]


def garbage(socket: Socket, about: dict[str, str]) -> None:
    rng = random.Random(0)
    for _ in range(1_000):
        socket.send_multipart([rng.randbytes(rng.randrange(60)) for _ in range(rng.randrange(1, 4))])


def one_frame(socket: Socket, about: dict[str, str]) -> None:
    socket.send(b"hello")


def many_frames(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart([b"x"] * 100_000)


def deep_head(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart([b"\x91" * 50_000 + b"\xc0", b""])


def no_text(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart([msgpack.packb([1, {"a": [2]}, None]), b""])


def wrong_kind(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart(pack("edge", "session-0", 1.0, body=b"x"))


def bad_body(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart(pack(OUT, "session-0", body=b"\xff" * 100))


def ready_for_ever(socket: Socket, about: dict[str, str]) -> None:
    while True:
        socket.send_multipart(pack_ready(INFO, SPEC))


def huge(socket: Socket, about: dict[str, str]) -> None:
    while True:
        socket.send_multipart([b"x" * (256 << 20), b""])


def flood(socket: Socket, about: dict[str, str]) -> None:
    told = pack_told("session-0", Commit(0, (5,)))
    while True:
        socket.send_multipart(told)


def strangers(socket: Socket, about: dict[str, str]) -> None:
    number = 0
    while True:
        number += 1
        socket.send_multipart(pack_told(f"stranger-{number}", Finished(FinishReason.STOP, 1)))


def notices(socket: Socket, about: dict[str, str]) -> None:
    while True:
        socket.send_multipart(pack_broken("all is well\n" * 1_000))


def anothers_name(socket: Socket, about: dict[str, str]) -> None:
    socket.send_multipart(pack_told("session-0", Opened("session-1", 5, 5)))


def hangs_up(socket: Socket, about: dict[str, str]) -> None:
    socket.close(linger=0)


def lies(socket: Socket, about: dict[str, str]) -> None:
    """All numbers as high as they get, names of anybody; then its pages are cut off, and it dies."""
    with Path(about["page"]).open("r+b") as file:
        page = mmap.mmap(file.fileno(), 0)
        page[:] = b"[" * len(page)
        struct.pack_into("<QIIII", page, 0, 2**64 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    time.sleep(0.6)
    for name in ("page", "stats"):
        os.truncate(about[name], 0)
    time.sleep(0.6)
    os.kill(os.getpid(), signal.SIGKILL)


def stands_still(socket: Socket, about: dict[str, str]) -> None:
    """It waits, says its page, and never turns."""


MISDEEDS: dict[str, Callable[[Socket, dict[str, str]], None]] = {
    misdeed.__name__: misdeed
    for misdeed in (
        garbage,
        one_frame,
        many_frames,
        deep_head,
        no_text,
        wrong_kind,
        bad_body,
        ready_for_ever,
        huge,
        flood,
        strangers,
        notices,
        anothers_name,
        hangs_up,
        lies,
        stands_still,
    )
}


def answer(socket: Socket, about: dict[str, str]) -> None:
    """As a good engine: every `Open` is taken."""
    with Path(about["page"]).open("r+b") as file:
        page, turns = mmap.mmap(file.fileno(), 0), 0
    while True:
        turns += 2
        struct.pack_into("<Q", page, 0, turns)
        if socket.poll(200):
            kind, session_id, _, body = unpack(socket.recv_multipart())
            if kind == "stop":
                return
            if body:
                opening = codec.decode_edge_message(body)
                socket.send_multipart(pack_told(session_id, Opened(getattr(opening, "session_id", session_id), 5, 5)))


def main() -> None:
    """`hostile_engine.py ADDRESS SETTINGS_JSON PARENT_PID ABOUT_JSON`."""
    address, settings, about = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[4])
    done = Path(settings["faults"]) / "done"
    socket = zmq.Context().socket(zmq.PAIR)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.connect(address)
    if settings["model"] == "never_ready" and not done.exists():
        done.touch()
        socket.send_multipart([msgpack.packb(["ready", "", {"size": -1}]), b"\x08\x01"])
        time.sleep(60)
    socket.send_multipart(pack_ready(INFO, SPEC))
    if not done.exists():
        socket.recv_multipart()
        done.touch()
        MISDEEDS[settings["model"]](socket, about)
        time.sleep(60)
    answer(socket, about)


if __name__ == "__main__":
    main()
