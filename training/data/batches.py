"""Batches from shards: frames, and many question-answer pairs of a scene in one row behind one prefix.

A row is `prefix | pair | pair | ... | padding`. Every pair sees the prefix and itself, nothing else, and
its positions go on from the prefix, so a row's loss is the sum of what the pairs would give one by one,
while the prefix is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from common.errors import SettingsError
from training.data.labels import TRACK_FIELDS
from training.data.naming import Namer, names_of
from training.data.shards import GROUPS
from training.tokenizer import pair_tokenizer

PADDING = -1
_EVEN: Mapping[str, float] = MappingProxyType({})


class Pair(NamedTuple):
    """Ids of the prompt's own part and of the answer (EOS included); ranks of things by places that are about them.

    `number` is what a question for a number asks for, -1 elsewhere.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    about: Mapping[int, int] = MappingProxyType({})
    number: int = -1


@dataclass(frozen=True, slots=True)
class PackedText:
    """Text of B packed rows of M tokens.

    Attributes:
        ids: int64 [B, M], 0 where padded.
        owner: int64 [B, M], the number of the pair from 0, or `PADDING`.
        offsets: int64 [B, M], the position within the pair.
        goals: int64 [B, M], the id to predict after this token, or -100 where there is no loss.
        about: int64 [B, M], the rank of the thing that this place is about (see `Pair`), -1 elsewhere.
        number: int64 [B, M], where a question for a number ends, the number; -1 elsewhere.
    """

    ids: Tensor
    owner: Tensor
    offsets: Tensor
    goals: Tensor
    about: Tensor
    number: Tensor


def pack_pairs(rows: Sequence[Sequence[Pair]], room: int) -> PackedText:
    """Lay the pairs of each row one after the other; pairs that don't fit into `room` tokens are left out.

    Raises:
        SettingsError: the first pair of a row doesn't fit.
    """
    shape = (len(rows), room)
    ids, offsets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    owner, goals = np.full(shape, PADDING, np.int64), np.full(shape, -100, np.int64)
    about, numbers = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    for row, pairs in enumerate(rows):
        at = 0
        for index, (prompt, answer, things, number) in enumerate(pairs):
            size = len(prompt) + len(answer)
            if at + size > room:
                if at == 0:
                    raise SettingsError(f"a pair of {size} tokens doesn't fit into rows of {room}; give rows more room")
                continue
            ids[row, at : at + size] = [*prompt, *answer]
            owner[row, at : at + size] = index
            offsets[row, at : at + size] = np.arange(size)
            goals[row, at + len(prompt) - 1 : at + size - 1] = answer
            for place, rank in things.items():
                about[row, at + place] = rank
            numbers[row, at + len(prompt) - 1] = number
            at += size
    return PackedText(*(torch.from_numpy(array) for array in (ids, owner, offsets, goals, about, numbers)))


def packed_mask(owner: Tensor, prefix: int) -> Tensor:
    """Who sees whom.

    Bool [B, 1, prefix + M, prefix + M] for rows of `owner` [B, M] behind `prefix` shared tokens.
    """
    batch, room = owner.shape
    shared = torch.full((batch, prefix), PADDING - 1)
    group = torch.cat([shared, owner], dim=1)
    length = prefix + room
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    is_prefix = torch.arange(length) < prefix
    same = group[:, :, None] == group[:, None, :]
    return (causal & (same | is_prefix))[:, None]


def packed_positions(offsets: Tensor, prefix: int) -> Tensor:
    """Positions int64 [B, prefix + M]: the prefix counts up, every pair goes on from its end."""
    shared = torch.arange(prefix).expand(len(offsets), prefix)
    return torch.cat([shared, prefix + offsets], dim=1)


class Shards:
    """Training data on disk, memory-mapped.

    `sense` is `frames` (the target's video) or `events` (the drafter's frames).
    """

    def __init__(self, folder: Path, sense: str) -> None:
        """Open every shard in `folder` that has pictures of this sense.

        Raises:
            SettingsError: there is none.
        """
        kind = "video" if sense == "frames" else "events"
        names = sorted(path.name.removesuffix(f".{sense}.npy") for path in folder.glob(f"*.{sense}.npy"))
        names = [
            name for name in names if all((folder / f"{name}.{part}.done").exists() for part in ("video", "text", kind))
        ]
        if not names:
            raise SettingsError(f"no training data in {folder}; run `eventspec-train data --out {folder}` first")
        self._frames = [np.load(folder / f"{name}.{sense}.npy", mmap_mode="r") for name in names]
        self._labels = [np.load(folder / f"{name}.{kind.removesuffix('s')}_labels.npy") for name in names]
        self._things = [np.load(folder / f"{name}.thing_labels.npy") for name in names]
        tracks = [folder / f"{name}.track_labels.npy" for name in names]
        self._tracks = [np.load(path) for path in tracks] if sense == "frames" else []
        self._text: list[dict[str, npt.NDArray[Any]]] = [dict(np.load(folder / f"{name}.text.npz")) for name in names]
        self._size = len(self._frames[0])
        self._namer = Namer(pair_tokenizer())

    def __len__(self) -> int:
        """Number of scenes."""
        return self._size * len(self._frames)

    def draw(
        self, count: int, step: int, seed: int, pool: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.int64]:
        """Scenes of this step, int64 [count], of all or of the `pool`.

        Each epoch is one shuffle, and every draw a pure function of seed and step.
        """
        size = len(self) if pool is None else len(pool)
        places = np.arange(step * count, (step + 1) * count)
        epochs = places // size
        shuffles = {int(e): np.random.default_rng([seed, int(e)]).permutation(size) for e in np.unique(epochs)}
        drawn = np.array([shuffles[int(e)][p % size] for e, p in zip(epochs, places, strict=True)], np.int64)
        return drawn if pool is None else pool[drawn]

    def pool(self, least_things: int) -> npt.NDArray[np.int64] | None:
        """Numbers of the scenes with at least so many things, int64 [n]; None if that is all of them."""
        if least_things <= 1:
            return None
        rank = list(TRACK_FIELDS).index("rank")
        things = np.concatenate([tracks[..., rank].max(axis=(1, 2)) + 1 for tracks in self._tracks])
        return np.flatnonzero(things >= least_things).astype(np.int64)

    def frames(self, scenes: npt.NDArray[np.int64]) -> Tensor:
        """Frames of the scenes, uint8 [B, T, S, S, 3]."""
        return torch.from_numpy(np.stack([self._frames[i // self._size][i % self._size] for i in scenes]))

    def labels(self, scenes: npt.NDArray[np.int64]) -> Tensor:
        """Dense labels of the scenes, int64 [B, T, 16, fields]."""
        picked = np.stack([self._labels[i // self._size][i % self._size] for i in scenes])
        return torch.from_numpy(picked.astype(np.int64))

    def tracks(self, scenes: npt.NDArray[np.int64]) -> Tensor:
        """Labels of what things do over time, int64 [B, T, 16, fields]; of the video frames only."""
        picked = np.stack([self._tracks[i // self._size][i % self._size] for i in scenes])
        return torch.from_numpy(picked.astype(np.int64))

    def things(self, scenes: npt.NDArray[np.int64]) -> Tensor:
        """What whole clips say of their things, int64 [B, 3, fields]."""
        picked = np.stack([self._things[i // self._size][i % self._size] for i in scenes])
        return torch.from_numpy(picked.astype(np.int64))

    def pairs(self, scene: int, rng: np.random.Generator, favour: Mapping[str, float] = _EVEN) -> list[Pair]:
        """All pairs of a scene in random order, without the line break that ends the prefix.

        Args:
            scene: its number.
            rng: of the order.
            favour: weights of groups of questions (1 if not named); the heavier, the nearer to the front.
        """
        shard, local = divmod(scene, self._size)
        text = self._text[shard]
        per_scene = len(text["answers"]) // self._size
        mine = np.arange(local * per_scene, (local + 1) * per_scene)
        weights = np.array([favour.get(group, 1.0) for group in GROUPS])[text["groups"][mine]]
        things = names_of(self._things[shard][local])
        found: list[Pair] = []
        for index in mine[np.argsort(rng.exponential(size=per_scene) / weights)]:
            start, end = text["starts"][index : index + 2]
            tokens = text["tokens"][start:end].tolist()
            split = int(text["answers"][index])
            prompt, answer = tokens[1:split], tokens[split:]
            about = {len(prompt) + place: rank for place, rank in self._namer.find(answer, things).items()}
            if text["about"][index] >= 0:
                about[len(prompt) - 1] = int(text["about"][index])
            found.append(Pair(prompt, answer, about, int(text["numbers"][index])))
        return found
