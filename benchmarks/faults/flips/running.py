"""Runs answers while bits are flipped, slice by slice, until so many were; a record may be gone on with."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.flips.answers import BAD, Ended, Question, ask
from benchmarks.faults.flips.flipping import RandomFlips
from benchmarks.faults.flips.light_cloud import LightCloud
from benchmarks.faults.tcp_relay import TcpRelay
from common.security import Reach
from edge.grpc_stream import Patience
from edge.link import GrpcLink, LinkSettings
from edge.worker import DraftingThread

_EDGES, _AT_ONCE = 12, 6  # links, and answers on each
_SLICE = 200  # answers between two checkpoints
_LIMIT_S = 60.0  # of an answer; with this patience a stream that is mute is found within three seconds
_PATIENCE = Patience(opened=1.5, token=1.0, video=2.0)


@dataclass
class Access:
    """Where the cloud's token file is, and one with a token in it; empty: no tokens."""

    tokens: str = ""
    token_file: str = ""


@dataclass
class Record:
    """What came out so far."""

    seed: int
    slices: int = 0
    seconds: float = 0.0
    flips: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)

    @property
    def flipped(self) -> int:
        """Bits so far."""
        return self.flips.total()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        asked = {name: self.answers[name] for name in Ended}
        about = {"seed": self.seed, "slices": self.slices, "seconds": round(self.seconds, 1)}
        counts = {"flipped": self.flipped, "asked": sum(asked.values()), "answers": asked}
        more = {"flips": dict(sorted(self.flips.items())), "reasons": dict(self.reasons.most_common(20))}
        return {**about, **counts, **more, "bad": self.bad}

    @classmethod
    def read(cls, path: Path, seed: int) -> Record:
        """The record in a file, to be gone on with; a fresh one if there is none of this seed."""
        if not path.is_file():
            return cls(seed)
        kept = json.loads(path.read_text())
        if kept["seed"] != seed:
            return cls(seed)
        flips, answers, reasons = (Counter(kept[name]) for name in ("flips", "answers", "reasons"))
        return cls(seed, kept["slices"], kept["seconds"], flips, answers, reasons, kept["bad"])


async def run_slice(record: Record, access: Access, answers: int = _SLICE) -> None:
    """So many answers over fresh connections; adds to the record."""
    began, flips = time.monotonic(), RandomFlips(random.Random(f"{record.seed} {record.slices}"))
    draw = random.Random(f"{record.seed} {record.slices} questions")
    cloud, thread = LightCloud(access.tokens), DraftingThread()
    relay = TcpRelay(await cloud.start(), flips.changing)
    reach = Reach(token_file=access.token_file)
    links = [GrpcLink(LinkSettings(relay.listen("127.0.0.1"), reach=reach, patience=_PATIENCE)) for _ in range(_EDGES)]
    left = [Question.drawn(draw) for _ in range(answers)]

    async def asker(link: GrpcLink) -> None:
        while left:
            question = left.pop()
            ended, why = await ask(question, link, thread, _LIMIT_S)
            record.answers[ended] += 1
            record.reasons[f"{ended}: {why[:100]}"] += ended is not Ended.IDENTICAL
            if ended in BAD:
                record.bad.append(f"slice {record.slices}, {question.text}: {ended}: {why}")

    try:
        await asyncio.gather(*(asker(link) for link in links for _ in range(_AT_ONCE)))
    finally:
        for link in links:
            await link.close()
        relay.close()
        await cloud.stop()
        thread.close()
    record.flips += flips.hit
    record.slices += 1
    record.seconds += time.monotonic() - began


async def run_flips(
    record: Record, flips: int, access: Access, told: Callable[[Record], None] = lambda record: None
) -> None:
    """Until that many bits were flipped; `told` hears after every slice."""
    while record.flipped < flips:
        await run_slice(record, access)
        told(record)
