"""What an engine is held to."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloud.credits import DRAFTS_PER_PASS
from cloud.scheduler import Budget


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What one edge may ask for; told in `Opened` and `GetInfo`."""

    max_prompt_tokens: int = 512
    max_answer_tokens: int = 512
    max_draft: int = 16
    max_patience_ms: int = 5_000
    resume_ttl_s: float = 60.0
    clip_ttl_s: float = 120.0
    sessions_per_client: int = 0
    drafts_per_pass: int = DRAFTS_PER_PASS
    fair_shares: bool = True
    max_window_bytes: int = 512 << 20
    vision_chunk: int = 8
    budget: Budget = field(default_factory=Budget)
