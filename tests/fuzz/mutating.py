"""Fuzzing without coverage, where atheris can't be installed: random mutations of a corpus, by a seeded generator."""

from __future__ import annotations

import random
import sys
import time
import zlib
from pathlib import Path

from benchmarks.hostile.mutations import mutated
from tests.fuzz.targets import TARGETS


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
