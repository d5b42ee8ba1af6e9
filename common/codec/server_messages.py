"""What a cloud is asked that is about no session: what it can do, and to drain."""

from __future__ import annotations

from eventspec.v1 import speculation_pb2 as pb
from eventspec.v1 import speculation_service_pb2 as service_pb

from common.codec.parsing import check_name, encoder, fields_of, parse
from common.errors import MessageError
from common.types import DrainState, ServerInfo

# full name of the service; its descriptor is what gRPC reflection serves
SERVICE: str = service_pb.DESCRIPTOR.services_by_name["SpeculationService"].full_name

_MOST_INFO = 64 << 10  # bytes of a cloud's description of itself
_MOST_NAME = 256  # characters
_NAMES = (
    "model_name",
    "model_fingerprint",
    "tokenizer_hash",
    "replay",
    "vision_fingerprint",
    "adapter",
    "adapter_level",
)


@encoder
def encode_info_request() -> bytes:
    """`GetInfoRequest` bytes."""
    return pb.GetInfoRequest().SerializeToString()


@encoder
def encode_info(info: ServerInfo) -> bytes:
    """`GetInfoResponse` bytes."""
    return pb.GetInfoResponse(**fields_of(ServerInfo, info)).SerializeToString()


def decode_info(data: bytes) -> ServerInfo:
    """A `GetInfoResponse`. Raises MessageError: malformed, too large, or names that are none."""
    if len(data) > _MOST_INFO:
        raise MessageError(f"a description of {len(data):,} bytes: {_MOST_INFO:,} are taken")
    m = parse(pb.GetInfoResponse, data)
    for name in _NAMES:
        check_name(name, getattr(m, name), _MOST_NAME)
    return ServerInfo(**{**fields_of(ServerInfo, m), "eos_token_ids": tuple(m.eos_token_ids)})


@encoder
def encode_drain(*, undo: bool, grace_ms: int) -> bytes:
    """Bytes of a `DrainRequest`."""
    return service_pb.DrainRequest(undo=undo, grace_ms=min(grace_ms, 2**32 - 1)).SerializeToString()


def decode_drain(data: bytes) -> tuple[bool, int]:
    """Whether to undo, and the grace in milliseconds. Raises MessageError."""
    message = parse(service_pb.DrainRequest, data)
    return message.undo, message.grace_ms


@encoder
def encode_drain_state(state: DrainState) -> bytes:
    """Bytes of a `DrainResponse`."""
    return service_pb.DrainResponse(
        draining=state.draining, running=state.running, handed_over=state.handed_over
    ).SerializeToString()


def decode_drain_state(data: bytes) -> DrainState:
    """Raises MessageError."""
    message = parse(service_pb.DrainResponse, data)
    return DrainState(message.draining, message.running, message.handed_over)
