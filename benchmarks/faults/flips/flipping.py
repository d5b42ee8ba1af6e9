"""Which bits are flipped: at random at a rate that each connection draws anew, or aimed."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.faults.flips.frames import FrameReader, Span

_MOST_OFTEN, _LEAST_OFTEN = 100, 30_000  # bytes from one flip to the next, on average


@dataclass
class RandomFlips:
    """Flips bits of all connections, each at its own rate: from one in a hundred bytes to one in a connection's life.

    Attributes:
        draw: where chance comes from.
        hit: how many bits were flipped, by way, frame and part of it.
    """

    draw: random.Random
    hit: Counter[str] = field(default_factory=Counter)

    @property
    def flips(self) -> int:
        """How many bits were flipped."""
        return self.hit.total()

    def changing(self, way: str) -> Callable[[bytes], bytes]:
        """For one way of a new connection."""
        reader, draw = FrameReader(way), self.draw
        between = 8 * math.exp(draw.uniform(math.log(_MOST_OFTEN), math.log(_LEAST_OFTEN)))
        next_bit = int(draw.expovariate(1 / between))

        def change(data: bytes) -> bytes:
            nonlocal next_bit
            spans, changed, here = reader.spans(data), bytearray(data), 0
            while next_bit < 8 * len(data):
                byte = next_bit // 8
                changed[byte] ^= 1 << next_bit % 8
                while spans[here].stop <= byte:
                    here += 1
                self.hit[f"{way} {spans[here].kind} {spans[here].part}"] += 1
                next_bit += 1 + int(draw.expovariate(1 / between))
            next_bit -= 8 * len(data)
            return bytes(changed)

        return change


Aim = Callable[[str, Span, bytes], int | None]
"""Says which bit of a stretch (way, what it is, its bytes) is flipped: from 0; None: none."""


@dataclass
class AimedFlips:
    """Flips the bits that `aim` says."""

    aim: Aim
    flips: int = 0

    def changing(self, way: str) -> Callable[[bytes], bytes]:
        """For one way of a new connection."""
        reader = FrameReader(way)

        def change(data: bytes) -> bytes:
            changed = bytearray(data)
            for span in reader.spans(data):
                bit = self.aim(way, span, data[span.start : span.stop])
                if bit is not None:
                    changed[span.start + bit // 8] ^= 1 << bit % 8
                    self.flips += 1
            return bytes(changed)

        return change
