"""What is in a recording, without holding a large one in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import EventFormatError
from edge.events import dsec, isolated, prophesee
from edge.events.formats import EventFormat, detect_format, read_here
from edge.events.reading import Request

_SAMPLES, _SAMPLE_EVENTS = 16, 65_536  # blocks, and events a block, for the polarity balance of h5 files


@dataclass(frozen=True, slots=True)
class EventInfo:
    """A recording in figures.

    Attributes:
        format: its format's name.
        events: number of events.
        start_us: the first event's time on the file's clock.
        duration_us: from the first to the last event.
        width: columns of the sensor.
        height: rows of the sensor.
        positive_fraction: share of positive events; of a sample, where `sampled`.
        sampled: True if `positive_fraction` was estimated from a part of the file.
        bytes_per_event: bytes in the file for each event, compression included.
    """

    format: str
    events: int
    start_us: int
    duration_us: int
    width: int
    height: int
    positive_fraction: float
    sampled: bool
    bytes_per_event: float

    @property
    def rate_hz(self) -> float:
        """Mean events a second; 0 for a recording without duration."""
        return self.events / (self.duration_us * 1e-6) if self.duration_us else 0.0


def inspect_events(path: str | Path) -> EventInfo:
    """Figures of a recording. Of DSEC files, which are large, only a few chunks are read.

    Raises:
        EventFormatError: as `edge.events.load_events`.
    """
    try:
        return EventInfo(**isolated.READER.inspect(path))
    except (TypeError, ValueError, RecursionError) as error:
        raise EventFormatError(f"{path}: reading it failed") from error


def inspect_here(path: Path) -> EventInfo:
    """`inspect_events` of a file, in this process: see `edge.events.formats.read_here`."""
    found = detect_format(path)
    if found is EventFormat.DSEC:
        return _inspect_dsec(path)
    events = read_here(path, Request())
    return EventInfo(
        format=prophesee.encoding(path) if found is EventFormat.PROPHESEE else found.value,
        events=len(events),
        start_us=int(events.t[0]),
        duration_us=events.duration_us,
        width=events.width,
        height=events.height,
        positive_fraction=float(events.p.mean()),
        sampled=False,
        bytes_per_event=path.stat().st_size / len(events),
    )


def _inspect_dsec(path: Path) -> EventInfo:
    with dsec.open_recording(path) as recording:
        count = recording.count
        starts = sorted({int(start) for start in np.linspace(0, max(count - _SAMPLE_EVENTS, 0), _SAMPLES)})
        sampled = count > _SAMPLES * _SAMPLE_EVENTS
        blocks = [(start, start + _SAMPLE_EVENTS) for start in starts] if sampled else [(0, count)]
        polarity = np.concatenate([recording.polarities(*block) for block in blocks])
        return EventInfo(
            format=EventFormat.DSEC.value,
            events=count,
            start_us=recording.first_us + recording.t_offset,
            duration_us=recording.last_us - recording.first_us,
            width=recording.sensor[0],
            height=recording.sensor[1],
            positive_fraction=float((polarity > 0).mean()),
            sampled=sampled,
            bytes_per_event=recording.bytes_on_disk() / count,
        )
