"""Fuzzing without coverage, where atheris can't be installed: random mutations of a corpus, by a seeded generator."""

from __future__ import annotations

import random
import sys
import time
import zlib
from pathlib import Path

from tests.fuzz.targets import TARGETS

_WORDS = (b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80", b"\x00\x00\x00\x00\x00\x00\x00\x80")


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`data` after one to eight changes: bits, bytes, cuts, repeats, splices."""
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


def main() -> int:
    """`python -m tests.fuzz.mutating TARGET SECONDS SEEDS KEEP`."""
    name, seconds, seeds, keep = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    target, chance = TARGETS[name], random.Random(zlib.crc32(name.encode()) ^ int(time.time()))
    corpus = [path.read_bytes() for path in sorted(seeds.iterdir())] or [b""]
    runs, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        data = mutated(chance.choice(corpus), chance, corpus)
        try:
            target(data)
        except BaseException:
            (keep / f"crash-{zlib.crc32(data):08x}").write_bytes(data)
            raise
        runs += 1
    print(f"stat::number_of_executed_units: {runs}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
