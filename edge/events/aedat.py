"""iniVation's AEDAT4 recordings, through the package `aedat` (extra `aedat`).

The package panics on many damaged files, and some make it abort the whole process: one of the reasons why
`edge.events.load_events` reads in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.errors import EventFormatError
from edge.events.reading import Request, check_count, check_sensor, events_from_columns

if TYPE_CHECKING:
    from pathlib import Path

    from edge.events.types import Events


def read(path: Path, request: Request) -> Events:
    """Read the first event stream of a recording. The sensor is the file's, or the caller's.

    Raises:
        EventFormatError: a missing extra, a file without events, a damaged one, an empty window.
    """
    try:
        import aedat
    except ImportError as error:
        raise EventFormatError('AEDAT4 recordings need a reader: pip install "eventspec[aedat]"') from error
    parts, count = [], 0
    try:
        decoder = aedat.Decoder(str(path))
        streams = {key: stream for key, stream in decoder.id_to_stream().items() if stream["type"] == "events"}
        if not streams:
            raise EventFormatError("the recording holds no stream of events; choose another file")
        chosen = min(streams)
        for packet in decoder:
            if packet["stream_id"] == chosen and "events" in packet:
                parts.append(packet["events"])
                count += len(parts[-1])
                check_count(count)
    except (OSError, RuntimeError, ValueError) as error:
        raise EventFormatError("the AEDAT4 file is truncated or damaged; copy it again") from error
    if not parts:
        raise EventFormatError("the recording holds no events; record again, or choose another file")
    records = np.concatenate(parts)
    columns = {"x": records["x"], "y": records["y"], "t": records["t"], "p": records["on"]}
    sensor = request.sensor or check_sensor(int(streams[chosen]["width"]), int(streams[chosen]["height"]))
    return request.cut(events_from_columns(columns, sensor))
