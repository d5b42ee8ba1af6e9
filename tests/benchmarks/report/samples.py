"""Makes records like those of the commands, from a small arithmetic model of the paradigms: no clock, no models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from benchmarks.results import SCHEMA, Record, Run

Values = dict[str, Any]

QUESTIONS = (
    ("race", "What moves?", "A small red circle moves left quickly.", 9),
    ("crossing", "What happens in the clip?", "A large blue square moves right slowly, and a cone moves up.", 17),
    ("newcomer", "Does an object appear?", "Yes, a small green cone appears.", 8),
    ("busy", "Which object is fastest?", "The large yellow ring is fastest.", 10),
)
VIDEO_BYTES = 40_000


def link(rtt_ms: float = 50.0, uplink_mbps: float = 10.0, **more: Any) -> Values:
    """A link as `LinkProfile.as_dict` has it."""
    return {
        "name": "lte", "rtt_ms": rtt_ms, "uplink_mbps": uplink_mbps, "downlink_mbps": 30.0, "jitter_ms": 0.0,
        "loss_pct": 0.0, "queue_ms": None, "outages": [], "uplink_trace": None, "downlink_trace": None, "source": "",
        **more,
    }  # fmt: skip


def run(paradigm: str = "cloud_only", total_ms: float = 100.0, **known: Any) -> Run:
    """A run with plain defaults."""
    values: Values = {
        "paradigm": paradigm, "mode": "", "link": link(), "backend": "tun", "clip": "race", "question": "What moves?",
        "seed": 0, "repetition": 0, "token_ids": [5, 6, 7, 2], "tokens": 4, "ttft_ms": total_ms / 2, "tpot_ms": 10.0,
        "total_ms": total_ms, "lossless": paradigm != "edge_only", "answer": "A ring.",
    }  # fmt: skip
    return Run(**{**values, **known})


def span(name: str, side: str, start: float, end: float) -> Values:
    """A stage."""
    return {"name": name, "side": side, "start_ms": start, "end_ms": end}


def record(runs: Sequence[Run], command: str = "compare", **meta: Any) -> Record:
    """A record with the facts that commands write."""
    facts = {
        "schema": SCHEMA, "command": command, "created": "2026-11-22T09:00:00+00:00",
        "machine": {"cpu": "two cores of something", "cores": 2, "python": "3.11"},
        "models": {"target": "tiny", "drafter": "tiny"}, "link": dict(runs[0].link) if runs else {},
        "backend": runs[0].backend if runs else "", "notes": [],
    }  # fmt: skip
    return Record({**facts, **meta}, list(runs))


def compare_runs(
    profile: Values, *, repetitions: int = 3, backend: str = "tun", seed: int = 0, **more: Any
) -> list[Run]:
    """All paradigms on one link, with stages, noise and bytes."""
    rng = random.Random(seed)
    runs = []
    for repetition in range(repetitions):
        for number, (clip, question, answer, tokens) in enumerate(QUESTIONS):
            given = {
                "clip": clip, "question": question, "answer": answer, "expected": answer, "tokens": tokens,
                "token_ids": [*range(10 * number + 5, 10 * number + 4 + tokens), 2], "repetition": repetition,
                "link": profile, "backend": backend, **more,
            }  # fmt: skip
            noise = rng.uniform(0.95, 1.1)
            runs.append(_cloud_only(given, profile, noise))
            runs += [_stream(given, profile, rng, mode) for mode in ("tokens-eager", "tokens-patient")]
            runs.append(_colocated(given, profile, noise))
            runs.append(_edge_only({**given, "link": {}}, rng))
    return runs


def _upload(profile: Values) -> float:
    return float(profile["rtt_ms"]) * 1.5 + VIDEO_BYTES * 8 / (float(profile["uplink_mbps"]) * 1e3)


def _cloud_only(given: Values, profile: Values, noise: float) -> Run:
    up = _upload(profile)
    first = up + 70 * noise + profile["rtt_ms"] / 2
    step = 14 * noise
    total = first + step * (given["tokens"] - 1)
    stages = [
        span("load", "edge", 0, 4),
        span("video_upload", "edge", 5, up),
        span("video_decode", "cloud", up * 0.5, up + 5),
        span("vision_encode", "cloud", up + 5, up + 20),
        span("prefill", "cloud", up + 20, up + 68 * noise),
        *(span("decode", "cloud", first + i * step, first + (i + 0.9) * step) for i in range(given["tokens"] - 1)),
    ]
    bytes_up = {"video": VIDEO_BYTES, "drafts": 0, "control": 95}
    return run(
        "cloud_only", total, ttft_ms=first, tpot_ms=step, stages=stages, uplink_bytes=bytes_up, downlink_bytes=230,
        target_passes=given["tokens"], **given,
    )  # fmt: skip


def _stream(given: Values, profile: Values, rng: random.Random, mode: str) -> Run:
    up, noise = _upload(profile), rng.uniform(0.95, 1.15)
    first = up + 78 * noise + profile["rtt_ms"] / 2
    rounds = max(1, round(given["tokens"] / 4)) + rng.randrange(2)
    step = 18 * noise + (profile["rtt_ms"] if mode.endswith("patient") else profile["rtt_ms"] * 0.4)
    total = first + step * rounds
    accepted = [sum(rng.random() < 0.93 * 0.9**place for _ in range(rounds)) for place in range(6)]
    accepted = [min(accepted[: i + 1]) for i in range(6)]
    stages = [
        span("load", "edge", 0, 4),
        span("rasterise", "edge", 4, 16),
        span("drafter_prefill", "edge", 16, 60),
        *(span("draft", "edge", 60 + 14 * i, 72 + 14 * i) for i in range(5)),
        span("video_upload", "edge", 5, up),
        span("video_decode", "cloud", up * 0.5, up + 5),
        span("vision_encode", "cloud", up + 5, up + 20),
        span("prefill", "cloud", up + 20, up + 76 * noise),
        *(span("draft", "edge", first + i * step, first + i * step + 12) for i in range(rounds)),
        *(span("verify", "cloud", first + (i + 0.6) * step, first + (i + 0.6) * step + 17) for i in range(rounds)),
    ]
    return run(
        "stream_to_cloud", total, mode=mode, ttft_ms=first, tpot_ms=(total - first) / (given["tokens"] - 1),
        stages=stages, uplink_bytes={"video": VIDEO_BYTES, "drafts": 36 * rounds, "control": 180},
        downlink_bytes=60 * rounds + 40, target_passes=rounds + 1, verifications=rounds, drafted=6 * rounds,
        accepted=sum(accepted), drafted_by_position=[rounds] * 6, accepted_by_position=accepted,
        extra={"ttft_provisional_ms": 74.0}, **given,
    )  # fmt: skip


def _colocated(given: Values, profile: Values, noise: float) -> Run:
    up = _upload(profile) + 20
    rounds = max(1, round(given["tokens"] / 4))
    first = up + 75 * noise + profile["rtt_ms"] / 2
    return run(
        "colocated", first + 24 * noise * rounds, ttft_ms=first,
        uplink_bytes={"video": 52_000, "drafts": 0, "control": 110}, downlink_bytes=230,
        target_passes=rounds + 1, drafted=6 * rounds, accepted=4 * rounds,
        drafted_by_position=[rounds] * 6, accepted_by_position=[rounds] * 4 + [0, 0], **given,
    )  # fmt: skip


def _edge_only(given: Values, rng: random.Random) -> Run:
    noise = rng.uniform(0.95, 1.1)
    wrong = rng.random() < 0.4
    other = {"token_ids": [9, 9, 2], "answer": "A small purple cone."} if wrong else {}
    stages = [span("load", "edge", 0, 4), span("drafter_prefill", "edge", 16, 60 * noise)]
    return run("edge_only", 120 * noise, ttft_ms=66 * noise, stages=stages, **{**given, **other})
