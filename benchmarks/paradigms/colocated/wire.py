"""What agent and gateway say to each other: the opening of an upload, and how the drafter wants its pictures."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import msgpack

from common.errors import MessageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERVICE = "eventspec.benchmarks.Gateway"
_MAX_PICTURE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """How the drafter wants its event pictures: how many, of how long a window, on the sensor's canvas or cut."""

    frames: int
    window_us: int
    sensor_canvas: bool

    def encode(self) -> bytes:
        """For the wire."""
        data: bytes = msgpack.packb(asdict(self))
        return data

    @classmethod
    def decode(cls, data: bytes) -> PictureSpec:
        """From the wire. Raises MessageError."""
        try:
            return cls(**msgpack.unpackb(data))
        except (ValueError, TypeError) as error:
            raise MessageError(f"the gateway's picture spec can't be read: {error}") from error


def encode_opening(ask: bytes, pictures: Sequence[NDArray[Any]]) -> bytes:
    """The first message of an upload: the question as the edge daemon's `Ask` has it, and event pictures, deflated.

    Args:
        ask: an encoded `AskRequest`.
        pictures: uint8 RGB [H, W, 3] each. A few percent of their raw size remains; the events behind them are larger.
    """
    body = zlib.compress(b"".join(picture.tobytes() for picture in pictures), level=6)
    data: bytes = msgpack.packb({"ask": ask, "shapes": [list(p.shape) for p in pictures], "pictures": body})
    return data


def decode_opening(data: bytes) -> tuple[bytes, list[NDArray[Any]]]:
    """The question and the pictures. Raises MessageError if it is malformed or over a limit."""
    import numpy as np

    try:
        values = msgpack.unpackb(data)
        ask, shapes, body = values["ask"], [tuple(shape) for shape in values["shapes"]], values["pictures"]
        sizes = [prod(shape) for shape in shapes]
        if sum(sizes) > _MAX_PICTURE_BYTES:
            raise MessageError(f"event pictures of {sum(sizes):,} bytes are over the limit of {_MAX_PICTURE_BYTES:,}")
        raw = zlib.decompressobj().decompress(body, sum(sizes) + 1)
        if len(raw) != sum(sizes):
            raise MessageError(f"event pictures of {sum(sizes):,} bytes were announced, {len(raw):,} came")
        flat = np.frombuffer(raw, np.uint8)
        ends = np.cumsum(sizes)
        return ask, [
            flat[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise MessageError(f"the upload's opening can't be read: {error!r}") from error
