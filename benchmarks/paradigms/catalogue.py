"""All paradigms, in the order of tables, and those that this version can't run, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.paradigms.base import Need, Paradigm
from common.ask import Mode
from common.errors import SettingsError
from common.types import Pace

CLOUD_ONLY = Paradigm(
    "cloud_only", "", "the video goes up, the cloud decodes alone, tokens come down", Need.EDGE, Mode.CLOUD_ONLY
)
EDGE_ONLY = Paradigm(
    "edge_only", "", "the drafter answers alone (another answer: lossy)", Need.EDGE, Mode.EDGE_ONLY, lossless=False
)
TOKENS_EAGER = Paradigm(
    "stream_to_cloud",
    "tokens-eager",
    "the edge drafts, the cloud verifies and never waits",
    Need.EDGE,
    Mode.STREAM_TO_CLOUD,
)
TOKENS_PATIENT = Paradigm(
    "stream_to_cloud",
    "tokens-patient",
    "the edge drafts, the cloud waits for drafts to save passes",
    Need.EDGE,
    Mode.STREAM_TO_CLOUD,
    pace=Pace.PATIENT,
)
TOKENS_AUTO = replace(
    TOKENS_EAGER,
    variant="tokens-auto",
    what="the edge drafts; whether and how much, and the pace, is its own choice",
    pace=None,
)
HIDDEN_EAGER = replace(
    TOKENS_EAGER,
    variant="hidden-eager",
    what="the edge sends hidden states, the cloud's adapter and head make drafts of them",
    states=True,
)
HIDDEN_PATIENT = replace(
    TOKENS_PATIENT,
    variant="hidden-patient",
    what="the same with hidden states, and the cloud waits for them to save passes",
    states=True,
)
COLOCATED = Paradigm(
    "colocated",
    "",
    "drafter and target both in the cloud: ordinary speculative decoding; event pictures and video go up",
    Need.COLOCATED,
    Mode.STREAM_TO_CLOUD,
)
GENERATE = Paradigm(
    "in_process",
    "generate",
    "transformers' generate on this machine, no link",
    Need.IN_PROCESS,
    Mode.CLOUD_ONLY,
)
ASSISTED = Paradigm(
    "in_process",
    "assisted",
    "transformers' assisted generation with the drafter's candidates, no link",
    Need.IN_PROCESS,
    Mode.STREAM_TO_CLOUD,
)

EDGE_VISION = Paradigm(
    "edge_vision",
    "",
    "the edge runs the target's vision side and uploads features, the cloud decodes",
    Need.EDGE,
    Mode.EDGE_VISION,
)


def _ahead(paradigm: Paradigm) -> Paradigm:
    """The same, but for a clip that is streamed while it is recorded."""
    what = f"streamed while it is recorded, asked at its end: {paradigm.what}"
    return replace(paradigm, variant="-".join(filter(None, (paradigm.variant, "ahead"))), what=what, ahead=True)


CLOUD_ONLY_AHEAD = _ahead(CLOUD_ONLY)
TOKENS_EAGER_AHEAD = _ahead(TOKENS_EAGER)
TOKENS_PATIENT_AHEAD = _ahead(TOKENS_PATIENT)
TOKENS_AUTO_AHEAD = _ahead(TOKENS_AUTO)

UNAVAILABLE = {
    "colocated/ahead": "the co-located baseline's agent has no way to stream a clip before its question",
}


PARADIGMS: tuple[Paradigm, ...] = (
    CLOUD_ONLY,
    TOKENS_EAGER,
    TOKENS_PATIENT,
    HIDDEN_EAGER,
    HIDDEN_PATIENT,
    CLOUD_ONLY_AHEAD,
    TOKENS_EAGER_AHEAD,
    TOKENS_PATIENT_AHEAD,
    EDGE_VISION,
    COLOCATED,
    EDGE_ONLY,
    GENERATE,
    ASSISTED,
)
BY_NAME: tuple[Paradigm, ...] = (TOKENS_AUTO, TOKENS_AUTO_AHEAD)
"""Only run if named in full: what users get who ask for no pace. Its choice is one of those that run anyway."""


def choose_paradigms(names: Sequence[str] | None) -> list[Paradigm]:
    """The paradigms of these names, in the catalogue's order; a name without a mode means all its modes; none: all.

    Those `BY_NAME` come only by name and mode.

    Raises:
        SettingsError: an unknown name, or one that this version can't run.
    """
    if not names:
        return list(PARADIGMS)
    for name in names:
        if name in UNAVAILABLE:
            raise SettingsError(f"{name} is not available: {UNAVAILABLE[name]}")
        if name not in {word for p in (*PARADIGMS, *BY_NAME) for word in (p.name, p.label)}:
            known = ", ".join(p.label for p in (*PARADIGMS, *BY_NAME))
            raise SettingsError(f"there is no paradigm {name!r}; known are {known}")
    by_name = [p for p in BY_NAME if p.label in names]
    return [p for p in PARADIGMS if p.name in names or p.label in names] + by_name


def ahead_notes(paradigms: Sequence[Paradigm]) -> list[str]:
    """What a reader must know where clips are streamed before their questions."""
    labels = [paradigm.label for paradigm in paradigms if paradigm.ahead]
    if not labels:
        return []
    return [
        f"{', '.join(labels)}: the clip is streamed while it is recorded, in real time, and the question comes when "
        "its last picture has been taken; times count from the question; a new watch for every answer"
    ]


def unavailable_notes() -> list[str]:
    """What a full comparison leaves out, and why."""
    return [f"{label} not available: {why}" for label, why in UNAVAILABLE.items()]
