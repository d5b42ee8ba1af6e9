"""Fuzzes what decodes videos: damaged packets of each codec, through a receiver and its child.

A child that crashes has found a flaw of FFmpeg's, which is counted; one of ours is whatever goes wrong in this process.
`python -m tests.fuzz.videos --seconds N` runs by itself, and tells how often children crashed, and what memory and
descriptors this process had at the beginning and at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.hostile.mutations import mutated
from cloud.ingest import VideoReceiver
from cloud.messages import FrameSpec
from common.errors import EventSpecError, VideoFormatError
from common.video import VideoHeader, VideoPacket
from common.video_limits import CODECS, VideoLimits
from tests.decoders import decoders

_CODECS = sorted(CODECS)
_LIMITS = VideoLimits(max_frames=64, max_pixels=256 * 256, max_packet_bytes=1 << 16)
_SPEC = FrameSpec(size=16, count=2)
ended: Counter[str] = Counter()


def written(header: VideoHeader, packets: list[VideoPacket]) -> bytes:
    """A small video as the target reads it."""
    sides = bytes((_CODECS.index(header.codec), header.frames, header.width // 2, header.height // 2))
    data = [sides, len(header.extradata).to_bytes(2, "big"), header.extradata]
    for packet in packets:
        data += [len(packet.data).to_bytes(2, "big"), bytes((packet.shown | 2 * packet.keyframe,)), packet.data]
    return b"".join(data)


def _read(data: bytes) -> tuple[VideoHeader, list[VideoPacket]]:
    head, rest = data[:6].ljust(6, b"\1"), data[6:]
    length = int.from_bytes(head[4:6], "big")
    codec = _CODECS[head[0] % len(_CODECS)]
    header = VideoHeader(codec, rest[:length], 2 * head[2], 2 * head[3], head[1], 1, 10)
    packets, rest = list[VideoPacket](), rest[length:]
    while len(rest) > 3 and len(packets) < 64:
        size, flags = int.from_bytes(rest[:2], "big"), rest[2]
        number = len(packets)
        pts = number if flags & 1 else -(2**63)
        packets.append(VideoPacket(number, pts, number, bool(flags & 2), rest[3 : 3 + size]))
        rest = rest[3 + size :]
    return header, packets


def decoder_packets(data: bytes) -> None:
    """A video's packets, as a hostile edge could send them."""
    header, packets = _read(data)
    receiver = None
    try:
        receiver = VideoReceiver(header, _LIMITS, _SPEC, decoders())
        receiver.take(tuple(packets))
        _work(receiver)
        receiver.check_complete()
        receiver.take(())
        _work(receiver)
        ended["decoded"] += 1
    except VideoFormatError as error:
        _told(header.codec, str(error))
    except EventSpecError:
        ended["refused"] += 1
    finally:
        if receiver is not None:
            receiver.close()


def _told(codec: str, line: str) -> None:
    assert "\n" not in line and len(line) < 1_000, line
    ended[f"{codec}: {line.partition('since ')[2][:40]}" if "given up" in line else "refused"] += 1


def _work(receiver: VideoReceiver) -> None:
    more, turns = True, 0
    while more:
        frames, more = receiver.work()
        turns += 1
        assert turns < 200, "it never ends"
        if frames is not None:
            assert frames.pixels.dtype == np.float32
            assert frames.pixels.shape[1:] == (3, 16, 16)
            assert np.isfinite(frames.pixels).all()


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Entry point."""
    from tests.fuzz.__main__ import CORPUS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    corpus = [path.read_bytes() for path in sorted((CORPUS / "decoder_packets").iterdir())]
    chance, deadline, longest, runs = random.Random(arguments.seed), time.monotonic() + arguments.seconds, 0.0, 0
    began: tuple[float, int] | None = None
    while time.monotonic() < deadline:
        started = time.monotonic()
        decoder_packets(mutated(chance.choice(corpus), chance, corpus))
        longest, runs = max(longest, time.monotonic() - started), runs + 1
        if runs == 200:
            began = _resident_mb(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    print(f"{runs} videos, the slowest {longest:.1f} s; {dict(ended)}")
    print(f"memory and descriptors after 200: {began}, now {_resident_mb()}, {len(os.listdir('/proc/self/fd'))}")  # noqa: PTH208
    return 0


if __name__ == "__main__":
    sys.exit(main())
