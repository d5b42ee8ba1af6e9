"""Clips read by children: the same packets as here, of regular files inside the roots alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import VideoFormatError
from common.limited_child import Limits
from common.named_files import allowed_in
from edge import clips
from edge.clips import ClipReader
from edge.transcoding import SampledClip
from edge.video import open_clip
from tests.clips import encode
from tests.edge.odd_clips import _LATE_LIES, _LIES


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", options={"bf": "3"})


@pytest.fixture
def reader() -> Iterator[ClipReader]:
    made = ClipReader()
    yield made
    made.close()


@pytest.fixture
def liar() -> Iterator[ClipReader]:
    made = ClipReader()
    made.pool.entry = "tests.edge.odd_clips:make"
    yield made
    made.close()


def test_the_same_packets_at_the_same_moments(
    reader: ClipReader, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = open_clip(path)
    monkeypatch.chdir(path.parent)
    clip = reader.open(path.name)
    assert clip.source == clip.header == here.header
    monkeypatch.chdir(tmp_path)
    assert list(clip.recorded()) == list(here.recorded())
    assert list(clip.packets()) == list(here.packets())  # again


def test_a_small_clip_takes_one_child_once(reader: ClipReader, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = reader.open(path)

    def borrow() -> None:
        raise AssertionError("a second child")

    monkeypatch.setattr(reader.pool, "borrow", borrow)
    assert clip.whole
    assert list(clip.recorded()) == list(open_clip(path).recorded())


@pytest.mark.parametrize("encoding", ["h264", "jpeg"])
def test_the_sampled_frames(reader: ClipReader, path: Path, encoding: str) -> None:
    here = SampledClip(open_clip(path), encoding, 500)
    clip = reader.open(path, encoding, 500)
    assert (clip.source, clip.header) == (here.clip.header, here.header)
    assert list(clip.recorded()) == list(here.recorded())


async def test_many_batches_are_read_in_threads_and_the_child_comes_back(reader: ClipReader, tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", "mpeg4", 600)  # three batches
    clip = reader.open(path)
    with ThreadPoolExecutor(2) as threads:
        sent = [packet async for packet in clip.sent(threads)]
        assert sent == list(open_clip(path).packets())
        assert len(sent) == 600
        taken = clip.taken(threads)
        await anext(taken)  # and no more: its asker goes away
        await taken.aclose()
        for _ in range(100):
            if reader.pool._has_place() and not reader.pool._taken:
                break
            await asyncio.sleep(0.05)
        assert reader.pool._taken == 0


def odd(folder: Path) -> list[tuple[Path, str]]:
    """Names that are no clip's, and what is said of them."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "kernel.mp4").symlink_to("/proc/kmsg")
    with (folder / "sparse.mp4").open("wb") as file:
        file.truncate(3_000_000_000)
    return [
        (folder / "pipe.mp4", "it is a pipe; name a file"),
        (folder / "kernel.mp4", "it is a file of the kernel's"),
        (folder / "sparse.mp4", "at most 268,435,456 are taken"),
        (Path("/dev/zero"), "it is a device"),
        (folder / "absent.mp4", "No such file"),
        (folder, "it is a folder"),
    ]


def test_what_is_no_regular_file_holds_nobody_up(reader: ClipReader, tmp_path: Path) -> None:
    reader.warm_up()
    began = time.monotonic()
    for name, message in odd(tmp_path):
        with pytest.raises(VideoFormatError, match=message) as caught:
            reader.open(name)
        assert str(name) in str(caught.value) and "\n" not in str(caught.value)
        with pytest.raises(VideoFormatError, match=message):
            open_clip(name)
    assert time.monotonic() - began < 10


def test_clips_lie_inside_the_roots(path: Path, tmp_path: Path) -> None:
    encode(tmp_path / "clip.mp4", "mpeg4", 600)  # more than what is read at once
    (tmp_path / "link.mp4").symlink_to(path)
    reader = ClipReader(allowed_in([str(tmp_path)]))
    assert reader.open(tmp_path / "clip.mp4").header.frames == 600
    for name in (path, tmp_path / "link.mp4", path.parent / "absent.mp4"):
        with pytest.raises(VideoFormatError, match="in none of the folders that may be named"):
            reader.open(name)
    clip = reader.open(tmp_path / "clip.mp4")
    (tmp_path / "clip.mp4").unlink()
    (tmp_path / "clip.mp4").symlink_to(path)  # after it was looked at
    with pytest.raises(VideoFormatError, match="in none of the folders that may be named"):
        list(clip.packets())
    reader.close()


def test_a_child_that_hangs_costs_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "_LIMITS", Limits(wall_s=4.0))
    reader = ClipReader()
    assert reader.open(path).header.frames == 30
    for _ in range(200):
        if len(reader.pool._waiting) == 2:
            break
        time.sleep(0.05)
    os.kill(reader.pool._waiting[-1].pid, signal.SIGSTOP)  # the next one's
    with pytest.raises(VideoFormatError, match=r"clip\.mp4: .*it took more than 4 s"):
        reader.open(path)
    assert reader.open(path).header.frames == 30
    reader.close()


@pytest.mark.parametrize("lie", sorted(_LIES))
def test_what_a_child_says_of_a_clip_is_checked(liar: ClipReader, lie: str) -> None:
    with pytest.raises(VideoFormatError, match="reading the clip failed"):
        liar.open(f"/nowhere/{lie}.mp4")


@pytest.mark.parametrize("lie", sorted(_LATE_LIES))
def test_what_a_child_says_of_packets_is_checked(liar: ClipReader, lie: str) -> None:
    with pytest.raises(VideoFormatError, match="reading the clip failed"):
        list(liar.open(f"/nowhere/{lie}.mp4").packets())
