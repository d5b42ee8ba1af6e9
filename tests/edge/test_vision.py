"""An edge that encodes vision itself: every frame's features, in order, once; errors reach whoever reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import EngineError, ModelError, VideoFormatError
from common.replay import load_profile
from common.video import VideoPacket
from edge.stages import Stages
from edge.video import Clip, open_clip, write_video
from edge.vision import ClipFeatures, VisionLoader
from edge.worker import DraftingThread


class FakeVision:
    """Features that name their frame: the mean of its pixels."""

    fingerprint = "fake"
    image_size = 8
    tokens_per_frame = 2
    hidden_size = 3

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[int] = []
        self.fail_at = fail_at

    def encode_frames(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.fail_at is not None and len(self.calls) >= self.fail_at:
            raise RuntimeError("CUDA out of memory")
        self.calls.append(len(pixels))
        means = pixels.mean(dim=(1, 2, 3), dtype=torch.float32).to(torch.bfloat16)
        return means.repeat_interleave(2).unsqueeze(1).expand(-1, 3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = Path(tmp_path_factory.mktemp("clips")) / "clip.mp4"
    write_video(path, [np.full((32, 48, 3), 8 * i, dtype=np.uint8) for i in range(30)], fps=10)
    return open_clip(path)


@pytest.fixture
async def thread() -> AsyncIterator[DraftingThread]:
    made = DraftingThread()
    yield made
    made.close()


@pytest.fixture
def files() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def features_of(clip: Any, thread: DraftingThread, files: ThreadPoolExecutor, **named: Any) -> ClipFeatures:
    vision, stages = named.pop("vision", FakeVision()), named.pop("stages", Stages())
    made = ClipFeatures(clip, vision, count=8, thread=thread, files=files, stages=stages)
    made.start()
    return made


async def test_every_frame_once_and_in_order_for_every_reader(
    clip: Clip, thread: DraftingThread, files: ThreadPoolExecutor
) -> None:
    vision, stages = FakeVision(), Stages()
    features = features_of(clip, thread, files, vision=vision, stages=stages)
    read = [[frame async for frame in features.frames()] for _ in range(2)]
    assert read[0] == read[1]
    assert sum(vision.calls) == 8
    assert [frame.index for frame in read[0]] == list(range(8))
    assert {(frame.features.dtype, frame.features.shape) for frame in read[0]} == {("bfloat16", (2, 3))}
    values = [torch.frombuffer(bytearray(f.features.data), dtype=torch.bfloat16) for f in read[0]]
    assert all(len(set(rows.tolist())) == 1 for rows in values)
    means = [float(rows[0]) for rows in values]
    assert means == sorted(means)
    assert len(set(means)) == 8
    assert {span.name for span in stages.spans} == {"video_decode", "vision_encode"}
    await features.close()


async def test_a_replayed_profile_sets_the_pace(clip: Clip, thread: DraftingThread, files: ThreadPoolExecutor) -> None:
    times = load_profile("7b-4bit-24gb")
    stages = Stages(times)
    features = features_of(clip, thread, files, stages=stages)
    assert len([frame async for frame in features.frames()]) == 8
    took: dict[str, float] = {}
    for span in stages.spans:
        took[span.name] = took.get(span.name, 0.0) + (span.ended - span.started) * 1e3
    assert took["video_decode"] >= times.video.decode_ms + times.video.preprocess_ms - 5
    assert took["vision_encode"] >= times.video.vision.at(8) - 1
    assert stages.overruns == 0


class Damaged:
    """A clip that breaks off after its first frame."""

    def __init__(self, clip: Clip) -> None:
        self.header = clip.header
        self._clip = clip

    def packets(self) -> Iterator[VideoPacket]:
        yield next(iter(self._clip.packets()))
        raise VideoFormatError("the clip is damaged: copy it again")


async def test_a_damaged_clip_reaches_the_reader(clip: Clip, thread: DraftingThread, files: ThreadPoolExecutor) -> None:
    features = features_of(Damaged(clip), thread, files)
    with pytest.raises(VideoFormatError, match="copy it again"):
        async for _ in features.frames():
            pass


async def test_a_failing_tower_reaches_the_reader(
    clip: Clip, thread: DraftingThread, files: ThreadPoolExecutor
) -> None:
    features = features_of(clip, thread, files, vision=FakeVision(fail_at=1))
    reader = features.frames()
    first = await anext(reader)
    assert first.index == 0
    with pytest.raises(EngineError, match="CUDA out of memory"):
        await _rest(reader)


async def _rest(reader: AsyncIterator[Any]) -> list[Any]:
    return [frame async for frame in reader]


async def test_closing_ends_what_runs(clip: Clip, thread: DraftingThread, files: ThreadPoolExecutor) -> None:
    features = features_of(clip, thread, files, stages=Stages(load_profile("7b-4bit-24gb")))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await features.close()
    left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
    assert left == []


async def test_the_vision_side_is_loaded_once_and_by_need(thread: DraftingThread) -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return FakeVision()

    loader, stages = VisionLoader(load, thread), Stages()
    one, two = await asyncio.gather(loader.get(stages), loader.get(stages))
    assert one is two
    assert len(loads) == 1
    assert [span.name for span in stages.spans] == ["load"]
    with pytest.raises(ModelError, match="--vision-model"):
        await VisionLoader(None, thread).get(stages)


async def test_a_model_that_doesnt_load_is_tried_again(thread: DraftingThread) -> None:
    outcomes: list[Any] = [ModelError("broken: copy it again"), FakeVision()]

    def load() -> Any:
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    loader = VisionLoader(load, thread)
    with pytest.raises(ModelError, match="broken"):
        await loader.get(Stages())
    assert isinstance(await loader.get(Stages()), FakeVision)
