"""A plain TCP relay from the far side of a link out into the machine's own network.

`python -m benchmarks.link.forward_process NAMESPACE LISTEN_HOST HOST:PORT...` listens in the namespace on LISTEN_HOST
and the same ports, and connects from where it was started. Says `{"ready": true}` or `{"error": ...}`. Ends when its
input ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress

from benchmarks.link.child_side import say, stay_behind
from benchmarks.link.kernel import be_punctual, within


def _listen(namespace: str, host: str, targets: list[str]) -> list[tuple[socket.socket, str, int]]:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    with within(descriptor):
        listeners = []
        for target in targets:
            where, _, port = target.rpartition(":")
            listeners.append((socket.create_server((host, int(port))), where, int(port)))
    os.close(descriptor)
    return listeners


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out: asyncio.StreamWriter | None = None
        with suppress(OSError):
            back, out = await asyncio.open_connection(host, port)
            await asyncio.gather(_carry(reader, out), _carry(back, writer))
        for end in (writer, out):
            if end is not None:
                end.close()

    await asyncio.start_server(serve_one, sock=listener)


async def _run(listeners: list[tuple[socket.socket, str, int]]) -> None:
    for listener, host, port in listeners:
        await _serve(listener, host, port)
    ended = asyncio.Event()

    def react() -> None:
        if not os.read(0, 4096):
            ended.set()

    asyncio.get_running_loop().add_reader(0, react)
    say({"ready": True})
    await ended.wait()
    asyncio.get_running_loop().remove_reader(0)


def main() -> None:
    """Relay until standard input ends."""
    stay_behind()
    be_punctual()
    namespace, host, *targets = sys.argv[1:]
    try:
        listeners = _listen(namespace, host, targets)
    except OSError as error:
        say({"error": f"the far side can't listen for what is to be forwarded: {error}"})
        sys.exit(1)
    asyncio.run(_run(listeners))


if __name__ == "__main__":
    main()
