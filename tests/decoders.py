"""Children that decode, shared by the tests of one run."""

from __future__ import annotations

from functools import cache

from common.child_pool import ChildPool
from common.decoding import decoding_children


@cache
def decoders() -> ChildPool:
    """They end with the tests."""
    return decoding_children(8)
