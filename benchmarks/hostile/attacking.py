"""The attackers' process: `python -m benchmarks.hostile.attacking serve ADDRESS JSON`. Ends when its input does.

It runs at a low priority: hostile clients have machines of their own, and must not measure this one's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmarks.hostile.attackers import Attack, run
from benchmarks.hostile.kinds import ASKERS, INSIDERS, STRANGERS, THIEVES, Misdeed


@dataclass(frozen=True, slots=True)
class Known:
    """What the attackers know.

    Attributes:
        count: of attackers: 12 in 25 have a token, 12 have none, and one asks an honest edge about odd files.
        tokens: the stolen ones, one for each group of `THIEVES`.
        seed: of their dice.
        edges: addresses of honest edges.
        facts: of the target, odd files and clips, by the names of `Attack`'s attributes.
    """

    count: int
    tokens: list[str]
    seed: int
    edges: list[str]
    facts: dict[str, Any]


def attackers(address: str, known: Known) -> list[tuple[str, Attack, Misdeed]]:
    """Each with its name and what it does."""
    found: list[tuple[str, Attack, Misdeed]] = []
    turns = {"insider": cycle(INSIDERS.items()), "stranger": cycle(STRANGERS.items()), "asker": cycle(ASKERS.items())}
    for number in range(known.count):
        who = "asker" if number % 25 == 24 and known.edges else ("insider", "stranger")[number % 2]
        kind, misdeed = next(turns[who])
        shown = "evs_guessed" if who == "stranger" and number % 4 == 3 else ""
        if who == "insider":
            shown = next(token for token, group in zip(known.tokens, THIEVES, strict=True) if kind in group)
        where = known.edges[number // 25 % len(known.edges)] if who == "asker" else address
        found.append((f"{who}, {kind}", Attack(where, shown, known.seed * 1_000 + number, **known.facts), misdeed))
    return found


async def attack(address: str, known: Known) -> dict[str, dict[str, int]]:
    """Attack until the standard input ends; what each kind heard."""
    attacks = attackers(address, known)
    tasks = [asyncio.create_task(run(one, misdeed)) for _, one, misdeed in attacks]
    print(f"attackers ready on {address}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for _, one, _ in attacks:
        one.stop = True
    await asyncio.wait(tasks, timeout=5)
    heard: dict[str, Counter[str]] = {}
    for kind, one, _ in attacks:
        heard.setdefault(kind, Counter()).update(one.heard)
    return {kind: dict(counts.most_common()) for kind, counts in heard.items()}


def main() -> int:
    """Entry point."""
    with contextlib.suppress(PermissionError):  # also where the measurement itself runs at real-time priority
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    address, settings = sys.argv[1], json.loads(sys.argv[2])
    os.nice(settings.pop("nice"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    settings["facts"]["features_shape"] = tuple(settings["facts"]["features_shape"])
    print(json.dumps(asyncio.run(attack(address, Known(**settings)))), flush=True)
    os._exit(0)  # whatever hangs, hangs on purpose


if __name__ == "__main__":
    sys.exit(main())
