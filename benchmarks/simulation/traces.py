"""What really happens with a clip, apart from time: the drafter's guesses, and when the target's frames are decoded.

With these a simulated answer differs from a replayed one in nothing but the model of time. Runs the drafter: imports
torch, inside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.simulation.cases import Case
from cloud.prompt import target_prompt
from cloud.video import VideoDecoder
from common.shipped import shipped_target
from common.tokenizer import Tokenizer
from edge.actions import BranchJob
from edge.branches import Choice
from edge.video import open_clip

if TYPE_CHECKING:
    from edge.drafter_model import DrafterModel

_FRAMES = 8
_AHEAD = 64  # longest wrong path
_OTHERS = 3  # words beside each guess


def traced(cases: Sequence[Case], clips: Path | None = None, target: Path | None = None) -> list[Case]:
    """The cases with what their clips and the shipped drafter tell; a case without its clip stays as it is."""
    from edge.config import EdgeSettings
    from edge.loading import load_drafter

    known = {(q.clip, q.question): q for q in load_questions(clips)}
    tokenizer = Tokenizer.from_folder(target or shipped_target())
    drafter = load_drafter(EdgeSettings(threads=1))
    return [_traced(case, known.get((case.clip, case.question)), tokenizer, drafter) for case in cases]


def _traced(case: Case, clip: ClipQuestion | None, tokenizer: Tokenizer, drafter: DrafterModel) -> Case:
    if clip is None:
        return case
    guesses, paths, choices = guesses_of(clip, case.truth, drafter)
    return replace(
        case,
        text_tokens=target_prompt(case.question, tokenizer).text_length,
        guesses=guesses,
        paths=paths,
        choices=choices,
        places=places_of(clip.video),
    )


def guesses_of(
    clip: ClipQuestion, truth: Sequence[int], model: DrafterModel
) -> tuple[tuple[int, ...], dict[int, tuple[int, ...]], tuple[Choice, ...]]:
    """The drafter's next token after each true prefix of an answer, how it goes on after each wrong one, its doubts."""
    from common.types import SamplingParams
    from edge.drafter import Drafter
    from edge.eventgpt.prompt import prompt_ids
    from edge.events import load_events, raster

    config = model.model.config
    events = load_events(str(clip.events), start_us=0, duration_us=config.window_us)
    canvas = (events.height, events.width) if config.canvas == "sensor" else None
    vocabulary = min(model.tokenizer.vocab_size, model.model.vocab_size)
    drafter = Drafter(model.model, sampling=SamplingParams(), vocab_size=vocabulary, max_tokens=len(truth) + _AHEAD)
    prompt = prompt_ids(clip.question, model.tokenizer, config.prompt_template)
    drafter.prefill(prompt, list(raster(events, frames=config.frames, canvas=canvas)))
    guesses: list[int] = []
    paths: dict[int, tuple[int, ...]] = {}
    choices: list[Choice] = []
    for position, token in enumerate(truth):
        guesses += drafter.draft(1)
        look = BranchJob(position + 1, (), 0, (), position, position + 1, _OTHERS)
        choices.append(drafter.branch(look).choices[position])
        if guesses[-1] != token:
            paths[position] = (guesses[-1], *drafter.draft(_AHEAD))
        drafter.commit(position, [token])
    drafter.close()
    return tuple(guesses), paths, tuple(choices)


def places_of(video: Path) -> tuple[float, ...]:
    """The share of a clip's shown packets after which each of the target's frames comes out of the decoder."""
    clip = open_clip(video)
    decoder, places, shown = VideoDecoder(clip.header, count=_FRAMES), [], 0
    for packet in clip.packets():
        shown += packet.shown
        places += [shown / clip.header.frames for _ in decoder.push(packet)]
    places += [1.0 for _ in decoder.finish()]
    return tuple(places)


def shipped_tokens_per_frame() -> int:
    """Video features a frame of the shipped target, class token included."""
    vision = json.loads((shipped_target() / "config.json").read_text(encoding="utf-8"))["vision_config"]
    return int((vision["image_size"] // vision["patch_size"]) ** 2 + 1)
