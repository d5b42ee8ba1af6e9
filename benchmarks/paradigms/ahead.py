"""Asks about a clip that is streamed while it is recorded, at the moment at which it has just ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.asking import Values, ask_clip
from benchmarks.clips import ClipQuestion
from common.ask import Mode, WatchRequest
from common.errors import LinkError
from edge.asking import watch_daemon
from edge.video import open_clip


@cache
def length_s(video: Path) -> float:
    """How long a clip is recorded for, in seconds: until its last picture has been taken.

    Raises:
        VideoFormatError: the file can't be read.
    """
    return max(taken_s for taken_s, _ in open_clip(video).recorded())


def ask_when_recorded(
    address: str,
    clip: ClipQuestion,
    mode: Mode,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    **how: Any,
) -> Values:
    """The report of one answer about a clip that the daemon watches for this question alone, as a camera would film it.

    The question goes out when the last picture has been taken, by the asker's clock, whether the upload and the
    drafter are through or not. The report counts from the question; its `ahead` says how far they had come then.
    `uplink_bytes["video"]` is all of the clip.

    Args:
        address: of the edge daemon.
        clip: what is filmed and asked.
        mode: as `ask_clip`'s.
        clock: seconds.
        sleep: waits.
        how: as `ask_clip`'s.

    Raises:
        EventSpecError: there is no answer, and why.
    """
    events = "" if mode is Mode.CLOUD_ONLY else str(clip.events.resolve())
    request = WatchRequest(str(clip.video.resolve()), events, realtime=True)
    states = watch_daemon(address, request)
    try:
        first = next(states)
        began = clock() - first.at_ms / 1e3
        sleep(max(0.0, began + length_s(clip.video) - clock()))
        report = ask_clip(address, clip, mode, watch=first.watch, **how)
        whole = next(state for state in states if state.complete)
    except StopIteration:
        raise LinkError("the edge daemon ended the watch before the video was up; look at its log") from None
    finally:
        states.close()
    return {**report, "uplink_bytes": {**report["uplink_bytes"], "video": whole.bytes_sent}}


@contextmanager
def watched(address: str, clip: ClipQuestion, mode: Mode) -> Iterator[str]:
    """The id of a watch that is complete: the cloud has the video and, if it is to draft, the drafter the events.

    Raises:
        EventSpecError: there is no watch, and why.
    """
    events = "" if mode is Mode.CLOUD_ONLY else str(clip.events.resolve())
    states = watch_daemon(address, WatchRequest(str(clip.video.resolve()), events))
    try:
        yield next(state.watch for state in states if state.complete and (state.drafter_ready or not events))
    except StopIteration:
        raise LinkError("the edge daemon ended the watch before the clip was taken in; look at its log") from None
    finally:
        states.close()
