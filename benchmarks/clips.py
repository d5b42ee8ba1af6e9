"""The clips that benchmarks ask about: the shipped ones, or any folder with a `clips.json` of the same form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.shipped import shipped_clips


@dataclass(frozen=True, slots=True)
class ClipQuestion:
    """One question about one clip. `expected` is the right answer, where it is known."""

    clip: str
    events: Path
    video: Path
    question: str
    expected: str | None = None


def load_questions(folder: Path | None = None) -> list[ClipQuestion]:
    """All questions of a folder of clips; of the shipped ones if none is named.

    Raises:
        InputError: the folder's `clips.json` is missing or makes no sense.
    """
    folder = folder or shipped_clips()
    index = folder / "clips.json"
    try:
        clips = json.loads(index.read_text(encoding="utf-8"))["clips"]
        return [
            ClipQuestion(clip["name"], folder / clip["events"], folder / clip["video"], q["question"], q.get("answer"))
            for clip in clips
            for q in clip["questions"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index} can't be read as a list of clips: {error!r}") from error


def spread(questions: list[ClipQuestion], count: int) -> list[ClipQuestion]:
    """`count` questions, taken from the clips in turn."""
    by_clip: dict[str, list[ClipQuestion]] = {}
    for question in questions:
        by_clip.setdefault(question.clip, []).append(question)
    chosen: list[ClipQuestion] = []
    while len(chosen) < min(count, len(questions)):
        for waiting in by_clip.values():
            if waiting and len(chosen) < count:
                chosen.append(waiting.pop(0))
    return chosen
