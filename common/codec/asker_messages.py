"""What askers and an edge's daemon tell each other: questions, watches, status."""

from __future__ import annotations

import json
from typing import Any

from eventspec.v1 import edge_service_pb2 as edge_pb
from eventspec.v1 import speculation_pb2 as pb

from common.ask import Answer, AskEvent, AskRequest, EdgeStatus, Mode, Notice, Report, WatchRequest, WatchState
from common.codec.parameters import PACES, sampling_from, sampling_to
from common.codec.parsing import body_of, encoder, fields_of, finite, parse, reverse, within
from common.errors import MessageError

# full name of the service; its descriptor is what gRPC reflection serves
EDGE_SERVICE: str = edge_pb.DESCRIPTOR.services_by_name["EdgeService"].full_name

_LONGEST_QUESTION, _LONGEST_PATH, _LONGEST_NAME = 64 << 10, 4_096, 256  # characters
_MODES = {
    Mode.STREAM_TO_CLOUD: edge_pb.MODE_STREAM_TO_CLOUD,
    Mode.CLOUD_ONLY: edge_pb.MODE_CLOUD_ONLY,
    Mode.EDGE_ONLY: edge_pb.MODE_EDGE_ONLY,
    Mode.EDGE_VISION: edge_pb.MODE_EDGE_VISION,
}


@encoder
def encode_ask(ask: AskRequest) -> bytes:
    """`AskRequest` bytes."""
    return edge_pb.AskRequest(
        question=ask.question,
        events_path=ask.events_path,
        video_path=ask.video_path,
        mode=_MODES[ask.mode],
        sampling=sampling_to(ask.sampling),
        max_tokens=ask.max_tokens,
        pace=PACES[ask.pace] if ask.pace is not None else pb.PACE_UNSPECIFIED,
        patience_ms=ask.patience_ms,
        draft_length=ask.draft_length,
        branches=ask.branches,
        window_start_us=ask.window_start_us,
        watch=ask.watch,
        video_codec=ask.video_codec,
        answer_id=ask.answer_id,
    ).SerializeToString()


def decode_ask(data: bytes) -> AskRequest:
    """An `AskRequest`.

    Raises:
        MessageError: malformed, or a value out of range.
    """
    m = parse(edge_pb.AskRequest, data)
    _check_lengths(m, question=_LONGEST_QUESTION, watch=_LONGEST_NAME, video_codec=_LONGEST_NAME)
    return AskRequest(
        question=m.question,
        events_path=m.events_path,
        video_path=m.video_path,
        mode=Mode.STREAM_TO_CLOUD if m.mode == edge_pb.MODE_UNSPECIFIED else reverse(_MODES, m.mode, "mode"),
        sampling=sampling_from(m.sampling),
        max_tokens=m.max_tokens,
        pace=None if m.pace == pb.PACE_UNSPECIFIED else reverse(PACES, m.pace, "pace"),
        patience_ms=m.patience_ms,
        draft_length=m.draft_length,
        branches=m.branches if m.HasField("branches") else None,
        window_start_us=within(m.window_start_us, "window_start_us"),
        watch=m.watch,
        video_codec=m.video_codec,
        answer_id=_answer_id(m.answer_id),
    )


def _check_lengths(message: Any, **most: int) -> None:
    """Raise MessageError if a text of a request is longer than may be; paths may be as long as the system's."""
    for name, longest in {"events_path": _LONGEST_PATH, "video_path": _LONGEST_PATH, **most}.items():
        if len(getattr(message, name)) > longest:
            raise MessageError(
                f"{name} has {len(getattr(message, name)):,} characters, at most {longest:,}: shorten it"
            )


def _answer_id(text: str) -> str:
    """Becomes a file's name."""
    if text and not (16 <= len(text) <= 64 and text.isascii() and text.isalnum()):
        raise MessageError("answer_id must be 16 to 64 letters and digits")
    return text


@encoder
def encode_ask_event(event: AskEvent) -> bytes:
    """`AskResponse` bytes."""
    match event:
        case Answer(committed, provisional, at_ms):
            body = edge_pb.Answer(committed_text=committed, provisional_text=provisional, at_ms=at_ms)
            response = edge_pb.AskResponse(answer=body)
        case Report(values):
            response = edge_pb.AskResponse(report=edge_pb.Report(json=json.dumps(values)))
        case Notice(text):
            response = edge_pb.AskResponse(notice=text)
    return response.SerializeToString()


def decode_ask_event(data: bytes) -> AskEvent:
    """An `AskResponse`.

    Raises:
        MessageError: malformed or empty.
    """
    m = parse(edge_pb.AskResponse, data)
    match body_of(m):
        case "answer":
            return Answer(m.answer.committed_text, m.answer.provisional_text, finite(m.answer.at_ms, "at_ms"))
        case "report":
            return Report(_report_from(m.report.json))
        case _:
            return Notice(m.notice)


def _report_from(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a report isn't valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise MessageError("a report must be a JSON object")
    return values


@encoder
def encode_watch(watch: WatchRequest) -> bytes:
    """`WatchRequest` bytes."""
    return edge_pb.WatchRequest(**fields_of(WatchRequest, watch)).SerializeToString()


def decode_watch(data: bytes) -> WatchRequest:
    """A `WatchRequest`. Raises MessageError: malformed, or a text too long."""
    m = parse(edge_pb.WatchRequest, data)
    _check_lengths(m, video_codec=_LONGEST_NAME)
    return WatchRequest(**fields_of(WatchRequest, m))


@encoder
def encode_watch_state(state: WatchState) -> bytes:
    """`WatchResponse` bytes."""
    return edge_pb.WatchResponse(**fields_of(WatchState, state)).SerializeToString()


def decode_watch_state(data: bytes) -> WatchState:
    """A `WatchResponse`. Raises MessageError if malformed."""
    return WatchState(**fields_of(WatchState, parse(edge_pb.WatchResponse, data)))


@encoder
def encode_status_request() -> bytes:
    """`StatusRequest` bytes."""
    return edge_pb.StatusRequest().SerializeToString()


@encoder
def encode_status(status: EdgeStatus) -> bytes:
    """`StatusResponse` bytes."""
    return edge_pb.StatusResponse(**fields_of(EdgeStatus, status)).SerializeToString()


def decode_status(data: bytes) -> EdgeStatus:
    """A `StatusResponse`. Raises MessageError if malformed."""
    return EdgeStatus(**fields_of(EdgeStatus, parse(edge_pb.StatusResponse, data)))
