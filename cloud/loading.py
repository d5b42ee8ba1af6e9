"""From settings to a running engine: loads the target, sizes the KV storage. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from cloud.adapting import TargetAdapter
from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import FrameSpec
from cloud.replayed import ReplayedRunner
from cloud.runner import Runner
from cloud.scheduler import Budget
from cloud.target import VideoLlavaTarget
from cloud.target_runner import TargetRunner
from common.errors import CapacityError, ModelError
from common.packed import KVStorage
from common.padding import Padding
from common.replay import load_profile
from common.shipped import shipped_target
from common.types import WIRE_VERSION, ServerInfo
from common.video import VIDEO_FRAMES

__all__ = ["VIDEO_FRAMES", "load_engine"]


def load_engine(settings: EngineSettings, padding: Padding | None = None) -> tuple[Engine, ServerInfo, FrameSpec]:
    """The engine of these settings, what it tells edges, and how frames must be preprocessed.

    `padding` counts the overruns of a replayed engine.

    Raises:
        ModelError: the model can't be loaded.
        CapacityError: there is no memory for the sessions asked for.
    """
    torch.set_num_threads(settings.torch_threads)
    replay = load_profile(settings.replay) if settings.replay else None
    folder = Path(settings.model) if settings.model else shipped_target()
    target = VideoLlavaTarget.from_pretrained(
        folder,
        dtype=settings.dtype,
        quantization=settings.quantization,
        device=settings.device,
    )
    adapter = None
    if settings.adapter:
        adapter = TargetAdapter.from_folder(settings.adapter, dtype=settings.dtype, device=settings.device)
    own = _runner(target, settings, adapter)
    runner: Runner = own if replay is None else ReplayedRunner(own, replay, padding)
    if settings.faults:
        from cloud.fault_hooks import FaultyRunner

        runner = cast("Runner", FaultyRunner(runner, Path(settings.faults)))
    limits = EngineLimits(
        max_prompt_tokens=settings.max_prompt_tokens,
        max_answer_tokens=settings.max_answer_tokens,
        max_draft=settings.max_draft,
        drafts_per_pass=settings.drafts_per_pass,
        fair_shares=settings.fair_shares,
        resume_ttl_s=settings.resume_ttl_s,
        clip_ttl_s=settings.clip_ttl_s,
        max_window_bytes=settings.max_window_bytes,
        sessions_per_client=settings.sessions_per_client,
        budget=Budget(prompt_chunk=settings.prompt_chunk, answering=settings.tokens_per_pass),
    )
    return (
        Engine(runner, limits),
        _info(target, folder, settings, replay.name if replay is not None else "", adapter),
        FrameSpec(
            size=target.image_size,
            count=VIDEO_FRAMES,
            tokens=target.tokens_per_frame,
            hidden=target.hidden_size,
            dtype=str(target.dtype).removeprefix("torch."),
            vision_fingerprint=target.vision.fingerprint,
        ),
    )


def _runner(target: VideoLlavaTarget, settings: EngineSettings, adapter: TargetAdapter | None) -> TargetRunner:
    video = VIDEO_FRAMES * target.tokens_per_frame
    capacity = settings.capacity or min(
        target.max_positions, video + settings.max_prompt_tokens + settings.max_answer_tokens
    )
    if capacity <= video:
        raise ModelError(f"a session of {capacity} tokens has no room for the video's {video}: raise --capacity")
    needed = KVStorage.bytes_for(target.language_model, slots=settings.sessions, capacity=capacity)
    if settings.max_kv_bytes and needed > settings.max_kv_bytes:
        raise ModelError(
            f"keys and values of {settings.sessions} sessions of {capacity} tokens need {needed:,} bytes, and "
            f"max_kv_bytes is {settings.max_kv_bytes:,}: lower --sessions or --capacity"
        )
    try:
        return TargetRunner(target, slots=settings.sessions, capacity=capacity, frames=VIDEO_FRAMES, adapter=adapter)
    except (RuntimeError, MemoryError) as error:
        raise CapacityError(
            f"no memory for {settings.sessions} sessions of {capacity} tokens: lower --sessions or --capacity"
        ) from error


def _info(
    target: VideoLlavaTarget, folder: Path, settings: EngineSettings, replay: str, adapter: TargetAdapter | None
) -> ServerInfo:
    assert target.tokenizer is not None  # the runner has checked it
    return ServerInfo(
        wire_version=WIRE_VERSION,
        model_name=folder.resolve().name,
        model_fingerprint=target.fingerprint,
        tokenizer_hash=target.tokenizer.hash,
        vocab_size=target.vocab_size,
        hidden_size=target.hidden_size,
        video_frames=VIDEO_FRAMES,
        eos_token_ids=tuple(sorted(target.eos_token_ids)),
        max_sessions=settings.sessions,
        max_prompt_tokens=settings.max_prompt_tokens,
        max_answer_tokens=settings.max_answer_tokens,
        max_draft=settings.max_draft,
        max_message_bytes=settings.max_message_bytes,
        max_video_bytes=settings.max_video_bytes,
        replay=replay,
        vision_fingerprint=target.vision.fingerprint,
        adapter=adapter.fingerprint if adapter is not None else "",
        adapter_level=adapter.level if adapter is not None else "",
        adapter_hidden=adapter.drafter_hidden if adapter is not None else 0,
    )
