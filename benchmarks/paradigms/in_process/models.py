"""Both models in this process, and one answer by transformers' generation, from files to figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.generation.streamers import BaseStreamer

from benchmarks.paradigms.in_process.candidates import DrafterCandidates, SeededChoice
from cloud.target import VideoLlavaTarget
from cloud.video import VideoDecoder
from common.ask import AskRequest, Mode
from edge.drafter import Drafter
from edge.eventgpt.prompt import prompt_ids
from edge.events import load_events, raster
from edge.video import open_clip

if TYPE_CHECKING:
    from edge.drafter_model import DrafterModel


class Marks(BaseStreamer):
    """Notes when tokens come; transformers hands the prompt over first."""

    def __init__(self) -> None:
        self.passes = 0
        self.first: float | None = None
        self.last: float | None = None
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Tokens of one pass."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.passes += 1
        self.last = time.perf_counter()
        self.first = self.first or self.last

    def end(self) -> None:
        """Nothing more comes."""


class Stages:
    """Spans of one answer, in milliseconds since the question."""

    def __init__(self) -> None:
        self.started = self._mark = time.perf_counter()
        self.spans: list[dict[str, Any]] = []

    def done(self, name: str, side: str = "cloud", until: float | None = None) -> None:
        """The stage that began where the last one ended is over."""
        now = time.perf_counter() if until is None else until
        start, end = ((at - self.started) * 1e3 for at in (self._mark, now))
        self.spans.append({"name": name, "side": side, "start_ms": round(start, 3), "end_ms": round(end, 3)})
        self._mark = now

    def ms(self, at: float) -> float:
        """A moment on this timeline."""
        return round((at - self.started) * 1e3, 3)


class InProcessModels:
    """Target and drafter, and answers with them. One answer at a time."""

    def __init__(self, target: Path, drafter: Path, *, device: str, dtype: str, threads: int) -> None:
        from edge.config import EdgeSettings
        from edge.loading import load_drafter

        self.drafter: DrafterModel = load_drafter(
            EdgeSettings(model=str(drafter), device=device, dtype=dtype, threads=threads)
        )
        self.target = VideoLlavaTarget.from_pretrained(target, device=device, dtype=dtype)
        self.target.language_model.config._attn_implementation = "sdpa"  # type: ignore[union-attr]
        self._own_candidates = self.target.reference_model._get_candidate_generator
        torch.set_num_threads(threads)

    @torch.inference_mode()
    def answer(self, ask: AskRequest) -> dict[str, Any]:
        """A report with the edge daemon's names; `cloud_only` means plain, `stream_to_cloud` assisted generation.

        Raises:
            InputError: a file or the question is at fault.
        """
        stages = Stages()
        target, marks = self.target, Marks()
        drafter = self._prepared_drafter(ask, stages) if ask.mode is Mode.STREAM_TO_CLOUD else None
        clip = open_clip(ask.video_path)
        decoder = VideoDecoder(clip.header)
        pictures = [picture for packet in clip.packets() for _, picture in decoder.push(packet)]
        pictures += [picture for _, picture in decoder.finish()]
        stages.done("video_decode")
        pixels = target.preprocess(pictures).unsqueeze(0).to(target.device, target.dtype)
        ids = torch.tensor([target.prompt_ids(ask.question, frames=len(pictures))], device=target.device)
        stages.done("preprocess")
        candidates = self._candidates(drafter, ids.shape[1], ask) if drafter is not None else None
        output: Any = target.reference_model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=pixels,
            streamer=marks,
            **self._arguments(ask, ids.shape[1], assisted=candidates is not None),
        )
        answer: list[int] = output[0, ids.shape[1] :].tolist()
        stages.done("vision_and_prefill", until=marks.first)
        stages.done("decode", until=marks.last)
        if drafter is not None:
            drafter.close()
        return self._report(ask, answer, stages, marks, candidates)

    def _prepared_drafter(self, ask: AskRequest, stages: Stages) -> Drafter:
        config = self.drafter.model.config
        events = load_events(ask.events_path, start_us=ask.window_start_us, duration_us=config.window_us)
        canvas = (events.height, events.width) if config.canvas == "sensor" else None
        pictures = list(raster(events, frames=config.frames, canvas=canvas))
        stages.done("load", "edge")
        drafter = Drafter(
            self.drafter.model,
            sampling=ask.sampling,
            vocab_size=min(self.drafter.tokenizer.vocab_size, self.drafter.model.vocab_size),
            max_tokens=ask.max_tokens,
        )
        drafter.prefill(prompt_ids(ask.question, self.drafter.tokenizer, config.prompt_template), pictures)
        stages.done("drafter_prefill", "edge")
        return drafter

    def _candidates(self, drafter: Drafter, prompt_length: int, ask: AskRequest) -> DrafterCandidates:
        candidates = DrafterCandidates(drafter, prompt_length=prompt_length, max_length=prompt_length + ask.max_tokens)
        # where assisted generation asks for its source of candidates; there is no argument for another one
        self.target.reference_model._get_candidate_generator = lambda **kwargs: candidates
        return candidates

    def _arguments(self, ask: AskRequest, prompt_length: int, *, assisted: bool) -> dict[str, Any]:
        target = self.target
        arguments: dict[str, Any] = {
            "max_new_tokens": ask.max_tokens,
            "do_sample": False,
            "suppress_tokens": list(range(target.vocab_size, target.table_size)),
            "eos_token_id": sorted(target.eos_token_ids),
            "pad_token_id": 0,
        }
        if not ask.sampling.greedy:
            choice = SeededChoice(ask.sampling, prompt_length=prompt_length, vocab_size=target.vocab_size)
            arguments["logits_processor"] = [choice]
        if assisted:
            arguments["prompt_lookup_num_tokens"] = 1  # switches assisted generation on; the source is ours
        return arguments

    def _report(
        self,
        ask: AskRequest,
        answer: list[int],
        stages: Stages,
        marks: Marks,
        candidates: DrafterCandidates | None,
    ) -> dict[str, Any]:
        text = self.target.tokenizer.decode(answer) if self.target.tokenizer is not None else ""
        total = stages.ms(time.perf_counter())
        first, last = marks.first, marks.last
        assert first is not None and last is not None
        counts = list(zip(candidates.drafted, candidates.accepted, strict=True)) if candidates is not None else []
        longest = max((drafted for drafted, _ in counts), default=0)
        return {
            "answer": text,
            "token_ids": answer,
            "tokens": len(answer),
            "mode": ask.mode.value,
            "question": ask.question,
            "seed": ask.sampling.seed,
            "temperature": ask.sampling.temperature,
            "ttft_ms": stages.ms(first),
            "tpot_ms": round((last - first) * 1e3 / (len(answer) - 1), 3) if len(answer) > 1 else None,
            "total_ms": total,
            "drafted": sum(drafted for drafted, _ in counts),
            "accepted": sum(accepted for _, accepted in counts),
            "drafted_by_position": [sum(d > place for d, _ in counts) for place in range(longest)],
            "accepted_by_position": [sum(a > place for _, a in counts) for place in range(longest)],
            "verifications": sum(drafted > 0 for drafted, _ in counts),
            "target_passes": marks.passes,
            "stages": stages.spans,
        }
