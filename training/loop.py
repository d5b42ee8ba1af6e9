"""The training loop.

Resumable to the bit, because every step is a function of the state, the seed and its number alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.attention import ATTENTION_NAME
from training.data.batches import Shards, pack_pairs
from training.growth import grow
from training.heads import patch_loss
from training.models import Learner, normalise
from training.objective import TRACK_DEPTH, AllHeads, Dense, Prefix, answer_loss, watch_loss
from training.plan import Phase

NOISE = 2.0
"""Standard deviation of the noise on training frames, in levels of 255 (codecs and sensors add some)."""
SAVE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Report:
    """How training stands after a step."""

    phase: str
    step: int
    steps: int
    loss: float
    right: float
    seconds: float


class Trainer:
    """Trains one model along a plan. Checkpoints hold all state; `run` goes on from the last one."""

    def __init__(
        self,
        learner: Learner,
        prefix: Prefix,
        shards: Shards,
        plan: Sequence[Phase],
        folder: Path,
        seed: int = 0,
    ) -> None:
        """Take up the checkpoint in `folder` if there is one.

        Args:
            learner: the model, as shallow as the plan's first phase.
            prefix: of its prompt.
            shards: training data of its sense.
            plan: phases in order.
            folder: for `checkpoint.pt` and `log.jsonl`.
            seed: of batches, noise and new layers; the model's own weights are the caller's.
        """
        self.learner, self.prefix, self.shards, self.plan, self.folder, self.seed = (
            learner,
            prefix,
            shards,
            tuple(plan),
            folder,
            seed,
        )
        self.phase, self.step = 0, 0
        learner.language.set_attn_implementation(ATTENTION_NAME)
        with torch.random.fork_rng():
            torch.manual_seed(seed + 500)
            self.heads = AllHeads(learner)
        folder.mkdir(parents=True, exist_ok=True)
        saved = torch.load(self.checkpoint, weights_only=True) if self.checkpoint.exists() else None
        if saved is not None:
            self.phase, self.step = saved["phase"], saved["step"]
        self._enter()
        if saved is not None:
            self.learner.load_state_dict(saved["learner"])
            self.heads.load_state_dict(saved["heads"], strict=False)  # a head that came with a later phase begins fresh
            if saved["optimizer"] is not None and self.phase < len(self.plan):
                self.optimizer.load_state_dict(saved["optimizer"])

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.folder / "checkpoint.pt"

    @property
    def done(self) -> bool:
        """True once every phase is over."""
        return self.phase >= len(self.plan)

    def run(self, progress: Callable[[Report], None], limit: int | None = None) -> None:
        """Train to the end of the plan, or for `limit` steps.

        Saves now and then, at the end and when interrupted.
        """
        saved = time.monotonic()
        taken = 0
        try:
            while not self.done and (limit is None or taken < limit):
                began = time.monotonic()
                phase, step = self.plan[self.phase], self.step
                loss, right = self._train_step(phase)
                self._advance()
                taken += 1
                now = time.monotonic()
                report = Report(phase.name, step + 1, phase.steps, loss, right, now - began)
                self._log(report)
                progress(report)
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.checkpoint.with_suffix(".part")
        state = {
            "phase": self.phase,
            "step": self.step,
            "learner": self.learner.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": None if self.done else self.optimizer.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.checkpoint)

    def _enter(self) -> None:
        """Set up the current phase: depth, parameters, optimiser."""
        phase = self.plan[min(self.phase, len(self.plan) - 1)]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed + 1000 * (self.phase + 1))
            grow(self.learner.language, phase.layers, keep=TRACK_DEPTH)
        self._pool = self.shards.pool(phase.least_things)
        parameters = [*self.learner.trained(phase.goal)]
        if phase.goal != "answers":
            parameters += self.heads.parameters()
        wide = [p for p in parameters if p.dim() > 1]
        flat = [p for p in parameters if p.dim() <= 1]
        groups = [{"params": wide, "weight_decay": 0.05}, {"params": flat, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=phase.rate, betas=(0.9, 0.98), fused=True)

    def _advance(self) -> None:
        self.step += 1
        if self.step >= self.plan[self.phase].steps:
            self.phase, self.step = self.phase + 1, 0
            if not self.done:
                self._enter()

    def _train_step(self, phase: Phase) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = phase.rate_at(self.step)
        # A phase's batches go on where shuffles of other phases don't: the phase is part of the seed.
        scenes = self.shards.draw(phase.batch, self.step, self.seed * 100 + self.phase, self._pool)
        pixels = self._pixels(scenes)
        with torch.autocast("cpu", torch.bfloat16):
            loss, right = self._loss(phase, scenes, pixels)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach()), float(right)

    def _loss(self, phase: Phase, scenes: np.ndarray, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if phase.goal == "patches":
            labels = self.shards.labels(scenes).flatten(0, 1)
            return patch_loss(self.heads.patches, self.learner.patches(pixels.flatten(0, 1)), labels)
        dense = None
        if phase.goal in ("watch", "tracks", "fates"):
            looks, tracks, things = (
                self.shards.labels(scenes),
                self.shards.tracks(scenes),
                self.shards.things(scenes),
            )
            dense = Dense(self.heads, looks, tracks, things, fates=phase.goal == "fates")
        if dense is not None and phase.goal == "watch":
            return watch_loss(self.learner, self.prefix, pixels, dense)
        rng = np.random.default_rng([self.seed, self.phase, self.step])
        text = pack_pairs([self.shards.pairs(int(scene), rng, phase.favour) for scene in scenes], phase.room)
        return answer_loss(self.learner, self.prefix, pixels, text, dense)

    def _pixels(self, scenes: np.ndarray) -> Tensor:
        frames = self.shards.frames(scenes)
        if self.learner.sense != "frames":
            return normalise(frames)
        generator = torch.Generator().manual_seed(hash((self.seed, self.phase, self.step)) % 2**63)
        noise = torch.randn(frames.shape, generator=generator) * (NOISE * torch.rand((), generator=generator))
        return normalise((frames.float() + noise).clamp(0, 255))

    def _log(self, report: Report) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            row = {"phase": report.phase, "step": report.step, "loss": report.loss, "right": report.right}
            file.write(json.dumps({**row, "seconds": round(report.seconds, 3)}) + "\n")
