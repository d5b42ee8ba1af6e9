"""The only translator between values (`common/types.py`, `common/ask.py`, `common/video.py`) and protobuf bytes.

Everything that comes from a peer is checked here, before it is used: `decode_*` raises `MessageError` with one line
that says what is wrong, and never anything else. What a well-formed message *means* is not the codec's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, TypeVar

from eventspec.v1 import edge_service_pb2 as edge_pb
from eventspec.v1 import speculation_pb2 as pb
from eventspec.v1 import speculation_service_pb2 as service_pb
from google.protobuf.message import DecodeError, Message

from common.ask import (
    Answer,
    AskEvent,
    AskRequest,
    EdgeStatus,
    Mode,
    Notice,
    Report,
    WatchRequest,
    WatchState,
)
from common.errors import MessageError
from common.live import LiveWindow
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    DrafterInfo,
    DrainState,
    EdgeMessage,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    FrameName,
    Open,
    Opened,
    Pace,
    Progress,
    SamplingParams,
    ServerInfo,
    Stage,
    StateEncoding,
    StepTimings,
    Tensor,
)
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket

M = TypeVar("M", bound=Message)
K = TypeVar("K")

# full names of the services; their descriptors are what gRPC reflection serves
SERVICE: str = service_pb.DESCRIPTOR.services_by_name["SpeculationService"].full_name
EDGE_SERVICE: str = edge_pb.DESCRIPTOR.services_by_name["EdgeService"].full_name

MAX_TENSOR_DIMS = 8
MAX_ITEMS = 8_192  # packets or features in one message; of a few bytes each, they become objects of hundreds
ITEM_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "int8": 1, "uint8": 1}

_DTYPES = {
    "float16": pb.DATA_TYPE_FLOAT16,
    "bfloat16": pb.DATA_TYPE_BFLOAT16,
    "float32": pb.DATA_TYPE_FLOAT32,
    "int8": pb.DATA_TYPE_INT8,
    "uint8": pb.DATA_TYPE_UINT8,
}
_PACES = {Pace.EAGER: pb.PACE_EAGER, Pace.PATIENT: pb.PACE_PATIENT}
_STAGES = {
    Stage.VIDEO_DECODE: pb.STAGE_VIDEO_DECODE,
    Stage.VISION_ENCODE: pb.STAGE_VISION_ENCODE,
    Stage.PREFILL: pb.STAGE_PREFILL,
}
_ENCODINGS = {
    StateEncoding.TARGET: pb.STATE_ENCODING_UNSPECIFIED,
    StateEncoding.STATES: pb.STATE_ENCODING_STATES,
    StateEncoding.INT8: pb.STATE_ENCODING_INT8,
    StateEncoding.CODES: pb.STATE_ENCODING_CODES,
}
_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}
_CODES = {
    FailureCode.INVALID: pb.FAILURE_CODE_INVALID,
    FailureCode.MISMATCH: pb.FAILURE_CODE_MISMATCH,
    FailureCode.CAPACITY: pb.FAILURE_CODE_CAPACITY,
    FailureCode.UNKNOWN_SESSION: pb.FAILURE_CODE_UNKNOWN_SESSION,
    FailureCode.VIDEO: pb.FAILURE_CODE_VIDEO,
    FailureCode.ENGINE: pb.FAILURE_CODE_ENGINE,
    FailureCode.UNAVAILABLE: pb.FAILURE_CODE_UNAVAILABLE,
    FailureCode.UNAUTHENTICATED: pb.FAILURE_CODE_UNAUTHENTICATED,
    FailureCode.PERMISSION: pb.FAILURE_CODE_PERMISSION,
}
_MODES = {
    Mode.STREAM_TO_CLOUD: edge_pb.MODE_STREAM_TO_CLOUD,
    Mode.CLOUD_ONLY: edge_pb.MODE_CLOUD_ONLY,
    Mode.EDGE_ONLY: edge_pb.MODE_EDGE_ONLY,
    Mode.EDGE_VISION: edge_pb.MODE_EDGE_VISION,
}


def _parse(kind: type[M], data: bytes) -> M:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MessageError(f"not a {kind.__name__}: the bytes don't parse ({len(data)} of them)") from error
    return message


def _reverse(table: dict[K, Any], value: Any, what: str) -> K:
    for key, number in table.items():
        if number == value:
            return key
    raise MessageError(f"{what} has the unknown value {value}")


def _body(message: Message, oneof: str = "body") -> str:
    which: str | None = message.WhichOneof(oneof)
    if which is None:
        raise MessageError(f"{type(message).__name__} is empty: it needs a {oneof}")
    return which


# ---------------------------------------------------------------------------------------------- shared parts


def _sampling_to(params: SamplingParams) -> pb.SamplingParams:
    return pb.SamplingParams(temperature=params.temperature, top_k=params.top_k, top_p=params.top_p, seed=params.seed)


def _sampling_from(message: pb.SamplingParams) -> SamplingParams:
    top_p = message.top_p if message.top_p != 0.0 else 1.0
    if not (math.isfinite(message.temperature) and math.isfinite(top_p)):
        raise MessageError("sampling parameters must be finite numbers")
    try:
        return SamplingParams(message.temperature, message.top_k, top_p, message.seed)
    except ValueError as error:
        raise MessageError(str(error)) from error


def _tensor_to(tensor: Tensor) -> pb.Tensor:
    return pb.Tensor(dtype=_DTYPES[tensor.dtype], shape=tensor.shape, data=tensor.data)


def _tensor_from(message: pb.Tensor, piece_of: int = 0) -> Tensor:
    """A tensor, or if `piece_of` is set, a piece of its so many bytes of data."""
    dtype = _reverse(_DTYPES, message.dtype, "tensor dtype")
    shape = tuple(message.shape)
    if not 1 <= len(shape) <= MAX_TENSOR_DIMS:
        raise MessageError(f"a tensor needs 1 to {MAX_TENSOR_DIMS} dimensions, not {len(shape)}")
    size = math.prod(shape) * ITEM_SIZES[dtype]
    got = piece_of or len(message.data)
    if size != got:
        raise MessageError(f"tensor {dtype}{list(shape)} needs {size} bytes, got {got}")
    if piece_of and not 0 < len(message.data) <= piece_of:
        raise MessageError(f"a piece of a tensor of {size} bytes has {len(message.data)}")
    return Tensor(dtype, shape, message.data)


# ------------------------------------------------------------------------------------------- edge to cloud


def _names_to(names: Iterable[FrameName]) -> list[pb.FrameName]:
    return [pb.FrameName(number=name.number, time_us=name.time_us) for name in names]


def _names_from(names: Iterable[pb.FrameName]) -> tuple[FrameName, ...]:
    return tuple(FrameName(name.number, name.time_us) for name in names)


def _open_to(m: Open) -> pb.Open:
    message = pb.Open(
        session_id=m.session_id,
        wire_version=m.wire_version,
        question=m.question,
        sampling=_sampling_to(m.sampling),
        max_tokens=m.max_tokens,
        pace=_PACES[m.pace],
        patience_ms=m.patience_ms,
        drafter=pb.DrafterInfo(
            name=m.drafter.name,
            tokenizer_hash=m.drafter.tokenizer_hash,
            vocab_size=m.drafter.vocab_size,
            hidden_size=m.drafter.hidden_size,
        ),
        clip=m.clip,
        frames=m.frames,
    )
    if m.resume:
        message.resume.epoch = m.epoch
        message.resume.committed.extend(m.committed)
    else:
        message.fresh.SetInParent()
    return message


def _open_from(m: pb.Open) -> Open:
    start = _body(m, "start")
    if not 8 <= len(m.session_id) <= 64 or not m.session_id.isascii():
        raise MessageError("session_id must be 8 to 64 ASCII characters")
    if start == "resume" and m.resume.epoch == 0:
        raise MessageError("a resume's epoch must be at least 1")
    return Open(
        session_id=m.session_id,
        question=m.question,
        sampling=_sampling_from(m.sampling),
        max_tokens=m.max_tokens,
        pace=Pace.EAGER if m.pace == pb.PACE_UNSPECIFIED else _reverse(_PACES, m.pace, "pace"),
        patience_ms=m.patience_ms,
        drafter=DrafterInfo(m.drafter.name, m.drafter.tokenizer_hash, m.drafter.vocab_size, m.drafter.hidden_size),
        epoch=m.resume.epoch if start == "resume" else 0,
        committed=tuple(m.resume.committed) if start == "resume" else (),
        wire_version=m.wire_version,
        clip=m.clip,
        frames=tuple(m.frames),
    )


def _draft_to(m: Draft) -> pb.Draft:
    message = pb.Draft(draft_id=m.draft_id, epoch=m.epoch, base_position=m.base_position, prefix_hash=m.prefix_hash)
    if m.hidden_states is None:
        message.tokens.ids.extend(m.token_ids)
    else:
        message.hidden_states.CopyFrom(_tensor_to(m.hidden_states))
        message.encoding, message.context, message.follows = _ENCODINGS[m.encoding], m.context, m.follows
        if m.scales is not None:
            message.scales.CopyFrom(_tensor_to(m.scales))
    return message


def _draft_from(m: pb.Draft) -> Draft:
    payload = _body(m, "payload")
    if m.draft_id == 0:
        raise MessageError("draft_id must be at least 1")
    hidden = _tensor_from(m.hidden_states) if payload == "hidden_states" else None
    if hidden is not None and len(hidden.shape) != 2:
        raise MessageError(f"hidden states must be [n, hidden], not {list(hidden.shape)}")
    if hidden is None:
        draft = Draft(m.draft_id, m.epoch, m.base_position, m.prefix_hash, tuple(m.tokens.ids))
    else:
        encoding = _reverse(_ENCODINGS, m.encoding, "state encoding")
        scales = _tensor_from(m.scales) if m.HasField("scales") else None
        if scales is not None and len(scales.shape) != 1:
            raise MessageError(f"scales must be [n], not {list(scales.shape)}")
        about = (m.draft_id, m.epoch, m.base_position, m.prefix_hash)
        draft = Draft(*about, (), hidden, encoding, scales, m.context, m.follows)
    if draft.count <= 0:
        raise MessageError("an empty draft")
    return draft


def encode_edge_message(message: EdgeMessage) -> bytes:
    """`SpeculateRequest` bytes."""
    match message:
        case Open():
            request = pb.SpeculateRequest(open=_open_to(message))
        case Draft():
            request = pb.SpeculateRequest(draft=_draft_to(message))
        case Cancel():
            request = pb.SpeculateRequest(cancel=pb.Cancel())
        case Close():
            request = pb.SpeculateRequest(close=pb.Close())
    return request.SerializeToString()


def decode_edge_message(data: bytes) -> EdgeMessage:
    """A `SpeculateRequest`.

    Raises:
        MessageError: malformed, empty, or a value out of range.
    """
    request = _parse(pb.SpeculateRequest, data)
    match _body(request):
        case "open":
            return _open_from(request.open)
        case "draft":
            return _draft_from(request.draft)
        case "cancel":
            return Cancel()
        case _:
            return Close()


# ------------------------------------------------------------------------------------------- cloud to edge


def _commit_to(m: Commit) -> pb.Commit:
    return pb.Commit(
        start_position=m.start_position,
        token_ids=m.token_ids,
        drafted=m.drafted,
        accepted=m.accepted,
        draft_id=m.draft_id,
        waiting=m.waiting,
        timings=pb.StepTimings(queue_us=m.timings.queue_us, forward_us=m.timings.forward_us),
        draft_limit=m.draft_limit,
    )


def _commit_from(m: pb.Commit) -> Commit:
    if m.accepted > m.drafted or m.accepted > len(m.token_ids):
        raise MessageError(f"commit accepts {m.accepted} of {m.drafted} drafted, with {len(m.token_ids)} tokens")
    return Commit(
        start_position=m.start_position,
        token_ids=tuple(m.token_ids),
        drafted=m.drafted,
        accepted=m.accepted,
        draft_id=m.draft_id,
        waiting=m.waiting,
        timings=StepTimings(m.timings.queue_us, m.timings.forward_us),
        draft_limit=m.draft_limit,
    )


def _opened_to(m: Opened) -> pb.Opened:
    return pb.Opened(
        session_id=m.session_id,
        max_tokens=m.max_tokens,
        max_draft=m.max_draft,
        committed_length=m.committed_length,
        video_needed=m.video_needed,
        replay=m.replay,
        adapter=m.adapter,
        frames=_names_to(m.frames),
        lease_ms=m.lease_ms,
        draft_limit=m.draft_limit,
    )


def _finished_to(m: Finished) -> pb.Finished:
    return pb.Finished(
        reason=_REASONS[m.reason],
        length=m.length,
        target_passes=m.target_passes,
        stale_drafts=m.stale_drafts,
        replay_overruns=m.replay_overruns,
        frames=_names_to(m.frames),
        over_credit=m.over_credit,
    )


def encode_cloud_message(message: CloudMessage) -> bytes:
    """`SpeculateResponse` bytes."""
    match message:
        case Opened():
            response = pb.SpeculateResponse(opened=_opened_to(message))
        case Commit():
            response = pb.SpeculateResponse(commit=_commit_to(message))
        case Progress(stage, start_us, duration_us):
            progress = pb.Progress(stage=_STAGES[stage], start_us=start_us, duration_us=duration_us)
            response = pb.SpeculateResponse(progress=progress)
        case Finished():
            response = pb.SpeculateResponse(finished=_finished_to(message))
        case Failure(code, text, retryable, retry_after_ms):
            failure = pb.Failure(code=_CODES[code], message=text, retryable=retryable, retry_after_ms=retry_after_ms)
            response = pb.SpeculateResponse(failure=failure)
    return response.SerializeToString()


def decode_cloud_message(data: bytes) -> CloudMessage:
    """A `SpeculateResponse`.

    Raises:
        MessageError: malformed, empty, or a value out of range.
    """
    response = _parse(pb.SpeculateResponse, data)
    match _body(response):
        case "opened":
            o = response.opened
            taken = (o.session_id, o.max_tokens, o.max_draft, o.committed_length, o.video_needed)
            return Opened(*taken, o.replay, o.adapter, _names_from(o.frames), o.lease_ms, o.draft_limit)
        case "commit":
            return _commit_from(response.commit)
        case "progress":
            p = response.progress
            return Progress(_reverse(_STAGES, p.stage, "stage"), p.start_us, p.duration_us)
        case "finished":
            f = response.finished
            reason = _reverse(_REASONS, f.reason, "finish reason")
            counts = (f.length, f.target_passes, f.stale_drafts, f.replay_overruns)
            return Finished(reason, *counts, _names_from(f.frames), f.over_credit)
        case _:
            x = response.failure
            return Failure(_reverse(_CODES, x.code, "failure code"), x.message, x.retryable, x.retry_after_ms)


# -------------------------------------------------------------------------------------------------- video


def encode_video_header(session_id: str, header: VideoHeader, packets: Iterable[VideoPacket] = ()) -> bytes:
    """First `StreamVideoRequest` bytes of a video: what it is, and its first packets."""
    message = pb.StreamVideoRequest(
        session_id=session_id,
        header=pb.VideoHeader(
            codec=header.codec,
            extradata=header.extradata,
            width=header.width,
            height=header.height,
            frames=header.frames,
            time_base_num=header.time_base_num,
            time_base_den=header.time_base_den,
            ahead=header.ahead,
            acknowledge=header.acknowledge,
            live=None
            if header.live is None
            else pb.LiveWindow(stride_us=header.live.stride_us, cells=header.live.cells),
            named=header.named,
        ),
    )
    _add_packets(message, packets)
    return message.SerializeToString()


def encode_video_packets(packets: Iterable[VideoPacket]) -> bytes:
    """Later `StreamVideoRequest` bytes of a video."""
    message = pb.StreamVideoRequest()
    _add_packets(message, packets)
    return message.SerializeToString()


def _add_packets(message: pb.StreamVideoRequest, packets: Iterable[VideoPacket]) -> None:
    for p in packets:
        message.packets.add(
            index=p.index, pts=p.pts, dts=p.dts, keyframe=p.keyframe, data=p.data, continued=p.continued
        )


def encode_features_header(session_id: str, header: FeaturesHeader) -> bytes:
    """First `StreamVideoRequest` bytes of a video that comes as features."""
    about = pb.FeaturesHeader(
        vision_fingerprint=header.vision_fingerprint, frames=header.frames, acknowledge=header.acknowledge
    )
    return pb.StreamVideoRequest(session_id=session_id, features_header=about).SerializeToString()


def encode_features(features: Iterable[FrameFeatures]) -> bytes:
    """Later `StreamVideoRequest` bytes of a video that comes as features."""
    message = pb.StreamVideoRequest()
    for f in features:
        message.features.add(index=f.index, features=_tensor_to(f.features), size=f.size)
    return message.SerializeToString()


def _window_from(m: pb.LiveWindow) -> LiveWindow:
    try:
        return LiveWindow(m.stride_us, m.cells)
    except ValueError as error:
        raise MessageError(str(error)) from error


def _features_from(m: pb.FrameFeatures) -> FrameFeatures:
    return FrameFeatures(m.index, _tensor_from(m.features, m.size), m.size)


VideoMessage = tuple[str, VideoHeader | FeaturesHeader | None, tuple[VideoPacket, ...] | tuple[FrameFeatures, ...]]


def decode_video_message(data: bytes) -> VideoMessage:
    """A `StreamVideoRequest`: session id and header (first message only), and packets or features.

    Raises:
        MessageError: malformed, or packets and features in one.
    """
    if _many_fields(data):
        raise MessageError(f"a message may have {MAX_ITEMS:,} packets, or features, at most: send them in several")
    m = _parse(pb.StreamVideoRequest, data)
    if m.HasField("features_header") or m.features:
        if m.HasField("header") or m.packets:
            raise MessageError("a video comes as packets or as features, not as both")
        about = m.features_header
        announced = None
        if m.HasField("features_header"):
            announced = FeaturesHeader(about.vision_fingerprint, about.frames, about.acknowledge)
        return m.session_id, announced, tuple(_features_from(f) for f in m.features)
    header = None
    if m.HasField("header"):
        h = m.header
        header = VideoHeader(
            codec=h.codec,
            extradata=h.extradata,
            width=h.width,
            height=h.height,
            frames=h.frames,
            time_base_num=h.time_base_num,
            time_base_den=h.time_base_den,
            ahead=h.ahead,
            acknowledge=h.acknowledge,
            live=_window_from(h.live) if h.HasField("live") else None,
            named=tuple(h.named),
        )
    packets = tuple(VideoPacket(p.index, p.pts, p.dts, p.keyframe, p.data, p.continued) for p in m.packets)
    return m.session_id, header, packets


def _many_fields(data: bytes) -> bool:
    """Whether a message has far more fields than any makes sense with; looks at their heads only."""
    at = 0
    for _ in range(MAX_ITEMS + 16):
        if at >= len(data):
            return False
        tag, at = _varint(data, at)
        if tag & 7 != 2:  # a number, or nonsense, which parsing will find: none of these is ever repeated
            at = {0: _varint(data, at)[1], 1: at + 8, 5: at + 4}.get(tag & 7, len(data))
            continue
        size, at = _varint(data, at)
        at += size
    return at < len(data)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends; the end of the data if it has none."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        value |= (data[place] & 127) << shift
        if data[place] < 128:
            return value, place + 1
        shift += 7
    return value, len(data)


def encode_video_reply(frames: int, size: int) -> bytes:
    """`StreamVideoResponse` bytes."""
    return pb.StreamVideoResponse(frames=frames, bytes=size).SerializeToString()


def encode_video_acknowledgement(received: int) -> bytes:
    """`StreamVideoResponse` bytes before the last: how many bytes of messages have come."""
    return pb.StreamVideoResponse(received=received).SerializeToString()


def decode_video_acknowledgement(data: bytes) -> int | None:
    """Bytes that have come; None: the last `StreamVideoResponse`."""
    return _parse(pb.StreamVideoResponse, data).received or None


def decode_video_reply(data: bytes) -> tuple[int, int]:
    """The last `StreamVideoResponse`: frames and bytes."""
    m = _parse(pb.StreamVideoResponse, data)
    return m.frames, m.bytes


# ------------------------------------------------------------------------------------------- capabilities


def encode_drain(*, undo: bool, grace_ms: int) -> bytes:
    """Bytes of a `DrainRequest`."""
    return service_pb.DrainRequest(undo=undo, grace_ms=min(grace_ms, 2**32 - 1)).SerializeToString()


def decode_drain(data: bytes) -> tuple[bool, int]:
    """Whether to undo, and the grace in milliseconds. Raises MessageError."""
    message = _parse(service_pb.DrainRequest, data)
    return message.undo, message.grace_ms


def encode_drain_state(state: DrainState) -> bytes:
    """Bytes of a `DrainResponse`."""
    return service_pb.DrainResponse(
        draining=state.draining, running=state.running, handed_over=state.handed_over
    ).SerializeToString()


def decode_drain_state(data: bytes) -> DrainState:
    """Raises MessageError."""
    message = _parse(service_pb.DrainResponse, data)
    return DrainState(message.draining, message.running, message.handed_over)


def encode_info_request() -> bytes:
    """`GetInfoRequest` bytes."""
    return pb.GetInfoRequest().SerializeToString()


def encode_info(info: ServerInfo) -> bytes:
    """`GetInfoResponse` bytes."""
    fields = {name: getattr(info, name) for name in ServerInfo.__dataclass_fields__}
    return pb.GetInfoResponse(**fields).SerializeToString()


def decode_info(data: bytes) -> ServerInfo:
    """A `GetInfoResponse`."""
    m = _parse(pb.GetInfoResponse, data)
    fields = {name: getattr(m, name) for name in ServerInfo.__dataclass_fields__}
    return ServerInfo(**{**fields, "eos_token_ids": tuple(m.eos_token_ids)})


# ------------------------------------------------------------------------------------------ edge's service


def _answer_id(text: str) -> str:
    """Becomes a file's name."""
    if text and not (16 <= len(text) <= 64 and text.isascii() and text.isalnum()):
        raise MessageError("answer_id must be 16 to 64 letters and digits")
    return text


def encode_ask(ask: AskRequest) -> bytes:
    """`AskRequest` bytes."""
    return edge_pb.AskRequest(
        question=ask.question,
        events_path=ask.events_path,
        video_path=ask.video_path,
        mode=_MODES[ask.mode],
        sampling=_sampling_to(ask.sampling),
        max_tokens=ask.max_tokens,
        pace=_PACES[ask.pace] if ask.pace is not None else pb.PACE_UNSPECIFIED,
        patience_ms=ask.patience_ms,
        draft_length=ask.draft_length,
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
    m = _parse(edge_pb.AskRequest, data)
    return AskRequest(
        question=m.question,
        events_path=m.events_path,
        video_path=m.video_path,
        mode=Mode.STREAM_TO_CLOUD if m.mode == edge_pb.MODE_UNSPECIFIED else _reverse(_MODES, m.mode, "mode"),
        sampling=_sampling_from(m.sampling),
        max_tokens=m.max_tokens,
        pace=None if m.pace == pb.PACE_UNSPECIFIED else _reverse(_PACES, m.pace, "pace"),
        patience_ms=m.patience_ms,
        draft_length=m.draft_length,
        window_start_us=m.window_start_us,
        watch=m.watch,
        video_codec=m.video_codec,
        answer_id=_answer_id(m.answer_id),
    )


def encode_watch(watch: WatchRequest) -> bytes:
    """`WatchRequest` bytes."""
    fields = {name: getattr(watch, name) for name in WatchRequest.__dataclass_fields__}
    return edge_pb.WatchRequest(**fields).SerializeToString()


def decode_watch(data: bytes) -> WatchRequest:
    """A `WatchRequest`. Raises MessageError if malformed."""
    m = _parse(edge_pb.WatchRequest, data)
    return WatchRequest(**{name: getattr(m, name) for name in WatchRequest.__dataclass_fields__})


def encode_watch_state(state: WatchState) -> bytes:
    """`WatchResponse` bytes."""
    fields = {name: getattr(state, name) for name in WatchState.__dataclass_fields__}
    return edge_pb.WatchResponse(**fields).SerializeToString()


def decode_watch_state(data: bytes) -> WatchState:
    """A `WatchResponse`. Raises MessageError if malformed."""
    m = _parse(edge_pb.WatchResponse, data)
    return WatchState(**{name: getattr(m, name) for name in WatchState.__dataclass_fields__})


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


def _report_from(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a report isn't valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise MessageError("a report must be a JSON object")
    return values


def decode_ask_event(data: bytes) -> AskEvent:
    """An `AskResponse`.

    Raises:
        MessageError: malformed or empty.
    """
    m = _parse(edge_pb.AskResponse, data)
    match _body(m):
        case "answer":
            return Answer(m.answer.committed_text, m.answer.provisional_text, m.answer.at_ms)
        case "report":
            return Report(_report_from(m.report.json))
        case _:
            return Notice(m.notice)


def encode_status_request() -> bytes:
    """`StatusRequest` bytes."""
    return edge_pb.StatusRequest().SerializeToString()


def encode_status(status: EdgeStatus) -> bytes:
    """`StatusResponse` bytes."""
    return edge_pb.StatusResponse(
        drafter=status.drafter,
        cloud=status.cloud,
        cloud_reachable=status.cloud_reachable,
        sessions=status.sessions,
    ).SerializeToString()


def decode_status(data: bytes) -> EdgeStatus:
    """A `StatusResponse`."""
    m = _parse(edge_pb.StatusResponse, data)
    return EdgeStatus(m.drafter, m.cloud, m.cloud_reachable, m.sessions)
