"""A target whose passes take as long as is said, on any machine: a profile for `--replay` that pads nothing else."""

from __future__ import annotations

from collections.abc import Sequence


def paced_profile(about: str, step: Sequence[tuple[int, float]]) -> str:
    """The profile as TOML (`common/replay.py`).

    Args:
        about: one line, what it is for.
        step: (tokens in a pass, milliseconds that it takes at least), straight lines in between.
    """
    points = ", ".join(f"[{tokens}, {ms:g}]" for tokens, ms in step)
    return f"""
name = "paced"
about = "{about}"
sources = ["said, not measured"]
[drafter]
vision_ms = 0
prefill_ms = 0
token_ms = 0
prompt_tokens = 100
[target]
step = [{points}]
session_ms = 0
prompt_tokens = 150
video_tokens = 136
[video]
decode_ms = 0
preprocess_ms = 0
vision = [[1, 1]]
frames = 8
workers = 2
"""
