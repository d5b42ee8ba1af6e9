"""The children that decode videos for this process."""

from __future__ import annotations

from functools import cache

from common.child_pool import ChildPool
from common.decoding import decoding_children

_PLACES = 4  # as many as anybody reads files at a time, and some


@cache
def decoders() -> ChildPool:
    """Children for frames under `edge_vision`."""
    return decoding_children(_PLACES)
