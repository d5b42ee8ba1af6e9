"""The only translator between values (`common/types.py`, `common/ask.py`, `common/video.py`) and protobuf bytes.

Everything that comes from a peer is checked here, before it is used: `decode_*` raises `MessageError` with one line
that says what is wrong, and never anything else. What a well-formed message *means* is not the codec's business.

This is its door; what is behind it is for the codec alone. One module holds each conversation: `edge_messages` and
`cloud_messages` of a session, `video_messages` of its video, `server_messages` of a cloud without a session, and
`asker_messages` of an edge's daemon with those who ask it.
"""

from __future__ import annotations

from common.codec.asker_messages import (
    EDGE_SERVICE,
    decode_ask,
    decode_ask_event,
    decode_status,
    decode_watch,
    decode_watch_state,
    encode_ask,
    encode_ask_event,
    encode_status,
    encode_status_request,
    encode_watch,
    encode_watch_state,
)
from common.codec.cloud_messages import decode_cloud_message, encode_cloud_message
from common.codec.edge_messages import decode_edge_message, encode_edge_message
from common.codec.server_messages import (
    SERVICE,
    decode_drain,
    decode_drain_state,
    decode_info,
    encode_drain,
    encode_drain_state,
    encode_info,
    encode_info_request,
)
from common.codec.tensors import ITEM_SIZES
from common.codec.video_messages import (
    decode_video_acknowledgement,
    decode_video_message,
    decode_video_reply,
    encode_features,
    encode_features_header,
    encode_video_acknowledgement,
    encode_video_header,
    encode_video_packets,
    encode_video_reply,
)

__all__ = [
    "EDGE_SERVICE",
    "ITEM_SIZES",
    "SERVICE",
    "decode_ask",
    "decode_ask_event",
    "decode_cloud_message",
    "decode_drain",
    "decode_drain_state",
    "decode_edge_message",
    "decode_info",
    "decode_status",
    "decode_video_acknowledgement",
    "decode_video_message",
    "decode_video_reply",
    "decode_watch",
    "decode_watch_state",
    "encode_ask",
    "encode_ask_event",
    "encode_cloud_message",
    "encode_drain",
    "encode_drain_state",
    "encode_edge_message",
    "encode_features",
    "encode_features_header",
    "encode_info",
    "encode_info_request",
    "encode_status",
    "encode_status_request",
    "encode_video_acknowledgement",
    "encode_video_header",
    "encode_video_packets",
    "encode_video_reply",
    "encode_watch",
    "encode_watch_state",
]
