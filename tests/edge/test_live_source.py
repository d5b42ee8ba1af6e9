"""Live sources: what comes out of files, pipes and growing files, and at whose pace."""

from __future__ import annotations

import http.server
import io
import os
import shutil
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import VideoFormatError
from common.named_files import allowed_in
from edge import live_source
from edge.live_hosts import parse_hosts
from edge.live_source import GrowingFile, LiveSource, SourceKind, Timeline, pictures
from tests.clips import encode, number_of


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures in 1.2 s, without B-frames so that a pipe can be read as it comes."""
    options = {"tune": "zerolatency", "g": "4"}
    return encode(tmp_path_factory.mktemp("live") / "clip.ts", "libx264", 12, options=options)


def numbers(source: LiveSource, most: int = 1000) -> list[tuple[int, int]]:
    stop, found = threading.Event(), list[tuple[int, int]]()
    for time_us, frame in pictures(source, stop):
        found.append((time_us, number_of(frame.to_ndarray(format="rgb24"))))
        if len(found) == most:
            stop.set()
    return found


def test_a_file_is_played_at_its_own_pace(clip: Path) -> None:
    started = time.monotonic()
    found = numbers(LiveSource(str(clip)))
    assert time.monotonic() - started > 1.0
    assert [n for _, n in found] == list(range(12))
    assert [round(t / 1e5) for t, _ in found] == list(range(12))


def test_a_loop_goes_on_where_the_file_ended(clip: Path) -> None:
    found = numbers(LiveSource(str(clip), loop=True), 15)
    assert [n for _, n in found] == [*range(12), 0, 1, 2]
    assert [round(t / 1e5) for t, _ in found] == list(range(15))


def test_a_pipe_is_read_as_its_writer_writes(clip: Path, tmp_path: Path) -> None:
    pipe, data = tmp_path / "camera", clip.read_bytes()
    os.mkfifo(pipe)

    def write() -> None:
        time.sleep(0.2)  # nobody writes yet
        with pipe.open("wb", buffering=0) as file:
            for start in range(0, len(data), 1000):
                file.write(data[start : start + 1000])
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    found = numbers(LiveSource(str(pipe)))
    writer.join()
    assert [n for _, n in found] == list(range(12))


def test_a_file_that_grows_is_followed(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_source, "_GROWTH_S", 0.5)
    growing, data = tmp_path / "recording.ts", clip.read_bytes()
    growing.write_bytes(data[: len(data) // 2])

    def write() -> None:
        time.sleep(0.3)
        with growing.open("ab") as file:
            file.write(data[len(data) // 2 :])

    writer = threading.Thread(target=write)
    writer.start()
    found = numbers(LiveSource(f"follow:{growing}"))
    writer.join()
    assert [n for _, n in found] == list(range(12))


def test_an_address_is_read_with_ffmpeg(clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "clip.ts")
    handler = lambda *args: http.server.SimpleHTTPRequestHandler(*args, directory=str(tmp_path))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = numbers(
            LiveSource(f"http://127.0.0.1:{server.server_address[1]}/clip.ts", hosts=parse_hosts("loopback"))
        )
        server.shutdown()
    assert [n for _, n in found] == list(range(12))


@pytest.mark.parametrize("kind", ["pipe", "growing"])
def test_a_source_that_says_nothing_lets_go_when_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "silent"
    os.mkfifo(path) if kind == "pipe" else path.write_bytes(b"")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    assert list(pictures(LiveSource(f"follow:{path}" if kind == "growing" else str(path)), stop)) == []
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("name", "why"),
    [("/nowhere/clip.mp4", "no video file"), ("file:///etc/passwd", "can't be watched"), ("concat://a|b", "can't be")],
)
def test_what_isnt_there_or_isnt_allowed_is_refused(name: str, why: str) -> None:
    with pytest.raises(VideoFormatError, match=why):
        next(pictures(LiveSource(name), threading.Event()))


def test_a_playlist_doesnt_lead_elsewhere(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_source, "_GROWTH_S", 0.2)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{clip}\n#EXT-X-ENDLIST\n")
    for name in (str(playlist), f"follow:{playlist}"):
        with pytest.raises(VideoFormatError, match="can't watch"):
            next(pictures(LiveSource(name), threading.Event()))


def test_kinds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert LiveSource("rtsp://camera/1").kind is SourceKind.ADDRESS
    assert LiveSource(str(tmp_path / "pipe")).kind is SourceKind.PIPE
    for odd in ("/dev/null", "/dev/zero", "/proc/self/status", str(tmp_path)):
        with pytest.raises(VideoFormatError, match="name a video, a pipe, a camera or an address"):
            _ = LiveSource(odd).kind
        with pytest.raises(VideoFormatError):
            next(pictures(LiveSource(odd), threading.Event()))
        with pytest.raises(VideoFormatError):
            next(pictures(LiveSource(f"follow:{odd}"), threading.Event()))


def test_files_and_pipes_are_inside_the_roots(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "root").mkdir()
    shutil.copy(clip, tmp_path / "root" / "clip.ts")
    (tmp_path / "root" / "link.ts").symlink_to(clip)
    os.mkfifo(tmp_path / "pipe")
    allowed = allowed_in([str(tmp_path / "root")])
    assert LiveSource(str(tmp_path / "root" / "clip.ts"), allowed=allowed).kind is SourceKind.FILE
    for name in (str(clip), str(tmp_path / "root" / "link.ts"), str(tmp_path / "pipe"), "/nowhere/clip.ts"):
        for shown in (name, f"follow:{name}"):
            with pytest.raises(VideoFormatError, match="in none of the folders that may be named"):
                next(pictures(LiveSource(shown, allowed=allowed), threading.Event()))


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | st.floats(-100, 1e6, allow_nan=False), st.floats(0, 5)), min_size=1, max_size=60))
def test_times_always_grow(steps: list[tuple[float | None, float]]) -> None:
    timeline, now, last = Timeline(), 0.0, -1
    for seconds, passed in steps:
        now += passed
        at = timeline.at(seconds, now)
        assert at > last
        assert at <= (last + 1) + 10_000_001 + passed * 1e6
        last = at


def test_a_source_that_jumps_goes_on_by_the_clock() -> None:
    timeline = Timeline()
    times = [
        timeline.at(s, now) for s, now in [(5.0, 0.0), (5.5, 0.5), (900.0, 1.0), (900.5, 1.5), (0.0, 2.0), (0.1, 2.1)]
    ]
    assert times == [0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_100_000]


def test_growing_files_are_closed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    file = GrowingFile(io.FileIO(tmp_path / "x"), threading.Event())
    assert file.read(2) == b"ab"
    file.close()
    file.close()


def test_pictures_are_ffmpegs(clip: Path) -> None:
    stop = threading.Event()
    _, frame = next(pictures(LiveSource(str(clip)), stop))
    assert isinstance(frame, av.VideoFrame) and frame.to_ndarray(format="rgb24").dtype == np.uint8
