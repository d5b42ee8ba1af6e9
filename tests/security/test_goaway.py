"""A peer that says goodbye with an error code that HTTP/2 doesn't know must not end this process.

grpcio 1.84 and 1.85 abort inside their own code at such a frame, where nothing can catch it; `pyproject.toml` leaves
them out. A flipped bit is enough to make one.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading

import pytest

_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_CALLING = """
import asyncio, sys
import grpc.aio

async def main():
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        try:
            await asyncio.wait_for(channel.stream_stream("/a/b")().read(), 2)
        except (grpc.RpcError, TimeoutError):  # gRPC may try again on another connection
            print("lives")

asyncio.run(main())
"""


def goaway(code: int) -> bytes:
    """The frame, about no stream."""
    return b"\0\0\x08\x07\0\0\0\0\0" + struct.pack("!II", 0, code)


def serve_once(listening: socket.socket, code: int) -> None:
    """Take connections, greet each, and say goodbye."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(65_536)
            connection.sendall(_SETTINGS)
            connection.recv(65_536)
            connection.sendall(goaway(code))
            connection.recv(65_536)


@pytest.mark.parametrize("code", [0x0D, 0x0E, 0x0F, 0x10, 0x100, 0xFFFFFFFF])
def test_an_unknown_goodbye_ends_no_process(code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve_once, args=(listening, code), daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        command = [sys.executable, "-P", "-c", _CALLING, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        listening.shutdown(socket.SHUT_RDWR)
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr[-500:]
