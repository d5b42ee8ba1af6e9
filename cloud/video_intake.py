"""Videos on their way to the engine: read as they come, decoded in turns, preprocessed in groups. No torch, no model.

A video is joined to its session, or to the clip that it begins, by id; what can't be used fails that session only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from cloud.admission import Admission
from cloud.backlog import Backlog, cost
from cloud.config import CloudSettings
from cloud.decoding_places import DecodingPlaces
from cloud.engine_client import EngineClient
from cloud.ingest import LiveLimits, Receiver, receiver_for
from cloud.messages import Alive, Frames, LiveFrames, OpenClip, VideoFailed
from cloud.streams import StreamTable
from cloud.turns import FairTurns
from common import codec
from common.allowance import Allowance
from common.decoding import decoding_children
from common.errors import EngineError, EventSpecError, MessageError, SessionError, VideoFormatError
from common.replay import load_profile
from common.video import FeaturesHeader, VideoHeader
from common.video_limits import VideoLimits

_LIVE_BURST_S = 4.0
_SPARE = 4  # videos beyond one for each session: some are sent again while the line of the last try is still up
_RENEW_S = 2.0  # a video that is coming renews its session's lease this often


class VideoIntake:
    """Takes all videos in; two are decoded at a time, or as many as a replayed profile says, each by its own child."""

    def __init__(
        self, engine: EngineClient, streams: StreamTable, settings: CloudSettings, admission: Admission
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._settings = settings
        self._admission = admission
        self._replay = load_profile(settings.replay).video if settings.replay else None
        workers = self._replay.workers if self._replay is not None else 2
        self._decoding = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="video")
        self._turns = FairTurns(workers, fair=settings.fair_shares)
        self._places = DecodingPlaces(settings.sessions + _SPARE, settings.open_timeout_s)
        self._children = decoding_children(settings.sessions + _SPARE)
        self._children.warm_up()

    def close(self) -> None:
        """End the decoding threads, and the children that wait; those at work end with this process."""
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._children.close()

    async def take(
        self, requests: AsyncIterator[bytes], client: str, scoped: Callable[[str], str]
    ) -> AsyncGenerator[bytes, None]:
        """The replies to a video. Messages are read, and acknowledged, as they come, while those before are decoded.

        Args:
            requests: of the call.
            client: who sends.
            scoped: the id that is meant by the one which the client has chosen; asked once a request has come.

        Raises:
            EventSpecError: the video, or what was said of it, can't be used; its session has heard of it.
        """
        session_id, header, size = "", None, 0
        backlog, renewed = Backlog(), time.monotonic()
        live = Allowance(self._settings.live_bytes_per_s, _LIVE_BURST_S * self._settings.live_bytes_per_s)
        try:
            async with contextlib.aclosing(backlog.reading(requests)) as incoming:
                async for data in incoming:
                    size += len(data)
                    if session_id and time.monotonic() - renewed > _RENEW_S:
                        renewed = time.monotonic()
                        await self._engine.send(session_id, Alive())
                    if size > self._settings.max_video_bytes and not _is_live(header):
                        await self._refuse_video(session_id)
                    named, announced, items = codec.decode_video_message(data)
                    charged = cost(len(data), len(items))
                    if (wait := self._admission.video(client, charged, time.monotonic())) > 0:
                        await asyncio.sleep(wait)
                    if header is None:
                        if announced is None or not named:
                            raise MessageError("a video begins with its session id and header")
                        session_id, header = scoped(named), announced
                        backlog.start(self._decode(session_id, header, backlog, client))
                    if _is_live(header) and (wait := live.take(charged, time.monotonic())) > 0:
                        await asyncio.sleep(wait)
                    if header.acknowledge:
                        yield codec.encode_video_acknowledgement(size)
                    if items:
                        await backlog.put(items, charged)
            if header is None:
                raise MessageError("an empty video stream")
            await backlog.finish()
            yield codec.encode_video_reply(header.frames, size)
        finally:
            await backlog.stop()

    async def _decode(
        self, session_id: str, header: VideoHeader | FeaturesHeader, backlog: Backlog, client: str
    ) -> None:
        await self._join_video(session_id, header, client)
        place = self._places.hold(client) if isinstance(header, VideoHeader) else contextlib.nullcontext()
        async with place, self._telling(session_id):
            receiver = self._receiver(header)
            try:
                async for items in backlog:
                    if isinstance(header, VideoHeader) and header.live is not None:
                        # it may have had to make room
                        await self._engine.send(session_id, OpenClip(header.live, True, client))
                    await self._push(session_id, receiver, items, client)
                receiver.check_complete()
                await self._push(session_id, receiver, (), client)
            finally:
                receiver.stop()
                with contextlib.suppress(RuntimeError):  # the daemon ends, and its threads have
                    await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._decoding, receiver.close))

    @contextlib.asynccontextmanager
    async def _telling(self, session_id: str) -> AsyncIterator[None]:
        """What makes a video unusable is told to its session, too."""
        try:
            yield
        except (VideoFormatError, EngineError) as error:
            await self._engine.send(session_id, VideoFailed(str(error)))
            raise
        except EventSpecError:  # it may be sent again, and right
            raise
        except Exception:  # a mistake of ours, which the log gets where the call ends
            await self._engine.send(session_id, VideoFailed("the cloud failed on this video: its log says why"))
            raise

    async def _join_video(self, session_id: str, header: VideoHeader | FeaturesHeader, client: str) -> None:
        if isinstance(header, VideoHeader) and header.ahead:
            await self._engine.send(session_id, OpenClip(header.live, client=client))
        elif not await self._streams.wait_for(session_id, self._settings.open_timeout_s):
            raise SessionError("there is no such session to join this video to; open it first")

    async def _refuse_video(self, session_id: str) -> NoReturn:
        error = VideoFormatError(f"a video may have at most {self._settings.max_video_bytes} bytes: cut or shrink it")
        if session_id:
            await self._engine.send(session_id, VideoFailed(str(error)))
        raise error

    def _receiver(self, header: VideoHeader | FeaturesHeader) -> Receiver:
        limits = VideoLimits(self._settings.max_video_frames, self._settings.max_video_pixels)
        live = LiveLimits(self._settings.max_window_frames)
        return receiver_for(header, limits, self._engine.frames, self._children, self._replay, live)

    async def _push(self, session_id: str, receiver: Receiver, items: tuple[Any, ...] | None, client: str) -> None:
        """Decode packets (none: the end); frames go to the engine in groups, so that it need not wait for the last."""
        loop = asyncio.get_running_loop()
        more = True
        while more:
            async with self._turns.turn(client):
                frames, more = await loop.run_in_executor(self._decoding, _work, receiver, items)
            items = None
            if frames is not None:
                await self._engine.send(session_id, frames)


def _work(receiver: Receiver, items: tuple[Any, ...] | None) -> tuple[Frames | LiveFrames | None, bool]:
    """Join and decode: pieces are put together here, off the loop. None: nothing came since."""
    if items is not None:
        receiver.take(items)
    return receiver.work()


def _is_live(header: VideoHeader | FeaturesHeader | None) -> bool:
    return isinstance(header, VideoHeader) and header.live is not None
