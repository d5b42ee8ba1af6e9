"""What a cloud tells an edge about a session: `Opened`, `Commit`, `Progress`, `Finished`, `Failure`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eventspec.v1 import speculation_pb2 as pb

from common.codec.parsing import body_of, check_name, counted, encoder, parse, reverse, within
from common.errors import MessageError
from common.types import (
    CloudMessage,
    Commit,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    FrameName,
    Opened,
    Progress,
    Stage,
    StepTimings,
)

_LONGEST_LINE = 4_000  # characters
MOST_BYTES = 256 << 10  # of a reply; an honest one has a few hundred
_MOST_FRAMES = 1_024
_MOST_NAME = 256  # characters
_STAGES = {
    Stage.VIDEO_DECODE: pb.STAGE_VIDEO_DECODE,
    Stage.VISION_ENCODE: pb.STAGE_VISION_ENCODE,
    Stage.PREFILL: pb.STAGE_PREFILL,
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


def _names_to(names: Iterable[FrameName]) -> list[pb.FrameName]:
    return [pb.FrameName(number=name.number, time_us=name.time_us) for name in names]


def _names_from(names: Sequence[pb.FrameName]) -> tuple[FrameName, ...]:
    if len(names) > _MOST_FRAMES:
        raise MessageError(f"{len(names):,} frames are named: {_MOST_FRAMES:,} are taken")
    return tuple(FrameName(within(n.number, "a frame's number"), within(n.time_us, "a frame's time")) for n in names)


def _commit_to(m: Commit) -> pb.Commit:
    return pb.Commit(
        start_position=m.start_position,
        token_ids=m.token_ids,
        drafted=m.drafted,
        accepted=m.accepted,
        draft_id=m.draft_id,
        waiting=m.waiting,
        timings=pb.StepTimings(queue_us=counted(m.timings.queue_us), forward_us=counted(m.timings.forward_us)),
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
        draft_id=within(m.draft_id, "draft_id"),
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
        lease_ms=counted(m.lease_ms),
        draft_limit=m.draft_limit,
    )


def _finished_to(m: Finished) -> pb.Finished:
    return pb.Finished(
        reason=_REASONS[m.reason],
        length=m.length,
        target_passes=counted(m.target_passes),
        stale_drafts=counted(m.stale_drafts),
        replay_overruns=counted(m.replay_overruns),
        frames=_names_to(m.frames),
        over_credit=counted(m.over_credit),
    )


def _line(text: str) -> str:
    """What a failure says, so that it can be told whatever the error at its root has put into it."""
    return text[:_LONGEST_LINE].encode("utf-8", "replace").decode()


@encoder
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
            failure = pb.Failure(
                code=_CODES[code], message=_line(text), retryable=retryable, retry_after_ms=counted(retry_after_ms)
            )
            response = pb.SpeculateResponse(failure=failure)
    return response.SerializeToString()


def decode_cloud_message(data: bytes) -> CloudMessage:
    """A `SpeculateResponse`.

    Raises:
        MessageError: malformed, empty, too large, or a value out of range.
    """
    if len(data) > MOST_BYTES:
        raise MessageError(f"a reply of {len(data):,} bytes: {MOST_BYTES:,} are taken")
    response = parse(pb.SpeculateResponse, data)
    match body_of(response):
        case "opened":
            o = response.opened
            for what, text in (("session_id", o.session_id), ("replay", o.replay), ("adapter", o.adapter)):
                check_name(what, text, _MOST_NAME)
            taken = (o.session_id, o.max_tokens, o.max_draft, o.committed_length, o.video_needed)
            return Opened(*taken, o.replay, o.adapter, _names_from(o.frames), o.lease_ms, o.draft_limit)
        case "commit":
            return _commit_from(response.commit)
        case "progress":
            p = response.progress
            times = within(p.start_us, "start_us"), within(p.duration_us, "duration_us")
            return Progress(reverse(_STAGES, p.stage, "stage"), *times)
        case "finished":
            f = response.finished
            reason = reverse(_REASONS, f.reason, "finish reason")
            counts = (f.length, f.target_passes, f.stale_drafts, f.replay_overruns)
            return Finished(reason, *counts, _names_from(f.frames), f.over_credit)
        case _:
            x = response.failure
            text = x.message[:_LONGEST_LINE]
            return Failure(reverse(_CODES, x.code, "failure code"), text, x.retryable, x.retry_after_ms)
