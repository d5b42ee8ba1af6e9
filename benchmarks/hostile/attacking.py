"""The attackers' process: `python -m benchmarks.hostile.attacking serve ADDRESS JSON`. Ends when its input does.

It runs at a low priority: hostile clients have machines of their own, and must not measure this one's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter

from benchmarks.hostile.attackers import INSIDERS, STRANGERS, Attack, run


async def attack(address: str, count: int, token: str, tokenizer_hash: str, seed: int) -> dict[str, dict[str, int]]:
    """`count` attackers until the standard input ends: half of them know the token; what each kind heard."""
    attacks: list[tuple[str, Attack]] = []
    tasks = []
    for number in range(count):
        inside = number % 2 == 0
        kinds = INSIDERS if inside else STRANGERS
        kind = list(kinds)[number // 2 % len(kinds)]
        shown = token if inside else ("" if number % 4 == 1 else "evs_guessed")
        one = Attack(address, shown, tokenizer_hash, seed * 1_000 + number)
        attacks.append((f"{'insider' if inside else 'stranger'}, {kind}", one))
        tasks.append(asyncio.create_task(run(one, kinds[kind])))
    print(f"attackers ready on {address}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for _, one in attacks:
        one.stop = True
    await asyncio.wait(tasks, timeout=5)
    heard: dict[str, Counter[str]] = {}
    for kind, one in attacks:
        heard.setdefault(kind, Counter()).update(one.heard)
    return {kind: dict(counts.most_common()) for kind, counts in heard.items()}


def main() -> int:
    """Entry point."""
    with contextlib.suppress(PermissionError):  # also where the measurement itself runs at real-time priority
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    address, settings = sys.argv[1], json.loads(sys.argv[2])
    os.nice(settings.pop("nice"))
    print(json.dumps(asyncio.run(attack(address, **settings))), flush=True)
    os._exit(0)  # whatever hangs, hangs on purpose


if __name__ == "__main__":
    sys.exit(main())
