"""The shipped pair, through the code that serves it: right about its clips, and as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cloud.target import VideoLlavaTarget
from cloud.video import VideoDecoder
from common.shipped import shipped_clips, shipped_drafter, shipped_target
from common.tokenizer import Tokenizer
from edge.drafter import Drafter
from edge.eventgpt import EventGPT
from edge.eventgpt.prompt import prompt_ids
from edge.events import raster
from edge.events.formats import load_events
from edge.video import open_clip
from training.data.batches import Pair
from training.evaluation.target import choices
from training.models import DrafterLearner, normalise
from training.objective import prefix_of
from training.tokenizer import EOS, pair_tokenizer

ROOT = Path(__file__).parents[2] / "common" / "tiny"
CLIPS: list[dict[str, Any]] = json.loads((ROOT / "clips" / "clips.json").read_text())["clips"]
FIGURES: dict[str, Any] = json.loads((ROOT / "figures.json").read_text())


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    return VideoLlavaTarget.from_pretrained(shipped_target())


@pytest.fixture(scope="module")
def drafter() -> EventGPT:
    return EventGPT.from_pretrained(shipped_drafter())


def decoded(name: str) -> list[np.ndarray]:
    """The frames that the cloud looks at, from the packets that the edge reads."""
    clip = open_clip(shipped_clips() / f"{name}.mp4")
    decoder = VideoDecoder(clip.header)
    found = [item for packet in clip.packets() for item in decoder.push(packet)] + decoder.finish()
    return [frame for _, frame in sorted(found, key=lambda item: item[0])]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["name"])
def test_the_target_is_right_about_every_shipped_clip(clip: dict[str, Any], target: VideoLlavaTarget) -> None:
    tokenizer = target.tokenizer
    assert tokenizer is not None
    features = target.encode_frames(decoded(clip["name"]))
    for item in clip["questions"]:
        wanted = [*tokenizer.encode(item["answer"], bos=False), EOS]
        ids = target.prompt_ids(item["question"])
        rows = target.embed([*ids, *wanted])
        rows[torch.tensor([*ids, *wanted]) == target.video_token_id] = features
        with torch.no_grad():
            hidden = target.language_model(inputs_embeds=rows[None], use_cache=False).last_hidden_state[0]
            own = target.logits(hidden[len(ids) - 1 : -1]).argmax(-1).tolist()
        assert tokenizer.decode(own) == item["answer"]


def test_the_served_drafter_drafts_what_the_evaluation_counts(drafter: EventGPT) -> None:
    clip = CLIPS[1]
    raw, tokenizer = pair_tokenizer(), Tokenizer.from_folder(shipped_drafter())
    events = load_events(shipped_clips() / clip["events"])
    assert (events.width, events.height) == (80, 80)
    frames = raster(events, canvas=(80, 80))
    learner = DrafterLearner(drafter.config, drafter)
    pixels = torch.from_numpy(drafter.preprocess(frames).numpy())
    for item in clip["questions"]:
        answer = [*tokenizer.encode(item["answer"], bos=False), EOS]
        prompt = prompt_ids(item["question"], tokenizer, drafter.config.prompt_template)
        mine = prompt[prompt.index(-200) + 1 + len(prefix_of(learner, raw).after) :]
        counted = choices(learner, prefix_of(learner, raw), pixels, [Pair(mine, answer)])[0]
        served = Drafter(drafter, vocab_size=tokenizer.vocab_size)
        served.prefill(prompt, frames)
        drafts = []
        for position, token in enumerate(answer):
            drafts += served.draft(1)
            served.commit(position, [token])
        assert drafts == counted


def test_clips_are_what_the_card_says() -> None:
    assert len(CLIPS) >= 4
    for clip in CLIPS:
        assert 2 <= len(clip["questions"]) <= 4
        assert len(decoded(clip["name"])) == 8
        assert 100 < len(load_events(shipped_clips() / clip["events"])) < 200_000


def test_the_figures_reach_their_bars() -> None:
    assert FIGURES["target_right"] >= 0.95
    assert 0.6 <= FIGURES["acceptance"] <= 0.95
    assert abs(FIGURES["acceptance_by_class"]["colour"] - 1 / 6) < 0.05
    assert FIGURES["forward_ms"]["ratio"] >= 4.0


def test_the_pair_is_small_and_stored_in_half_precision(drafter: EventGPT) -> None:
    from safetensors import safe_open

    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) <= 25e6
    for kind in ("target", "drafter"):
        with safe_open(ROOT / kind / "model.safetensors", "pt") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118
        assert (ROOT / kind / "README.md").read_text().startswith("# eventspec tiny")
    assert normalise(torch.zeros(1, 1, 56, 56, 3)).shape == (1, 1, 3, 56, 56)
    assert drafter.dtype == torch.float32
