"""A peer that sends whatever bytes it is given, as a process of its own: what it does costs the tested loop nothing.

    python -m tests.raw_peer call ADDRESS METHOD FILE    sends the file's messages in one call
    python -m tests.raw_peer serve INFO FILE             a cloud that says these things to whoever opens a session

`call` prints `CODE DETAILS` and ends; `serve` prints its address, and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from common import codec

_OPTIONS = [("grpc.max_send_message_length", 64 << 20), ("grpc.max_receive_message_length", 64 << 20)]


def _call(address: str, method: str, messages: Sequence[bytes]) -> None:
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        replies: Any = channel.stream_stream(method)(iter(messages), timeout=60)
        try:
            last = [len(reply) for reply in replies][-1:]
        except grpc.RpcError as error:
            print(error.code().name, " ".join(str(error.details()).split()), flush=True)
        else:
            print("OK", last, flush=True)


def _serve(info: bytes, messages: Sequence[bytes]) -> None:
    def speculate(requests: Any, context: Any) -> Iterator[bytes]:
        next(requests)
        yield from messages
        for _ in requests:
            pass

    def stream_video(requests: Any, context: Any) -> Iterator[bytes]:
        size = sum(len(request) for request in requests)
        yield codec.encode_video_reply(1, size)

    handlers = {
        "GetInfo": grpc.unary_unary_rpc_method_handler(lambda request, context: info),
        "Speculate": grpc.stream_stream_rpc_method_handler(speculate),
        "StreamVideo": grpc.stream_stream_rpc_method_handler(stream_video),
    }
    server = grpc.server(ThreadPoolExecutor(8), options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(codec.SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(0)


def _read(path: str) -> list[bytes]:
    data, messages, at = Path(path).read_bytes(), list[bytes](), 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        messages.append(data[at + 4 : end])
        at = end
    return messages


@asynccontextmanager
async def raw_peer(folder: Path, kind: str, *about: str, messages: Sequence[bytes]) -> AsyncIterator[str]:
    """A running peer; its first line."""
    file = folder / "messages"
    file.write_bytes(b"".join(len(data).to_bytes(4, "little") + data for data in messages))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.raw_peer",
        kind,
        *about,
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    kind, *rest, messages_file = sys.argv[1:]
    if kind == "call":
        _call(rest[0], rest[1], _read(messages_file))
    else:
        _serve(Path(rest[0]).read_bytes(), _read(messages_file))
