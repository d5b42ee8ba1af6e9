"""`edge_vision`: the edge runs the target's vision side and sends features in place of the video.

Decoding runs in the threads that read files, the vision tower in the drafter's thread; frames are encoded in the same
groups as in the cloud, and each can go up as soon as it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Protocol

from common.decoding import DecodedVideo, FrameGroup
from common.errors import EngineError, EventSpecError, ModelError
from common.types import Tensor
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.decoders import decoders
from edge.stages import Stages
from edge.worker import DraftingThread

if TYPE_CHECKING:
    from common.vision import TargetVision

_PACKETS = 16  # decoded at a time, so that a long clip's first frames don't wait for its last


class VisionLoader:
    """The target's vision side, loaded when it is first needed, in the drafter's thread."""

    def __init__(self, load: Callable[[], TargetVision] | None, thread: DraftingThread) -> None:
        """Prepare; `load` None: this edge has none."""
        self._load = load
        self._thread = thread
        self._loaded: TargetVision | None = None
        self._lock = asyncio.Lock()

    async def get(self, stages: Stages) -> TargetVision:
        """The vision side; the first call takes as long as loading does, and that is a `load` span.

        Raises:
            ModelError: this edge has none, or it can't be loaded.
        """
        async with self._lock:
            if self._loaded is None:
                if self._load is None:
                    raise ModelError(
                        "this edge has no vision model: start it with --vision-model and the target's folder "
                        "to use --mode edge_vision"
                    )
                self._loaded = await self._thread.run(_timed, self._load, stages)
        return self._loaded


def _timed(load: Callable[[], TargetVision], stages: Stages) -> TargetVision:
    with stages.span("load"):
        return load()


class Packets(Protocol):
    """A clip that is read in threads (`edge.clips.ReadClip`, `edge.video.Clip`)."""

    @property
    def header(self) -> VideoHeader:
        """What it is."""

    def packets(self) -> Iterator[VideoPacket]:
        """Its packets, from the first on."""


class ClipFeatures:
    """The features of one clip, made once from `start` on, in order; whoever reads them gets all, as they come."""

    def __init__(
        self,
        clip: Packets,
        vision: TargetVision,
        *,
        count: int,
        thread: DraftingThread,
        files: Executor,
        stages: Stages,
    ) -> None:
        self.header = FeaturesHeader(vision.fingerprint, count)
        self._clip = clip
        self._vision = vision
        self._count = count
        self._thread = thread
        self._files = files
        self._stages = stages
        self._done: list[FrameFeatures] = []
        self._error: EventSpecError | None = None
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to decode and encode."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop what still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def frames(self) -> AsyncIterator[FrameFeatures]:
        """All frames' features, from the first on.

        Raises:
            VideoFormatError: the clip is damaged.
            EngineError: the vision tower failed.
        """
        for index in range(self._count):
            async with self._changed:
                await self._changed.wait_for(lambda i=index: len(self._done) > i or self._error is not None)  # type: ignore[misc]
            if len(self._done) <= index:
                assert self._error is not None
                raise self._error
            yield self._done[index]

    async def _run(self) -> None:
        try:
            await self._make()
        except EventSpecError as error:
            self._error = error
        except Exception as error:  # torch's own errors too: whoever reads must hear of it
            self._error = EngineError(f"the edge's vision side failed: {error}")
        async with self._changed:
            self._changed.notify_all()

    async def _make(self) -> None:
        """Decode one group while the one before is encoded."""
        loop = asyncio.get_running_loop()
        groups = self._groups()
        upcoming = loop.run_in_executor(self._files, next, groups, None)
        try:
            while (group := await upcoming) is not None:
                upcoming = loop.run_in_executor(self._files, next, groups, None)
                features = await self._thread.run(self._encode, group)
                async with self._changed:
                    self._done += features
                    self._changed.notify_all()
        finally:
            upcoming.cancel()
        if len(self._done) != self._count:
            raise EngineError(f"the clip gave {len(self._done)} of {self._count} frames")

    def _groups(self) -> Iterator[FrameGroup]:
        """Groups of preprocessed frames; each step is one `video_decode` span, padded by `FrameGroups` itself."""
        replay = self._stages.replay
        decoder = DecodedVideo(
            self._clip.header,
            children=decoders(),
            count=self._count,
            size=self._vision.image_size,
            replay=replay.video if replay is not None else None,
        )
        packets = self._clip.packets()
        more_packets = True
        try:
            while more_packets:
                batch = [packet for _, packet in zip(range(_PACKETS), packets, strict=False)]
                more_packets = bool(batch)
                decoder.take(batch)
                more = True
                while more:
                    with self._stages.span("video_decode"):
                        group, more = decoder.work()
                    if group is not None:
                        self._stages.overran("video_decode", group.overruns)
                        yield group
        finally:
            decoder.close()

    def _encode(self, group: FrameGroup) -> list[FrameFeatures]:
        """In the drafter's thread: features of a group."""
        import torch

        replay = self._stages.replay
        planned_ms = replay.video.vision.at(len(group.pixels)) if replay is not None else 0.0
        with self._stages.span("vision_encode", planned_ms):
            features = self._vision.encode_frames(torch.from_numpy(group.pixels)).cpu()
        dtype = str(features.dtype).removeprefix("torch.")
        shape = (self._vision.tokens_per_frame, self._vision.hidden_size)
        rows = features.view(-1, *shape).contiguous().view(torch.uint8).numpy()
        return [
            FrameFeatures(group.first + place, Tensor(dtype, shape, frame.tobytes()))
            for place, frame in enumerate(rows)
        ]
