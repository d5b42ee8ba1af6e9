"""Extracted states on disk: a folder of safetensors chunks and an `index.json` that says which of them are whole.

A chunk holds the positions of all its samples one after the other, so that short answers take no room that they don't
need; `Chunk.padded` gives the rectangular view. Tensors, for T positions of N samples:

- `drafter_hidden` [T, Hd], `target_hidden` [T, Ht]: the last hidden states after the final norm, from which the token
  at this position is drafted and was chosen
- `drafter_layers` [T, k, Hd]: outputs of the drafter's last k layers, lowest first (only if asked for)
- `target_ids`, `drafter_ids` int32 [T]: the target's answer (EOS included), and the drafter's own choices along it
- `seq_lens` int32 [N]: positions of each sample
- `prompt_ids` int32 [P], `prompt_lens` int32 [N]: each sample's question, as both prompts say it
- `scenes` int64 [N]: seeds of the scenes

A chunk is written aside and renamed, the index likewise after it: whatever kills the writer, what the index names is
whole, and at most the chunk under way is lost.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.errors import ModelError, SettingsError

FORMAT = 1
_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question's states along the target's answer of n tokens.

    Attributes:
        scene: seed of its scene.
        prompt: ids of the question.
        target_ids: the target's answer, [n].
        drafter_ids: the drafter's choice at each position, given the answer's tokens before it, [n].
        target_hidden: [n, Ht].
        drafter_hidden: [n, Hd].
        drafter_layers: [n, k, Hd], or None.
    """

    scene: int
    prompt: tuple[int, ...]
    target_ids: tuple[int, ...]
    drafter_ids: tuple[int, ...]
    target_hidden: Tensor
    drafter_hidden: Tensor
    drafter_layers: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """One whole chunk. `next_scene` and `next_question` say where the source goes on behind it."""

    file: str
    samples: int
    tokens: int
    next_scene: int
    next_question: int


@dataclass(slots=True)
class Index:
    """What a folder of chunks holds.

    Attributes:
        meta: what was extracted from what (models, source, sizes); a resumed run must have the same.
        chunks: whole chunks in order.
        done: True once the source was exhausted.
    """

    meta: dict[str, Any]
    chunks: list[ChunkEntry] = field(default_factory=list)
    done: bool = False

    @property
    def samples(self) -> int:
        """Samples in whole chunks."""
        return sum(chunk.samples for chunk in self.chunks)

    @property
    def tokens(self) -> int:
        """Positions in whole chunks."""
        return sum(chunk.tokens for chunk in self.chunks)


def read_index(folder: Path) -> Index:
    """The folder's index.

    Raises:
        ModelError: there is none, or it isn't one of this format.
    """
    path = folder / _INDEX
    if not path.exists():
        raise ModelError(f"no extracted states in {folder}; run `eventspec-train extract --out {folder}` first")
    try:
        raw = json.loads(path.read_text())
        if raw["format"] != FORMAT:
            raise ModelError(f"{path} has format {raw['format']}, this version reads {FORMAT}: extract again")
        return Index(raw["meta"], [ChunkEntry(**entry) for entry in raw["chunks"]], bool(raw["done"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} isn't an index of extracted states ({error}): extract again") from error


class ChunkWriter:
    """Collects samples and writes every `size` of them as a chunk. Its memory is that of one chunk."""

    def __init__(self, folder: Path, meta: dict[str, Any], size: int = 1000) -> None:
        """Go on behind the whole chunks of `folder`, or begin.

        Raises:
            SettingsError: the folder's chunks were extracted from something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, size
        self.index = read_index(folder) if (folder / _INDEX).exists() else Index(meta)
        if self.index.meta != meta:
            differs = sorted(key for key in {*meta, *self.index.meta} if meta.get(key) != self.index.meta.get(key))
            raise SettingsError(f"{folder} holds states of other settings ({', '.join(differs)}): take another --out")
        self._samples: list[Sample] = []

    @property
    def place(self) -> tuple[int, int]:
        """Where the source goes on: number of the scene, and of the question in it."""
        last = self.index.chunks[-1] if self.index.chunks else None
        return (last.next_scene, last.next_question) if last else (0, 0)

    def add(self, sample: Sample, following: tuple[int, int]) -> None:
        """Take one sample; `following` is the source's place behind it."""
        self._samples.append(sample)
        if len(self._samples) >= self.size:
            self._write(following)

    def finish(self, following: tuple[int, int]) -> None:
        """Write what is left and mark the extraction as done."""
        if self._samples:
            self._write(following)
        self.index.done = True
        self._write_index()

    def _write(self, following: tuple[int, int]) -> None:
        tensors = _stack(self._samples)
        name = f"chunk-{len(self.index.chunks):05d}.safetensors"
        part = self.folder / f"{name}.part"
        save_file(tensors, part)
        part.chmod(0o644)
        _replace(part, self.folder / name)
        tokens = len(tensors["target_ids"])
        self.index.chunks.append(ChunkEntry(name, len(self._samples), tokens, *following))
        self._write_index()
        self._samples = []

    def _write_index(self) -> None:
        part = self.folder / f"{_INDEX}.part"
        chunks = [asdict(chunk) for chunk in self.index.chunks]
        body = {"format": FORMAT, "meta": self.index.meta, "done": self.index.done, "chunks": chunks}
        part.write_text(json.dumps(body, indent=1) + "\n")
        _replace(part, self.folder / _INDEX)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk in memory: its tensors as they are stored (see the module), states in fp32."""

    tensors: dict[str, Tensor]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.tensors["seq_lens"])

    @property
    def starts(self) -> Tensor:
        """Where each sample begins, and the end, int64 [N + 1]."""
        return _starts(self.tensors["seq_lens"])

    def padded(self, name: str, samples: Sequence[int] | None = None) -> Tensor:
        """The tensor `name` as [N, longest, ...], zero behind each sample's end; of `samples` or of all."""
        starts = self.starts.tolist()
        rows = range(len(self)) if samples is None else samples
        return pad([self.tensors[name][starts[i] : starts[i + 1]] for i in rows])

    def mask(self, samples: Sequence[int] | None = None) -> Tensor:
        """True where a sample has a position, bool [N, longest]."""
        lens = self.tensors["seq_lens"] if samples is None else self.tensors["seq_lens"][list(samples)]
        return torch.arange(int(lens.max())) < lens[:, None]

    def prompts(self) -> list[list[int]]:
        """Each sample's question."""
        starts = _starts(self.tensors["prompt_lens"]).tolist()
        ids = self.tensors["prompt_ids"].tolist()
        return [ids[start:end] for start, end in pairwise(starts)]


def load_chunk(folder: Path, entry: ChunkEntry) -> Chunk:
    """One chunk of a folder.

    Raises:
        ModelError: the file is missing or broken.
    """
    try:
        with safe_open(folder / entry.file, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own kind, the file system others
        raise ModelError(f"{folder / entry.file} can't be read ({error}): extract again") from error
    return Chunk({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()})


def load_chunks(folder: Path) -> Iterator[Chunk]:
    """The folder's chunks one after the other; only one is in memory at a time."""
    for entry in read_index(folder).chunks:
        yield load_chunk(folder, entry)


def pad(rows: Sequence[Tensor]) -> Tensor:
    """Rows [n_i, ...] as one [N, longest, ...], zero behind each row's end."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _stack(samples: Sequence[Sample]) -> dict[str, Tensor]:
    tensors = {
        "drafter_hidden": torch.cat([sample.drafter_hidden.half() for sample in samples]),
        "target_hidden": torch.cat([sample.target_hidden.half() for sample in samples]),
        "target_ids": torch.tensor([token for sample in samples for token in sample.target_ids], dtype=torch.int32),
        "drafter_ids": torch.tensor([token for sample in samples for token in sample.drafter_ids], dtype=torch.int32),
        "seq_lens": torch.tensor([len(sample.target_ids) for sample in samples], dtype=torch.int32),
        "prompt_ids": torch.tensor([token for sample in samples for token in sample.prompt], dtype=torch.int32),
        "prompt_lens": torch.tensor([len(sample.prompt) for sample in samples], dtype=torch.int32),
        "scenes": torch.tensor([sample.scene for sample in samples], dtype=torch.int64),
    }
    layers = [sample.drafter_layers.half() for sample in samples if sample.drafter_layers is not None]
    return tensors | ({"drafter_layers": torch.cat(layers)} if layers else {})


def _starts(lens: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=torch.int64), lens.long().cumsum(0)])


def _replace(part: Path, path: Path) -> None:
    """Rename a finished file into place, once its bytes are on the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
