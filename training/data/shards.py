"""Generate the data set: shards of a thousand scenes. A shard that is there is kept, so generation resumes.

For each shard `NAME`:
- `NAME.frames.npy` uint8 [S, 8, 56, 56, 3]: the video frames the target sees;
  `NAME.video_labels.npy` int8 [S, 8, 16, 5], `NAME.track_labels.npy` int8 [S, 8, 16, 4]
- `NAME.events.npy` uint8 [S, 5, 56, 56, 3]: the drafter's event frames;
  `NAME.event_labels.npy` int8 [S, 5, 16, 6]
- `NAME.thing_labels.npy` int8 [S, 3, 11]
- `NAME.text.npz`: `tokens` uint16 [n], `starts` int64 [S * Q + 1], and for each of the S * Q pairs `answers` int32,
  the place where its answer begins, `about` int8, the thing that it asks about (-1: no single one), `groups` int8, its
  kind (see `GROUPS`), and `numbers` int8, the number that it asks for (-1: none)

Scenes of training shards and held-out scenes come from disjoint seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tokenizers import Tokenizer

from cloud.video import sampled_indices
from edge.events import SimulatorSettings, raster, simulate_events
from edge.events.types import Events
from training.data.labels import event_labels, thing_labels, track_labels, video_labels
from training.tokenizer import EOS
from training.world.questions import KINDS, Question, sample_questions
from training.world.render import ByteArray, event_times, frame_times, render_intensity, render_rgb
from training.world.scenes import SENSOR, Scene, sample_scene

SHARD = 1000
"""Scenes in a shard."""
QUESTIONS = 24
"""Questions for each training scene; training draws from them."""
PIXELS = 56
"""Side of the frames the models see."""
VIDEO_FRAMES = 8
HELD_OUT = 10_000_000
"""Seeds from here on are never trained on."""

GROUPS = (*KINDS, "several")
"""Kinds of questions as training favours them: yes-and-no questions that more than one thing fits are rare, and a
group of their own."""

SIMULATOR = SimulatorSettings()


def seen_frames() -> npt.NDArray[np.int64]:
    """Which of the video's frames the target sees, [8]."""
    return np.array(sampled_indices(len(frame_times()), VIDEO_FRAMES), np.int64)


def video_frames(scene: Scene) -> ByteArray:
    """The frames the target sees, uint8 [8, 80, 80, 3]."""
    return render_rgb(scene, frame_times()[seen_frames()])


def scene_events(scene: Scene) -> Events:
    """What the event sensor reports of the whole clip, noise included."""
    times = event_times()
    microseconds = np.round(times * 1e6).astype(np.int64)
    return simulate_events(render_intensity(scene, times), microseconds, settings=SIMULATOR, seed=scene.seed)


def question_text(text: str) -> str:
    """What follows the video or event features in both models' prompts."""
    return f"\n{text} ASSISTANT:"


def encode_question(tokenizer: Tokenizer, question: Question) -> tuple[list[int], list[int]]:
    """Ids of the prompt's part after the features, and of the answer with EOS."""
    prompt = tokenizer.encode(question_text(question.text)).ids
    return prompt, [*tokenizer.encode(question.answer).ids, EOS]


def group_of(question: Question) -> int:
    """The number of the question's group in `GROUPS`."""
    return GROUPS.index("several" if question.kind == "yes_no" and question.number > 1 else question.kind)


def shrink(frames: ByteArray) -> ByteArray:
    """Frames [T, H, W, 3] at the models' size, by the bicubic of `common.frames` (nothing to crop)."""
    size = (PIXELS, PIXELS)
    resized = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    return np.stack(resized)


def generate(folder: Path, shards: int, tokenizer: Tokenizer, size: int = SHARD) -> Iterator[str]:
    """Write what is missing of `shards` training shards; yields the name of each part as it is done.

    Args:
        folder: where the shards go; made if needed.
        shards: number of training shards.
        tokenizer: of the tiny pair.
        size: scenes in a shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        name = f"train-{index:03d}"
        seeds = range(index * size, (index + 1) * size)
        scenes: list[Scene] = []
        for sense, write in _WRITERS.items():
            if (folder / f"{name}.{sense}.done").exists():
                continue
            scenes = scenes or [sample_scene(seed) for seed in seeds]
            write(folder, name, scenes, tokenizer)
            (folder / f"{name}.{sense}.done").touch()
            yield f"{name}.{sense}"


def _write_video(folder: Path, name: str, scenes: list[Scene], _tokenizer: Tokenizer) -> None:
    times = frame_times()[seen_frames()]
    frames = [shrink(_camera(video_frames(scene), scene.seed)) for scene in scenes]
    np.save(folder / f"{name}.frames.npy", np.stack(frames))
    np.save(folder / f"{name}.video_labels.npy", np.stack([video_labels(scene, times) for scene in scenes]))
    np.save(folder / f"{name}.track_labels.npy", np.stack([track_labels(scene, times) for scene in scenes]))


def _write_text(folder: Path, name: str, scenes: list[Scene], tokenizer: Tokenizer) -> None:
    times = frame_times()[seen_frames()]
    np.save(folder / f"{name}.thing_labels.npy", np.stack([thing_labels(scene, times) for scene in scenes]))
    tokens: list[int] = []
    starts, answers, about, groups, numbers = [0], [], [], [], []
    for scene in scenes:
        rng = np.random.default_rng([scene.seed, 0xA5C])
        for question in sample_questions(scene, QUESTIONS, rng):
            prompt, answer = encode_question(tokenizer, question)
            tokens += [*prompt, *answer]
            starts.append(len(tokens))
            answers.append(len(prompt))
            about.append(question.about)
            groups.append(group_of(question))
            numbers.append(question.number)
    np.savez(
        folder / f"{name}.text.npz",
        tokens=np.array(tokens, np.uint16),
        starts=np.array(starts, np.int64),
        answers=np.array(answers, np.int32),
        about=np.array(about, np.int8),
        groups=np.array(groups, np.int8),
        numbers=np.array(numbers, np.int8),
    )


def _write_events(folder: Path, name: str, scenes: list[Scene], _tokenizer: Tokenizer) -> None:
    frames, labels = [], []
    for scene in scenes:
        events = scene_events(scene)
        frames.append(shrink(np.stack(raster(events, canvas=(SENSOR, SENSOR)))))
        labels.append(event_labels(scene, slice_edges(events, 5)))
    np.save(folder / f"{name}.events.npy", np.stack(frames))
    np.save(folder / f"{name}.event_labels.npy", np.stack(labels))


def slice_edges(events: Events, count: int) -> npt.NDArray[np.float64]:
    """Times in seconds at which slices of equal event count begin and end, [count + 1]."""
    if len(events) == 0:
        return np.zeros(count + 1)
    at = np.minimum(np.arange(count + 1) * (len(events) // count), len(events) - 1)
    at[-1] = len(events) - 1
    edges: npt.NDArray[np.float64] = events.t[at] / 1e6
    return edges


def _camera(frames: ByteArray, seed: int) -> ByteArray:
    """Half of the clips lose chroma resolution as 4:2:0 video does: the target is to be at home with that."""
    if seed % 2:
        return frames
    pixels = frames.astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = pixels - luma[..., None]
    count, height, width, _ = chroma.shape
    coarse = chroma.reshape(count, height // 2, 2, width // 2, 2, 3).mean(axis=(2, 4))
    spread = coarse.repeat(2, axis=1).repeat(2, axis=2)
    coded: ByteArray = np.clip(np.round(luma[..., None] + spread), 0, 255).astype(np.uint8)
    return coded


_WRITERS: dict[str, Callable[[Path, str, list[Scene], Tokenizer], None]] = {
    "video": _write_video,
    "text": _write_text,
    "events": _write_events,
}
