"""Askers in a process of their own: `python -m benchmarks.fairness.askers serve ADDRESS JSON`.

They say that they are ready, ask from a first line of input on until it ends, and print what each got. Several
processes, so that a greedy client's work doesn't hold up the clock of a modest one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.fairness.asking import Asker, Got, Question
from edge.video import open_clip


def question_about(video: Path, text: str, tokens: int, drafts: int) -> Question:
    """A question about a clip."""
    clip = open_clip(video)
    return Question(text, clip.header, tuple(clip.packets()), tokens, drafts)


async def ask(
    address: str, identity: str, tokenizer_hash: str, askers: int, seed: int, question: dict[str, Any]
) -> list[Got]:
    """So many askers of one identity, each with a connection of its own, until the standard input ends."""
    loop = asyncio.get_running_loop()
    about = question_about(Path(question.pop("video")), **question)
    all_of_them = [Asker(address, identity, tokenizer_hash, seed * 1_000 + number) for number in range(askers)]
    print("askers ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    tasks = [asyncio.create_task(one.run(about)) for one in all_of_them]
    await loop.run_in_executor(None, sys.stdin.read)
    for one in all_of_them:
        one.stop = True
    await asyncio.wait(tasks, timeout=10)
    return [one.got for one in all_of_them]


def main() -> int:
    """Entry point."""
    got = asyncio.run(ask(sys.argv[1], **json.loads(sys.argv[2])))
    print(json.dumps([asdict(one) for one in got]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
