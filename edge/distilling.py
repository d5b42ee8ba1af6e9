"""Distillation while serving: the edge's adapter learns from commits what the target says. Imports torch.

Every committed answer is a lesson: the drafter's states along it, and the target's tokens. A copy of the adapter learns
from the last answers, through the copy of the target's head, in the drafter's thread while nobody asks. Each answer is
first an examination of both: the serving adapter gets the copy's weights only while the copy does better.

Nothing of this can change an answer that the cloud verifies. Memory is bounded: so many answers, so many bytes.
"""

from __future__ import annotations

import copy
import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from common.adapters import Adapter, FusedAdapter, LoadedAdapter, Reach, save_adapter
from common.adapters.head import TargetHead
from common.errors import ModelError
from edge.actions import BranchJob
from edge.branches import Branched
from edge.drafter import Drafter
from edge.worker import Branching, Drafting

_STATE = "learner.safetensors"
_FADE = 0.9  # of an examination, with each later one
_TRUSTED = 48.0  # tokens of examinations before a verdict
_LOST = 0.05  # so much worse than the serving adapter, the copy begins anew from it


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How the copy learns.

    Attributes:
        rate: learning rate.
        batch: answers a step.
        steps: for each new answer.
        answers, most_bytes: lessons kept, at most.
    """

    rate: float = 5e-4
    batch: int = 8
    steps: int = 6
    answers: int = 256
    most_bytes: int = 32 << 20


@dataclass(slots=True)
class Examination:
    """Right and asked tokens of one set of weights, older answers counting less."""

    right: float = 0.0
    asked: float = 0.0

    def add(self, right: int, asked: int) -> None:
        """One answer more."""
        self.right = _FADE * self.right + right
        self.asked = _FADE * self.asked + asked

    @property
    def rate(self) -> float:
        """Share that was right."""
        return self.right / self.asked if self.asked else 0.0


class Distiller:
    """Teaches a copy of an adapter, and hands what it learnt over to the one that serves.

    Attributes:
        lessons: answers that are kept.
        steps: taken so far, those of earlier daemons included.
        handed_over: times that the serving adapter got the copy's weights.
    """

    def __init__(
        self, loaded: LoadedAdapter, head: TargetHead, folder: Path, settings: DistillSettings | None = None
    ) -> None:
        """Go on with what `folder` holds, if it was learnt from this adapter.

        Raises:
            ModelError: the adapter can't learn so, or the folder holds something else.
        """
        adapter = loaded.adapter
        if not isinstance(adapter, Adapter) or adapter.reach is Reach.CHUNK or isinstance(adapter, FusedAdapter):
            raise ModelError("only adapters that choose at the edge, state by state, learn here: L1, L1S, L2, L3 or L5")
        self.settings = settings or DistillSettings()
        self.steps = self.handed_over = 0
        self._serving, self._head, self._folder, self._base = adapter, head, folder, loaded.fingerprint
        self._learner = copy.deepcopy(adapter).float().train().requires_grad_(True)
        self._optimizer = torch.optim.AdamW(self._learner.parameters(), lr=self.settings.rate, weight_decay=0.01)
        self.lessons: deque[tuple[Tensor, Tensor]] = deque(maxlen=self.settings.answers)
        self._bytes = self._wanted = self._unsaved = 0
        self._exams = {"serving": Examination(), "learner": Examination()}
        self._chance = random.Random(0)
        self._resume()

    @property
    def wanted(self) -> bool:
        """True while there are steps left to take."""
        return self._wanted > 0 and bool(self.lessons)

    def add(self, states: Tensor, ids: Sequence[int]) -> None:
        """A committed answer: the drafter's states [n, layers * hidden] and the target's tokens [n]."""
        if len(ids) < 2:
            return
        lesson = states.detach().half().cpu(), torch.tensor(list(ids))
        self._examine(*lesson)
        if len(self.lessons) == self.lessons.maxlen:
            self._drop()
        self.lessons.append(lesson)
        self._bytes += lesson[0].nbytes
        while self._bytes > self.settings.most_bytes and len(self.lessons) > 1:
            self._drop()
        self._wanted = min(self._wanted + self.settings.steps, 16 * self.settings.steps)

    def step(self) -> None:
        """One step: some milliseconds of a small adapter."""
        self._wanted = max(0, self._wanted - 1)
        with torch.inference_mode(False), torch.enable_grad():
            chosen = self._chance.sample(range(len(self.lessons)), min(self.settings.batch, len(self.lessons)))
            losses = [self._loss(*self.lessons[i]) for i in chosen]
            torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._learner.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self._unsaved += 1

    def save(self) -> None:
        """Write the serving adapter, and all that is needed to go on, if there is anything new."""
        if not self._unsaved:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        save_adapter(self._serving, self._folder)
        tensors = {f"w.{name}": p.detach().cpu().contiguous() for name, p in self._learner.state_dict().items()}
        for name, parameter in self._learner.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
        part = self._folder / f"{_STATE}.part"
        save_file(tensors, part, {"about": json.dumps({"base": self._base, "steps": self.steps})})
        part.replace(self._folder / _STATE)
        self._unsaved = 0

    # ---------------------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        self._bytes -= self.lessons.popleft()[0].nbytes

    def _loss(self, states: Tensor, ids: Tensor) -> Tensor:
        logits = self._head.logits(self._learner(states.float().clone()))
        return cross_entropy(logits.float(), ids.clone())

    @torch.inference_mode()
    def _examine(self, states: Tensor, ids: Tensor) -> None:
        """Ask both before either learns of it; hand over, or begin anew."""
        for name, adapter in (("serving", self._serving), ("learner", self._learner)):
            choices = self._head.logits(adapter(states.to(adapter.dtype))).argmax(-1).cpu()
            self._exams[name].add(int((choices == ids).sum()), len(ids))
        serving, learner = self._exams["serving"], self._exams["learner"]
        if serving.asked < _TRUSTED or not self.steps:
            return
        if learner.rate > serving.rate:
            self._serving.load_state_dict(self._learner.state_dict())
            self._exams["serving"] = copy.copy(learner)
            self.handed_over += 1
        elif learner.rate < serving.rate - _LOST:
            self._learner.load_state_dict(self._serving.state_dict())
            self._optimizer.state.clear()
            self._exams["learner"] = copy.copy(serving)

    def _resume(self) -> None:
        path = self._folder / _STATE
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ModelError(f"{path} can't be read ({error}): remove it, or take another --distill") from error
        if about["base"] != self._base:
            raise ModelError(f"{self._folder} was learnt from another adapter: take another --distill folder")
        self._learner.load_state_dict(_part(kept, "w"))
        for name, parameter in self._learner.named_parameters():
            state: dict[str, Any] = {key: kept.get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if all(value is not None for value in state.values()):
                self._optimizer.state[parameter] = state
        self.steps = int(about["steps"])
        from common.adapters import load_adapter

        self._serving.load_state_dict(load_adapter(self._folder).adapter.state_dict())


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


class LearningDrafter:
    """Implements `edge.worker.Drafting` and `Learns` around a drafter that keeps its states."""

    def __init__(self, inner: Drafting, drafter: Drafter, distiller: Distiller) -> None:
        self._inner = inner
        self._drafter = drafter
        self._distiller = distiller

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """As the drafter's."""
        return self._inner.prefill(prompt_ids, frames)

    def draft(self, count: int) -> list[int]:
        """As the drafter's."""
        return self._inner.draft(count)

    def branch(self, job: BranchJob) -> Branched:
        """As the drafter's."""
        assert isinstance(self._inner, Branching)
        return self._inner.branch(job)

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """As the drafter's."""
        self._inner.commit(position, ids)

    def learn(self, committed: Sequence[int]) -> None:
        """The answer is over, and this is what the cloud committed: at most one forward gives the states along it."""
        self._drafter.commit(0, committed[:-1])
        if len(self._drafter.states(0)) < len(committed):
            self._drafter.draft(1)
        states = self._drafter.states(0)[: len(committed)]
        self._distiller.add(states, committed[: len(states)])

    def close(self) -> None:
        """Free what the drafter holds."""
        if hasattr(self._inner, "close"):
            self._inner.close()
