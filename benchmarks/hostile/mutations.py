"""Random damage to messages, by a seeded generator. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

_WORDS = (b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80", b"\x00\x00\x00\x00\x00\x00\x00\x80")


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to eight changes: bits, bytes, cuts, repeats, splices with `others`."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = chance.randrange(256)
            case 2:
                del changed[at : at + chance.randint(1, 16)]
            case 3:
                changed[at:at] = chance.choice(_WORDS)
            case 4:
                changed[at:at] = changed[at : at + chance.randint(1, 64)]
            case _:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                changed[at:] = other[start : start + 4_096]
    return bytes(changed)
