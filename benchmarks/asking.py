"""Asks a running edge daemon about a clip, and keeps the whole report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.clips import ClipQuestion
from common.ask import AskEvent, AskRequest, Mode, Report
from common.errors import EventSpecError
from common.types import Pace, SamplingParams
from edge.asking import ask_daemon

Values = dict[str, Any]


def ask_clip(
    address: str,
    clip: ClipQuestion,
    mode: Mode,
    *,
    sampling: SamplingParams | None = None,
    max_tokens: int = 64,
    pace: Pace | None = Pace.EAGER,
    draft_length: int = 0,
    patience_ms: int = 200,
    branches: int | None = None,
    watch: str = "",
    show: Callable[[AskEvent], None] | None = None,
    reconnect_s: float = 0.0,
) -> Values:
    """The report of one answer, as `ask --json` prints it. `watch` names the clip if the daemon watches it already.

    `reconnect_s`: how long a daemon that isn't there yet is waited for, in seconds.

    Raises:
        EventSpecError: there is no answer, and why.
    """
    request = AskRequest(
        question=clip.question,
        events_path="" if watch else str(clip.events.resolve()),
        video_path="" if watch else str(clip.video.resolve()),
        mode=mode,
        sampling=sampling or SamplingParams(),
        max_tokens=max_tokens,
        pace=pace,
        draft_length=draft_length,
        patience_ms=patience_ms,
        branches=branches,
        watch=watch,
    )
    report: Values | None = None
    for event in ask_daemon(address, request, reconnect_s=reconnect_s):
        if show is not None:
            show(event)
        if isinstance(event, Report):
            report = event.values
    if report is None:
        raise EventSpecError("the edge daemon ended the answer without a report")
    return report
