"""Teacher-forced extraction: from scenes to chunks of aligned states."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.alignment.chunks import ChunkWriter
from training.alignment.sources import Source
from training.alignment.states import Aligner, Spent
from training.models import Learner


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a run of `extract` did.

    Attributes:
        samples, tokens: in the folder now.
        added: samples that this run added.
        seconds: of this run, from the first scene to the last chunk.
        spent: of these, inside the models' forwards.
        peak_mb: largest resident size of the process so far, MB.
    """

    samples: int
    tokens: int
    added: int
    seconds: float
    spent: Spent
    peak_mb: float

    @property
    def overhead(self) -> float:
        """Time as a multiple of the models' forwards."""
        return self.seconds / self.spent.forwards if self.spent.forwards else 1.0

    @property
    def overhead_along(self) -> float:
        """Time as a multiple of the forwards along final answers alone: finding the answers is overhead, too."""
        along = self.spent.target + self.spent.drafter
        return self.seconds / along if along else 1.0


def describe(source: Source, target: Learner, drafter: Learner, layers: int, size: int) -> dict[str, Any]:
    """What a folder of chunks is made of; a resumed run must agree."""
    return {
        **source.about,
        "target": fingerprint(target),
        "drafter": fingerprint(drafter),
        "target_hidden": target.language.config.hidden_size,
        "drafter_hidden": drafter.language.config.hidden_size,
        "drafter_layers": layers,
        "chunk": size,
    }


def fingerprint(learner: Learner) -> str:
    """A short hash of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(learner.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def extract(
    source: Source,
    aligner: Aligner,
    folder: Path,
    size: int,
    tick: Callable[[int, int], None],
) -> Extraction:
    """Write the states of all of the source's questions that `folder` doesn't have yet.

    Args:
        source: scenes and questions.
        aligner: the two models.
        folder: for the chunks.
        size: samples a chunk.
        tick: told the number of scenes done and of samples, after every scene.

    Raises:
        SettingsError: the folder's chunks were extracted from something else.
    """
    writer = ChunkWriter(folder, describe(source, aligner.target, aligner.drafter, aligner.layers, size), size)
    scene, question = writer.place
    before = seen = writer.index.samples
    aligner.spent = Spent()
    began = time.perf_counter()
    if not writer.index.done:
        for material in source.scenes(scene):
            for sample in aligner.samples(material, question):
                question += 1
                seen += 1
                writer.add(sample, (scene, question))
            scene, question = scene + 1, 0
            tick(scene, seen)
        writer.finish((scene, 0))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    index = writer.index
    return Extraction(index.samples, index.tokens, index.samples - before, seconds, aligner.spent, peak)
