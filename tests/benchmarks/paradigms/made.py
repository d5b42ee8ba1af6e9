"""Made-up runs for the pure parts."""

from __future__ import annotations

from typing import Any

from benchmarks.results import Run


def made_run(paradigm: str = "cloud_only", mode: str = "", **values: Any) -> Run:
    """A run with plain values, some of them replaced."""
    plain: dict[str, Any] = {
        "link": {},
        "backend": "tun",
        "clip": "race",
        "question": "What moves?",
        "seed": 0,
        "repetition": 0,
        "token_ids": [5, 6, 2],
        "tokens": 3,
        "ttft_ms": 100.0,
        "tpot_ms": 10.0,
        "total_ms": 120.0,
    }
    return Run(paradigm=paradigm, mode=mode, **{**plain, **values})
