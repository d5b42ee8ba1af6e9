"""From pictures to the log intensity that an event pixel sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINEAR_BELOW = 20  # of 255: darker 8-bit values map linearly, so that their coarse steps fire no spurious events
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # Rec. 709, linear light


def _linlog_table() -> NDArray[np.float32]:
    value = np.arange(256, dtype=np.float64)
    linear = value * (np.log(_LINEAR_BELOW) / _LINEAR_BELOW)
    return np.where(value <= _LINEAR_BELOW, linear, np.log(np.maximum(value, 1))).astype(np.float32)


_LINLOG = _linlog_table()


def log_intensity(frames: NDArray[Any], log_eps: float, *, colour: bool) -> NDArray[np.float32]:
    """Log intensity of pictures, [..., H, W] or, with `colour`, [..., H, W, 3].

    - float: linear intensity I in [0, 1], clipped to it; the result is `log(I + log_eps)`. Colour is linear
      RGB, reduced to Rec. 709 luminance first.
    - uint8: display values v; the result is `log(v)` for v > 20, and below the straight line from 0 to
      log(20) (the lin-log mapping of v2e). Colour is RGB, reduced to Rec. 601 luma first.

    Returns:
        float32 [..., H, W].

    Raises:
        ValueError: another dtype or shape, or intensities that are not finite.
    """
    if colour and frames.shape[-1:] != (3,):
        raise ValueError(f"colour pictures need a last axis of 3, not {list(frames.shape)}")
    if frames.size == 0:
        raise ValueError(f"expected pictures of at least one pixel, not {list(frames.shape)}")
    if frames.dtype == np.uint8:
        return np.take(_LINLOG, _luma(frames) if colour else frames)
    if frames.dtype not in (np.float32, np.float64):
        raise ValueError(f"pictures must be float or uint8, not {frames.dtype}")
    light = np.asarray(frames @ _LUMINANCE if colour else frames, dtype=np.float32)
    if not np.isfinite(light).all():
        raise ValueError("pictures must be finite; there are NaN or infinite intensities")
    level: NDArray[np.float32] = np.log(np.clip(light, 0, 1) + np.float32(log_eps))
    return level


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rec. 601 luma in 8-bit fixed point."""
    red, green, blue = (rgb[..., channel].astype(np.uint16) for channel in range(3))
    return ((red * 77 + green * 150 + blue * 29) >> 8).astype(np.uint8)
