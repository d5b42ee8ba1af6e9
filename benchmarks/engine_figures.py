"""The engine alone, in this process: what eight sessions bring over one, and what it costs beside the forward."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.clips import load_questions, spread
from benchmarks.figures import Figure
from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.loading import load_engine
from cloud.messages import Frames
from common.types import Close, Commit, Finished, Open

_SESSIONS = 8


class _Load:
    """Sessions that run to their ends on one engine, without drafts."""

    def __init__(self, model: Path | None, tokens: int) -> None:
        settings = EngineSettings(
            model=str(model) if model else "",
            sessions=_SESSIONS,
            threads=os.cpu_count() or 1,  # the engine is alone here
            max_answer_tokens=tokens,
        )
        self.engine, _, self._frames = load_engine(settings)
        self._tokens = tokens
        self.whole_s, self.whole_tokens = 0.0, 0
        # answers that go on to the limit: every run does the same work
        self.engine._runner.target.eos_token_ids = frozenset()  # type: ignore[attr-defined]
        self._questions = [q.question for q in spread(load_questions(), _SESSIONS)]

    def run(self, sessions: int) -> tuple[float, float, int]:
        """Seconds of prompt and vision, seconds of decoding while all sessions are at work, tokens decoded in them."""
        engine = self.engine
        for index in range(sessions):
            opening = Open(f"figure-{index}", self._questions[index % len(self._questions)], max_tokens=self._tokens)
            engine.handle(opening.session_id, opening, time.monotonic())
            pixels = np.random.default_rng(index).normal(size=(self._frames.count, 3, *[self._frames.size] * 2))
            engine.handle(opening.session_id, Frames(pixels.astype(np.float32)), time.monotonic())
        started = time.perf_counter()
        self._until_prefilled(engine)
        prefilled, tokens, finished = time.perf_counter(), 0, 0
        ended, counted = prefilled, 0
        while finished < sessions:
            for output in engine.step(time.monotonic()):
                tokens += len(output.message.token_ids) if isinstance(output.message, Commit) else 0
                finished += isinstance(output.message, Finished)
            if not finished:  # all sessions are at work up to here
                ended, counted = time.perf_counter(), tokens
        self.whole_s, self.whole_tokens = time.perf_counter() - started, sessions * self._tokens
        for index in range(sessions):
            engine.handle(f"figure-{index}", Close(), time.monotonic())
        return prefilled - started, ended - prefilled, counted

    @staticmethod
    def _until_prefilled(engine: Engine) -> None:
        while not all(s.prefilled for s in engine._sessions.values()):
            engine.step(time.monotonic())


def measure_sessions(repetitions: int, model: Path | None) -> Figure:
    """Committed tokens a second while decoding: eight sessions through one engine against one."""
    load = _Load(model, tokens=64)
    load.run(_SESSIONS), load.run(1)
    ratios, whole = [], []
    for _ in range(repetitions):
        _, one, one_tokens = load.run(1)
        one_whole = load.whole_tokens / load.whole_s
        _, many, many_tokens = load.run(_SESSIONS)
        ratios.append(many_tokens / many / (one_tokens / one))
        whole.append(load.whole_tokens / load.whole_s / one_whole)
    details = {
        "each": [round(r, 2) for r in ratios],
        "with prompts and vision": round(median(whole), 2),
        "threads": torch.get_num_threads(),
    }
    return Figure(
        "sessions", "tokens a second, 8 sessions against 1", median(ratios), "x", 4, at_least=True, details=details
    )


def measure_overhead(repetitions: int, model: Path | None) -> Figure:
    """Share of a step that isn't the forward, at eight decoding sessions."""
    load = _Load(model, tokens=64)
    load.run(_SESSIONS)
    shares = []
    for _ in range(repetitions):
        stats = load.engine.stats
        before = stats.forward_us + stats.vision_us
        load.run(_SESSIONS)
        model_s = (stats.forward_us + stats.vision_us - before) / 1e6
        shares.append(100 * (1 - model_s / load.whole_s))
    details = {"each": [round(s, 2) for s in shares], "threads": torch.get_num_threads()}
    return Figure(
        "overhead", "engine outside the forward, 8 sessions", median(shares), "%", 10, at_least=False, details=details
    )
