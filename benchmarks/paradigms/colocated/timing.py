"""Times and bytes of a co-located answer, by the edge's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.ask import Answer
from edge.stages import Stages

_KEPT = frozenset(
    {
        "drafter_preprocess",
        "drafter_vision",
        "drafter_prefill",
        "draft",
        "video_decode",
        "vision_encode",
        "prefill",
        "verify",
        "decode",
    }
)


@dataclass
class Upload:
    """What went up. Event pictures are counted with the video, as sensor data."""

    timing: Timing
    control_bytes: int = 0
    video_bytes: int = 0
    picture_bytes: int = 0
    started_ms: float = 0.0
    ended_ms: float | None = None

    def opening(self, size: int, pictures: int) -> None:
        """The question and the event pictures were handed over."""
        self.started_ms = self.timing.now_ms()
        self.picture_bytes = pictures
        self.control_bytes = size - pictures

    def video(self, size: int) -> None:
        """A message of the video was handed over."""
        self.video_bytes += size

    def done(self) -> None:
        """All was handed to the connection."""
        self.ended_ms = self.timing.now_ms()


class Timing:
    """One answer's times in milliseconds since the question."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._first_ms: float | None = None
        self._last_ms: float | None = None
        self._text = ""
        self._downlink = 0

    def now_ms(self) -> float:
        """Milliseconds since the question."""
        return self._ms(self._clock())

    def _ms(self, at: float) -> float:
        return (at - self._started) * 1e3

    def received(self, size: int) -> None:
        """A message came down."""
        self._downlink += size

    def answered(self, answer: Answer) -> None:
        """The answer changed; a change of committed text is a commit."""
        if answer.committed_text != self._text:
            self._text = answer.committed_text
            self._last_ms = self.now_ms()
            self._first_ms = self._first_ms if self._first_ms is not None else self._last_ms

    def report(self, values: Mapping[str, Any], upload: Upload, stages: Stages) -> dict[str, Any]:
        """The gateway's report with the edge's times and bytes in place of its own.

        The gateway's spans are placed so that its end is the moment at which the edge heard of it: a one-way delay
        late, as those of the edge daemon's own reports are.
        """
        total, tokens = self.now_ms(), values["tokens"]
        first = self._first_ms if self._first_ms is not None else total
        shift = total - values["total_ms"]
        spans = [
            *(_span(span.name, "edge", self._ms(span.started), self._ms(span.ended)) for span in stages.spans),
            _span("video_upload", "edge", upload.started_ms, total if upload.ended_ms is None else upload.ended_ms),
        ]
        spans += [_moved(span, shift) for span in values["stages"] if span["name"] in _KEPT]
        return {
            **values,
            "ttft_ms": round(first, 3),
            "ttft_provisional_ms": None,
            "tpot_ms": round((total - first) / (tokens - 1), 3) if tokens > 1 else None,
            "total_ms": round(total, 3),
            "uplink_bytes": {
                "video": upload.video_bytes + upload.picture_bytes,
                "drafts": 0,
                "control": upload.control_bytes,
            },
            "replay_overruns": values.get("replay_overruns", 0) + stages.overruns,
            "event_picture_bytes": upload.picture_bytes,
            "downlink_bytes": self._downlink,
            "stages": spans,
        }


def _span(name: str, side: str, start_ms: float, end_ms: float) -> dict[str, Any]:
    return {"name": name, "side": side, "start_ms": round(start_ms, 3), "end_ms": round(end_ms, 3)}


def _moved(span: Mapping[str, Any], shift_ms: float) -> dict[str, Any]:
    return _span(span["name"], "cloud", span["start_ms"] + shift_ms, span["end_ms"] + shift_ms)
