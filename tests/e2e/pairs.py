"""Asking running daemons, looking at their processes, and pairs that answer at length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clips import ClipQuestion
from benchmarks.faults.victims import children, command, engine_of, family, talkative
from common.ask import Answer, AskRequest, Mode, Notice, Report
from common.types import Pace, SamplingParams
from edge.asking import ask_daemon

__all__ = ["Asked", "ask", "children", "command", "engine_of", "family", "talkative"]


@dataclass
class Asked:
    """What an asker saw. `values` is the report."""

    values: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def token_ids(self) -> list[int]:
        ids: list[int] = self.values["token_ids"]
        return ids


def ask(
    address: str,
    clip: ClipQuestion,
    *,
    mode: Mode = Mode.STREAM_TO_CLOUD,
    sampling: SamplingParams | None = None,
    pace: Pace = Pace.EAGER,
    max_tokens: int = 64,
    draft_length: int = 0,
    branches: int | None = None,
    patience_ms: int = 200,
    on_first_commit: Callable[[], None] | None = None,
) -> Asked:
    """Ask a daemon about a clip; `on_first_commit` runs once, as soon as there is committed text."""
    request = AskRequest(
        question=clip.question,
        events_path=str(clip.events),
        video_path=str(clip.video),
        mode=mode,
        sampling=sampling or SamplingParams(),
        max_tokens=max_tokens,
        pace=pace,
        draft_length=draft_length,
        branches=branches,
        patience_ms=patience_ms,
    )
    asked = Asked()
    for event in ask_daemon(address, request):
        if isinstance(event, Report):
            asked.values = event.values
        elif isinstance(event, Notice):
            asked.notices.append(event.text)
        else:
            asked.answers.append(event)
            if event.committed_text and on_first_commit is not None:
                react, on_first_commit = on_first_commit, None
                react()
    return asked
