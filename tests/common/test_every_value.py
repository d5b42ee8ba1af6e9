"""No value of any field of any message leaves the codec as anything but a `MessageError`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import codec
from common.ask import Answer, AskRequest, EdgeStatus, Notice, Report, WatchRequest, WatchState
from common.errors import MessageError
from common.types import (
    Commit,
    Draft,
    DrafterInfo,
    DrainState,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    FrameName,
    Open,
    Opened,
    Progress,
    ServerInfo,
    Stage,
    StepTimings,
    Tensor,
)
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from tests.common.every_value import ANYTHING, any_message

steady = settings(derandomize=True, deadline=None, max_examples=100)

DECODERS: dict[str, tuple[str, Callable[[bytes], Any], Callable[[Any], bytes] | None]] = {
    "edge": ("SpeculateRequest", codec.decode_edge_message, codec.encode_edge_message),
    "cloud": ("SpeculateResponse", codec.decode_cloud_message, codec.encode_cloud_message),
    "video": ("StreamVideoRequest", codec.decode_video_message, None),
    "acknowledgement": ("StreamVideoResponse", codec.decode_video_acknowledgement, None),
    "reply": ("StreamVideoResponse", codec.decode_video_reply, lambda reply: codec.encode_video_reply(*reply)),
    "info": ("GetInfoResponse", codec.decode_info, codec.encode_info),
    "drain": ("DrainRequest", codec.decode_drain, lambda m: codec.encode_drain(undo=m[0], grace_ms=m[1])),
    "drain state": ("DrainResponse", codec.decode_drain_state, codec.encode_drain_state),
    "ask": ("AskRequest", codec.decode_ask, codec.encode_ask),
    "ask event": ("AskResponse", codec.decode_ask_event, codec.encode_ask_event),
    "watch": ("WatchRequest", codec.decode_watch, codec.encode_watch),
    "watch state": ("WatchResponse", codec.decode_watch_state, codec.encode_watch_state),
    "status": ("StatusResponse", codec.decode_status, codec.encode_status),
}


@pytest.mark.parametrize("name", DECODERS)
@steady
@given(data=st.data())
def test_what_a_peer_may_say(name: str, data: st.DataObject) -> None:
    """It is refused in one line, or it is a value that can be said again."""
    message, decode, encode = DECODERS[name]
    said, value = "", None
    try:
        value = decode(data.draw(any_message(message)))
    except MessageError as refused:
        said = str(refused)
    assert "\n" not in said
    if not said and encode is not None:
        assert encode(decode(encode(value))) == encode(value)


def numbers(value: Any) -> Iterable[int]:
    """All whole numbers in a value, but seeds, and times in units that only a decoder knows."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from numbers(one)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            if name not in ("seed", "pts", "dts"):
                yield from numbers(getattr(value, name))


@pytest.mark.parametrize("name", DECODERS)
@steady
@given(data=st.data())
def test_numbers_are_within_their_range(name: str, data: st.DataObject) -> None:
    message, decode, _ = DECODERS[name]
    try:
        value = decode(data.draw(any_message(message)))
    except MessageError:
        return
    assert all(-(2**53) <= number <= 2**53 for number in numbers(value))


HEADER = VideoHeader("h264", b"", 8, 8, 1, 1, 10)
VALUES: dict[str, tuple[Any, Callable[[Any], bytes]]] = {
    "Open": (Open("session-0", "what?"), codec.encode_edge_message),
    "DrafterInfo": (DrafterInfo(), lambda v: codec.encode_edge_message(Open("session-0", "what?", drafter=v))),
    "Draft": (Draft(1, 0, 0, 0, (1,)), codec.encode_edge_message),
    "Tensor": (Tensor("float16", (1, 1), b"ab"), lambda v: codec.encode_edge_message(Draft(1, 0, 0, 0, (), v))),
    "Opened": (Opened("session-0", 1, 1), codec.encode_cloud_message),
    "FrameName": (FrameName(0, 0), lambda v: codec.encode_cloud_message(Finished(FinishReason.STOP, 1, frames=(v,)))),
    "Commit": (Commit(0, (1,)), codec.encode_cloud_message),
    "StepTimings": (StepTimings(), lambda v: codec.encode_cloud_message(Commit(0, (1,), timings=v))),
    "Progress": (Progress(Stage.PREFILL, 0, 0), codec.encode_cloud_message),
    "Finished": (Finished(FinishReason.STOP, 1), codec.encode_cloud_message),
    "Failure": (Failure(FailureCode.INVALID, "no"), codec.encode_cloud_message),
    "ServerInfo": (ServerInfo(1, "", "", "", 1, 1, 1, (1,), 1, 1, 1, 1, 1, 1), codec.encode_info),
    "DrainState": (DrainState(False), codec.encode_drain_state),
    "VideoHeader": (HEADER, lambda v: codec.encode_video_header("session-0", v)),
    "VideoPacket": (VideoPacket(0, 0, 0, True, b"x"), lambda v: codec.encode_video_packets((v,))),
    "FeaturesHeader": (FeaturesHeader("x", 8), lambda v: codec.encode_features_header("session-0", v)),
    "FrameFeatures": (FrameFeatures(0, Tensor("uint8", (1,), b"x")), lambda v: codec.encode_features((v,))),
    "AskRequest": (AskRequest("what?"), codec.encode_ask),
    "WatchRequest": (WatchRequest("a.mp4"), codec.encode_watch),
    "WatchState": (WatchState("w", 1, 2, 3, True, False, 4.5), codec.encode_watch_state),
    "Answer": (Answer("a", "b", 1.5), codec.encode_ask_event),
    "Report": (Report({}), codec.encode_ask_event),
    "Notice": (Notice("lost"), codec.encode_ask_event),
    "EdgeStatus": (EdgeStatus("tiny", "c:1", True, 2), codec.encode_status),
}


@pytest.mark.parametrize("name", VALUES)
@steady
@given(data=st.data())
def test_what_a_mistake_of_ours_may_say(name: str, data: st.DataObject) -> None:
    """Any field may hold anything: it becomes bytes, or a MessageError."""
    sane, encode = VALUES[name]
    fields = {field: getattr(sane, field) for field in sane.__dataclass_fields__}
    for field in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2)):
        fields[field] = data.draw(ANYTHING)
    value = object.__new__(type(sane))  # without the checks of its own that a few have
    for field, content in fields.items():
        object.__setattr__(value, field, content)
    with suppress(MessageError):
        assert isinstance(encode(value), bytes)
