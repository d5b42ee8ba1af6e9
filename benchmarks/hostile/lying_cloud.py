"""A cloud that lies to its edges: `python -m benchmarks.hostile.lying_cloud serve HOST:PORT TOKENIZER_HASH`.

It speaks the contract, or what looks like it, with right checksums. The question says which lie it tells; `LIES` has
them all. Whoever asks "honest" is answered with a few words, so that there is something to compare with.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from eventspec.v1 import speculation_pb2 as pb

from benchmarks.hostile.raw_http2 import goaway, http_redirect, slow_drip
from common import codec
from common.rpc import channel_options
from common.sealing import Callee
from common.types import ServerInfo

Replies = AsyncIterator[bytes]
Lie = Callable[[pb.Open], Replies]
_MOST32, _MOST64 = 2**32 - 1, 2**64 - 1
_ESCAPES = "\x1b[2J\x1b]0;owned\x07\nforged: all is well\r"
WORDS = (70, 71, 72, 73)
_SLOW: pb.StepTimings = pb.StepTimings(queue_us=_MOST32, forward_us=_MOST32)
_STAGE: bytes = pb.SpeculateResponse(
    progress=pb.Progress(stage=pb.STAGE_PREFILL, start_us=2**53, duration_us=2**53)
).SerializeToString()


def opened(**fields: Any) -> bytes:
    """The session is taken in."""
    given = {"session_id": "session-0", "max_tokens": 64, "max_draft": 16, **fields}
    return pb.SpeculateResponse(opened=pb.Opened(**given)).SerializeToString()


def commit(start: int, ids: tuple[int, ...], **fields: Any) -> bytes:
    """Tokens of the answer."""
    return pb.SpeculateResponse(commit=pb.Commit(start_position=start, token_ids=ids, **fields)).SerializeToString()


def finished(**fields: Any) -> bytes:
    """The end."""
    given = {"reason": pb.FINISH_REASON_LENGTH, "length": len(WORDS), "target_passes": len(WORDS), **fields}
    return pb.SpeculateResponse(finished=pb.Finished(**given)).SerializeToString()


def failure(**fields: Any) -> bytes:
    """The end, with an error."""
    return pb.SpeculateResponse(failure=pb.Failure(**fields)).SerializeToString()


async def _say(*replies: bytes) -> Replies:
    for reply in replies:
        yield reply


async def _for_ever(first: bytes, *again: bytes) -> Replies:
    yield first
    while True:
        for reply in again:
            yield reply


async def _honest(opening: pb.Open) -> Replies:
    known = len(opening.resume.committed)
    yield opened(committed_length=known, video_needed=False)
    for place in range(known, len(WORDS)):
        yield commit(place, WORDS[place : place + 1])
    yield finished()


async def _growing(opening: pb.Open) -> Replies:
    """A text that never ends: beyond the length that was asked for."""
    yield opened(max_tokens=_MOST32)
    place = len(opening.resume.committed)
    while True:
        yield commit(place, (70 + place % 100,))
        place += 1
        await asyncio.sleep(0)


async def _breaks(_: pb.Open) -> Replies:
    yield opened()
    raise ConnectionResetError("on purpose")


LIES: dict[str, Lie] = {
    "honest": _honest,
    "ids": lambda o: _say(opened(), commit(0, (_MOST32,))),
    "vocabulary": lambda o: _say(opened(), commit(0, (1_000_000, 5))),
    "positions": lambda o: _say(opened(), commit(_MOST32, (5,))),
    "backwards": lambda o: _say(opened(), commit(0, (5, 6)), commit(0, (7, 8))),
    "drafted": lambda o: _say(opened(), commit(0, (5,), drafted=_MOST32)),
    "accepted": lambda o: _say(opened(), commit(0, (5,), drafted=_MOST32, accepted=_MOST32)),
    "timings": lambda o: _say(
        opened(),
        *(commit(n, (w,), waiting=_MOST32, timings=_SLOW, draft_id=2**53) for n, w in enumerate(WORDS)),
        finished(),
    ),
    "absurd": lambda o: _say(
        opened(max_tokens=_MOST32, max_draft=_MOST32, committed_length=_MOST32, lease_ms=_MOST32, draft_limit=_MOST32),
        *(commit(n, (w,), draft_limit=_MOST32) for n, w in enumerate(WORDS)),
        finished(target_passes=_MOST32, stale_drafts=_MOST32, replay_overruns=_MOST32, over_credit=_MOST32),
    ),
    "zeros": lambda o: _say(
        opened(max_tokens=0, max_draft=0), *(commit(n, (w,)) for n, w in enumerate(WORDS)), finished()
    ),
    "names": lambda o: _say(opened(replay="x" * 3_000_000, adapter=_ESCAPES)),
    "frames": lambda o: _say(opened(frames=[pb.FrameName(number=_MOST64, time_us=-(2**63))] * 300_000)),
    "many tokens": lambda o: _say(opened(), commit(0, (5,) * 3_000_000)),
    "flood": lambda o: _for_ever(opened(), commit(0, ())),
    "stages": lambda o: _for_ever(opened(), _STAGE),
    "twice": lambda o: _for_ever(opened(), opened()),
    "growing": _growing,
    "early": lambda o: _say(commit(0, (5,)), finished()),
    "shorter": lambda o: _say(opened(), finished(length=40)),
    "cancelled": lambda o: _say(opened(), finished(reason=pb.FINISH_REASON_CANCELLED, length=0)),
    "reason": lambda o: _say(opened(), b"\x22\x02\x08\x63"),
    "code": lambda o: _say(b"\x2a\x02\x08\x63"),
    "come back": lambda o: _say(failure(code=pb.FAILURE_CODE_CAPACITY, message=_ESCAPES, retry_after_ms=_MOST32)),
    "escapes": lambda o: _say(failure(code=pb.FAILURE_CODE_INVALID, message=_ESCAPES * 1_000)),
    "engine": lambda o: _say(failure(code=pb.FAILURE_CODE_ENGINE, message="x" * 200_000)),
    "garbage": lambda o: _say(b"\xff" * 100_000),
    "empty": lambda o: _say(b"", b""),
    "gigantic": lambda o: _say(b"\x00" * (9 << 20)),
    "breaks": _breaks,
}
"""Each by the word that asks for it."""


class LyingService:
    """The handlers of the contract's service."""

    def __init__(self, tokenizer_hash: str) -> None:
        self._info = ServerInfo(
            1, "liar", "01", tokenizer_hash, _MOST32, _MOST32, _MOST32, (), 0, 0, 0, 0, 0, 0, sessions_held=_MOST32
        )

    def handlers(self) -> grpc.GenericRpcHandler:
        """To be added to a server."""
        return grpc.method_handlers_generic_handler(
            codec.SERVICE,
            {
                "GetInfo": grpc.unary_unary_rpc_method_handler(self.get_info),
                "Speculate": grpc.stream_stream_rpc_method_handler(self.speculate),
                "StreamVideo": grpc.stream_stream_rpc_method_handler(self.stream_video),
            },
        )

    async def get_info(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Absurd limits."""
        seals = Callee(f"/{codec.SERVICE}/GetInfo")
        seals.open(request)
        return seals.seal(codec.encode_info(self._info))

    async def speculate(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """The lie that the question asks for; nothing after the `Open` is ever read."""
        seals = Callee(f"/{codec.SERVICE}/Speculate")
        opening = pb.SpeculateRequest.FromString(seals.open(await anext(requests))).open
        if opening.question == "compressed":
            context.set_compression(grpc.Compression.Gzip)
            yield seals.seal(b"\x00" * (400 << 20))
        if opening.question == "status":
            await context.abort(grpc.StatusCode.INTERNAL, _ESCAPES * 20, (("eventspec-failure", "no such code"),))
        async for reply in LIES[opening.question](opening):
            yield seals.seal(reply)

    async def stream_video(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """Acknowledges what nobody sent, for ever."""
        seals = Callee(f"/{codec.SERVICE}/StreamVideo")
        seals.open(await anext(requests))
        yield seals.seal(codec.encode_video_acknowledgement(2**53))
        while True:
            yield seals.seal(codec.encode_video_acknowledgement(1))


RAW = {"goaway": goaway, "redirect": http_redirect, "drip": slow_drip}
"""Clouds that speak no more than HTTP/2, or not even that; each listens on a port of its own."""


async def serve(listen: str, tokenizer_hash: str) -> None:
    """Until the standard input ends; says where each kind listens."""
    unlimited = [*channel_options(), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=unlimited)
    server.add_generic_rpc_handlers((LyingService(tokenizer_hash).handlers(),))
    host = listen.rpartition(":")[0]
    port = server.add_insecure_port(listen)
    await server.start()
    raw = [await asyncio.start_server(kind, host, 0) for kind in RAW.values()]
    where = [one.sockets[0].getsockname()[1] for one in raw]
    print(f"lying cloud ready on {','.join(f'{host}:{one}' for one in (port, *where))}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[2], sys.argv[3]))
