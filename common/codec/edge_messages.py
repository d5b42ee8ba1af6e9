"""What an edge tells its cloud about a session: `Open`, `Draft`, `Cancel`, `Close`."""

from __future__ import annotations

from eventspec.v1 import speculation_pb2 as pb

from common.codec.parameters import PACES, sampling_from, sampling_to
from common.codec.parsing import body_of, check_id, encoder, parse, reverse, within
from common.codec.tensors import tensor_from, tensor_to
from common.errors import MessageError
from common.types import Cancel, Close, Draft, DrafterInfo, EdgeMessage, Open, Pace, StateEncoding

_ENCODINGS = {
    StateEncoding.TARGET: pb.STATE_ENCODING_UNSPECIFIED,
    StateEncoding.STATES: pb.STATE_ENCODING_STATES,
    StateEncoding.INT8: pb.STATE_ENCODING_INT8,
    StateEncoding.CODES: pb.STATE_ENCODING_CODES,
}


def _open_to(m: Open) -> pb.Open:
    message = pb.Open(
        session_id=m.session_id,
        wire_version=m.wire_version,
        question=m.question,
        sampling=sampling_to(m.sampling),
        max_tokens=m.max_tokens,
        pace=PACES[m.pace],
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
    start = body_of(m, "start")
    check_id(m.session_id, "session_id")
    if m.clip:
        check_id(m.clip, "clip")
    if start == "resume" and m.resume.epoch == 0:
        raise MessageError("a resume's epoch must be at least 1")
    return Open(
        session_id=m.session_id,
        question=m.question,
        sampling=sampling_from(m.sampling),
        max_tokens=m.max_tokens,
        pace=Pace.EAGER if m.pace == pb.PACE_UNSPECIFIED else reverse(PACES, m.pace, "pace"),
        patience_ms=m.patience_ms,
        drafter=DrafterInfo(m.drafter.name, m.drafter.tokenizer_hash, m.drafter.vocab_size, m.drafter.hidden_size),
        epoch=m.resume.epoch if start == "resume" else 0,
        committed=tuple(m.resume.committed) if start == "resume" else (),
        wire_version=m.wire_version,
        clip=m.clip,
        frames=tuple(within(number, "a frame's number") for number in m.frames),
    )


def _draft_to(m: Draft) -> pb.Draft:
    message = pb.Draft(draft_id=m.draft_id, epoch=m.epoch, base_position=m.base_position, prefix_hash=m.prefix_hash)
    if m.hidden_states is None:
        message.tokens.ids.extend(m.token_ids)
    else:
        message.hidden_states.CopyFrom(tensor_to(m.hidden_states))
        message.encoding, message.context, message.follows = _ENCODINGS[m.encoding], m.context, m.follows
        if m.scales is not None:
            message.scales.CopyFrom(tensor_to(m.scales))
    return message


def _draft_from(m: pb.Draft) -> Draft:
    payload = body_of(m, "payload")
    if m.draft_id == 0:
        raise MessageError("draft_id must be at least 1")
    within(m.draft_id, "draft_id"), within(m.follows, "follows")
    hidden = tensor_from(m.hidden_states) if payload == "hidden_states" else None
    if hidden is not None and len(hidden.shape) != 2:
        raise MessageError(f"hidden states must be [n, hidden], not {list(hidden.shape)}")
    if hidden is None:
        draft = Draft(m.draft_id, m.epoch, m.base_position, m.prefix_hash, tuple(m.tokens.ids))
    else:
        encoding = reverse(_ENCODINGS, m.encoding, "state encoding")
        scales = tensor_from(m.scales) if m.HasField("scales") else None
        if scales is not None and len(scales.shape) != 1:
            raise MessageError(f"scales must be [n], not {list(scales.shape)}")
        about = (m.draft_id, m.epoch, m.base_position, m.prefix_hash)
        draft = Draft(*about, (), hidden, encoding, scales, m.context, m.follows)
    if draft.count <= 0:
        raise MessageError("an empty draft")
    return draft


@encoder
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
    request = parse(pb.SpeculateRequest, data)
    match body_of(request):
        case "open":
            return _open_from(request.open)
        case "draft":
            return _draft_from(request.draft)
        case "cancel":
            return Cancel()
        case _:
            return Close()
