"""Training that may be stopped at any step and goes on from its checkpoint."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

SAVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """How training stands after a step."""

    step: int
    steps: int
    loss: float
    right: float
    seconds: float


class SteppedTrainer(ABC):
    """Takes steps, writes a line for each into `log.jsonl`, and saves now and then."""

    def __init__(self, steps: int, out: Path) -> None:
        """`steps` in all; `out` is the folder for `checkpoint.pt` and `log.jsonl`."""
        self.steps, self.out, self.step = steps, out, 0

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.out / "checkpoint.pt"

    @property
    def done(self) -> bool:
        """True once all steps are taken."""
        return self.step >= self.steps

    def run(self, progress: Callable[[Step], None], limit: int | None = None) -> None:
        """Train to the end, or for `limit` steps. Saves now and then, at the end and when interrupted."""
        saved, taken = time.monotonic(), 0
        try:
            while not self.done and (limit is None or taken < limit):
                began = time.monotonic()
                loss, right = self._train_step()
                self.step, taken = self.step + 1, taken + 1
                report = Step(self.step, self.steps, loss, right, time.monotonic() - began)
                with (self.out / "log.jsonl").open("a") as file:
                    file.write(json.dumps(asdict(report)) + "\n")
                progress(report)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    @abstractmethod
    def save(self) -> None:
        """Write all state, so that training can go on from it."""

    @abstractmethod
    def _train_step(self) -> tuple[float, float]:
        """Take step number `self.step`; the loss, and the share of tokens that were right."""

    def _write(self, state: dict[str, Any]) -> None:
        """The checkpoint, whole or not at all."""
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)
