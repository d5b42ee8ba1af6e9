"""Cloud-only over loopback gRPC against Hugging Face's `generate` in one process: same target, clips and questions."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.asking import ask_clip
from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.figures import Figure
from benchmarks.processes import running_pair
from cloud.target import VideoLlavaTarget
from cloud.video import VideoDecoder
from common.ask import Mode
from common.errors import EventSpecError
from common.shipped import shipped_target
from edge.video import open_clip

_QUESTIONS = 6
_MAX_TOKENS = 64


class InProcess:
    """Hugging Face's `generate` from a clip and a question to text, all in this process."""

    def __init__(self, model: Path | None) -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
        self.target = VideoLlavaTarget.from_pretrained(model or shipped_target())
        self.target.language_model.config._attn_implementation = "sdpa"  # type: ignore[union-attr]

    @torch.inference_mode()
    def answer(self, clip: ClipQuestion) -> tuple[list[int], float]:
        """Token ids and milliseconds, decoding of the video included."""
        started = time.perf_counter()
        video = open_clip(clip.video)
        decoder = VideoDecoder(video.header)
        frames = [picture for packet in video.packets() for _, picture in decoder.push(packet)]
        frames += [picture for _, picture in decoder.finish()]
        target, model = self.target, self.target.reference_model
        ids = torch.tensor([target.prompt_ids(clip.question, frames=len(frames))])
        output: Any = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=target.preprocess(frames).unsqueeze(0),
            max_new_tokens=_MAX_TOKENS,
            do_sample=False,
            suppress_tokens=list(range(target.vocab_size, target.table_size)),
            eos_token_id=sorted(target.eos_token_ids),
            pad_token_id=0,
        )
        answer: list[int] = output[0, ids.shape[1] :].tolist()
        assert target.tokenizer is not None
        target.tokenizer.decode(answer)
        return answer, (time.perf_counter() - started) * 1e3


def measure_generate(repetitions: int, model: Path | None) -> Figure:
    """Wall time of a question, cloud-only over `generate`, in the median over questions and repetitions.

    Raises:
        EventSpecError: the two give different answers.
    """
    questions = spread(load_questions(), _QUESTIONS)
    here = InProcess(model)
    ratios, ours, theirs = [], [], []
    with running_pair(target=model) as pair:
        for repetition in range(repetitions + 1):
            for clip in questions:
                tokens, generate_ms = here.answer(clip)
                report = ask_clip(pair.edge.address, clip, Mode.CLOUD_ONLY, max_tokens=_MAX_TOKENS)
                if report["token_ids"] != tokens:
                    raise EventSpecError(f"{clip.clip}: cloud-only and generate differ: {report['token_ids']} {tokens}")
                if repetition:  # the first round warms both up
                    ratios.append(report["total_ms"] / generate_ms)
                    ours.append(report["total_ms"])
                    theirs.append(generate_ms)
    details = {"cloud_only ms": round(median(ours), 1), "generate ms": round(median(theirs), 1), "answers": len(ratios)}
    return Figure(
        "generate", "cloud-only wall time over generate", median(ratios), "x", 1.0, at_least=False, details=details
    )
