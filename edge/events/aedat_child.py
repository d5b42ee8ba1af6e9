"""Run as a script by `edge.events.aedat`: writes a line of JSON (the sensor), then the raw events, to stdout.

Imports nothing of this project: it runs isolated from the current folder and the user's packages.
"""

import json
import os
import resource
import sys

_MAX_MEMORY = 2 * 2**30  # bytes of address space
_MAX_SECONDS = 300  # of processor time


def main(path: str) -> None:
    """Read the file at `path`, within bounds."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_SECONDS, _MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's would reserve address space for each core
    import aedat

    decoder = aedat.Decoder(path)
    streams = {key: value for key, value in decoder.id_to_stream().items() if value["type"] == "events"}
    chosen = min(streams, default=None)
    sensor = {} if chosen is None else {side: streams[chosen][side] for side in ("width", "height")}
    sys.stdout.buffer.write(json.dumps(sensor).encode() + b"\n")
    for packet in decoder:
        if packet["stream_id"] == chosen and "events" in packet:
            sys.stdout.buffer.write(packet["events"].tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
