"""No clip ends a process: hostile ones through the real front, engine and edge, and then the same honest answer."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair
from common import codec
from common.ask import Mode
from common.errors import EventSpecError, MessageError
from common.types import Close, Failure, Open
from tests.e2e.pairs import ask, engine_of
from tests.hostile_clips import Video, honest_videos, hostile_files, hostile_video

_VIDEOS, _AT_A_TIME = 160, 4
_FILES = 20


@pytest.fixture(autouse=True)
def _the_same_processes(pair: Pair, clips: list[ClipQuestion]) -> Iterator[None]:
    """They are there afterwards, and answer as before."""

    def look() -> tuple[list[int], list[int]]:
        assert pair.cloud.process.poll() is pair.edge.process.poll() is None
        pids = [pair.cloud.process.pid, engine_of(pair.cloud.process.pid), pair.edge.process.pid]
        return pids, ask(pair.edge.address, clips[0], mode=Mode.CLOUD_ONLY, max_tokens=8).token_ids

    before = look()
    yield
    assert look() == before


async def outcome(channel: grpc.aio.Channel, uploads: grpc.Channel, video: Video, session: bool) -> str:
    """What a hostile edge hears of its video."""
    name = uuid.uuid4().hex
    header = replace(video.header, ahead=video.header.ahead or not session)
    try:
        messages = [codec.encode_video_header(name, header)]
        messages += [codec.encode_video_packets([packet]) for packet in video.packets]
    except MessageError:
        return "can't be written"
    talk: Any = None
    if session:
        talk = channel.stream_stream(f"/{codec.SERVICE}/Speculate")()
        await talk.write(codec.encode_edge_message(Open(name, "what?", max_tokens=2)))
        if isinstance(codec.decode_cloud_message(await talk.read()), Failure):
            return "no place"
    said = await asyncio.to_thread(_upload, uploads, messages)
    if talk is not None:
        async with asyncio.timeout(60):
            await talk.write(codec.encode_edge_message(Close()))
            while await talk.read() is not grpc.aio.EOF:
                pass
    return said


def _upload(channel: grpc.Channel, messages: list[bytes]) -> str:
    """How an upload ends; grpc.aio would say INTERNAL wherever a stream is refused while something is written."""
    try:
        channel.stream_unary(f"/{codec.SERVICE}/StreamVideo")(iter(messages), timeout=60)
    except grpc.RpcError as error:
        return _line(error.code().name, error.details())
    return "taken"


def _line(kind: str, text: str | None) -> str:
    """The kind of a refusal that is told as it should be, in one clear line; else all of it."""
    return (
        kind if text and "\n" not in text and kind not in ("INTERNAL", "UNKNOWN", "EngineError") else f"{kind}: {text}"
    )


@pytest.mark.slow
async def test_hostile_packets(pair: Pair, tmp_path: Path) -> None:
    videos, chance = honest_videos(tmp_path), random.Random(20261201)
    heard: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(pair.cloud.address) as channel:
        uploads = grpc.insecure_channel(pair.cloud.address)
        for _ in range(_VIDEOS // _AT_A_TIME):
            some = [hostile_video(videos, chance) for _ in range(_AT_A_TIME)]
            heard.update(
                await asyncio.gather(*(outcome(channel, uploads, video, chance.random() < 0.7) for video in some))
            )
        uploads.close()
    known = {"taken", "can't be written", "no place", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
    assert heard.keys() <= known, heard
    assert heard["INVALID_ARGUMENT"] > _VIDEOS // 4, heard


@pytest.mark.slow
def test_hostile_files(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    chance, heard = random.Random(20261201), Counter[str]()
    for path in hostile_files(tmp_path, chance, _FILES):
        mode = chance.choice([Mode.CLOUD_ONLY, Mode.EDGE_VISION, Mode.STREAM_TO_CLOUD])
        try:
            ask(pair.edge.address, replace(clips[0], video=path), mode=mode, max_tokens=4)
            heard["answered"] += 1
        except EventSpecError as error:
            heard[_line(type(error).__name__, str(error))] += 1
    assert heard.keys() <= {"answered", "VideoFormatError", "InputError"}, heard
    assert heard["answered"] < heard.total() - 6, heard
