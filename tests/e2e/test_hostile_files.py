"""Files that would hold a daemon up, fill it or make it talk: one line each, and everybody else is answered."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair
from common.ask import AskRequest, Mode, WatchRequest
from common.errors import EventSpecError, InputError
from edge.asking import ask_daemon, watch_daemon
from tests.e2e.pairs import ask
from tests.edge.events.made import made_events
from tests.edge.events.test_dsec import write
from tests.edge.events.test_hostile_values import tangle
from tests.edge.events.test_isolated import sparse_raw
from tests.edge.events.test_npy import write_pickle

SECRET = 7_382_910_564


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hostile_events(folder: Path) -> list[Path]:
    """Recordings that are none."""
    os.mkfifo(folder / "pipe.npy")
    write_pickle(folder / "tangled.npy", b"\x80\x04" + tangle(48) + b"cnumpy\ndtype\nh\x2f\x85R.")
    sparse_raw(folder / "sparse.raw", 2_700_000_000)
    (folder / "secret").write_bytes(SECRET.to_bytes(8, "little"))
    path = write(folder / "external.h5", made_events(500, span_us=10_000), offset=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("t_offset", shape=(1,), dtype="i8", external=[(str(folder / "secret"), 0, 8)])
    return [folder / name for name in ("pipe.npy", "tangled.npy", "sparse.raw", "external.h5")] + [Path("/dev/zero")]


def refused(pair: Pair, request: AskRequest) -> str:
    """What the daemon says of a question that it can't answer."""
    with pytest.raises(EventSpecError) as caught:
        list(ask_daemon(pair.edge.address, request))
    assert isinstance(caught.value, InputError)
    return str(caught.value)


@pytest.mark.timeout(300)  # the first of its session starts the pair
def test_hostile_files_beside_honest_questions(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    clip, pid = clips[0], pair.edge.process.pid
    undisturbed = ask(pair.edge.address, clip)
    os.mkfifo(tmp_path / "pipe.mp4")
    events = hostile_events(tmp_path)
    questions = [AskRequest("what?", str(path), mode=Mode.EDGE_ONLY) for path in events] + [
        AskRequest("what?", video_path=str(path), mode=Mode.CLOUD_ONLY)
        for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), events[1], Path("/proc/kmsg"))
    ]
    before, began = resident(pid), time.monotonic()
    with ThreadPoolExecutor(len(questions)) as askers:
        said = list(askers.map(lambda question: refused(pair, question), questions))
        honest = ask(pair.edge.address, clip)
    assert honest.token_ids == undisturbed.token_ids
    assert time.monotonic() - began < 60
    assert all("\n" not in line and len(line) < 400 + len(str(tmp_path)) for line in said)
    assert f"{SECRET}" not in "".join(said).replace(",", "")
    words = ("is a pipe", "only numbers", "more than", "another file", "is a device", "is a pipe")
    assert [line for word, line in zip(words, said, strict=False) if word not in line] == []
    for _ in range(2):  # as many places and threads as there may ever have been: none is taken
        assert all(refused(pair, question) for question in questions[:2])
    assert ask(pair.edge.address, clip).token_ids == undisturbed.token_ids
    assert resident(pid) < before * 1.1


def test_live_pipes_without_a_writer_take_nobodys_place(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    """They may be watched, by threads of their own."""
    pipes = [tmp_path / f"pipe{index}" for index in range(8)]
    for pipe in pipes:
        os.mkfifo(pipe)

    def watch(pipe: Path) -> str:
        with pytest.raises(InputError) as caught:
            list(watch_daemon(pair.edge.address, WatchRequest(str(pipe), live=True)))
        return str(caught.value)

    with ThreadPoolExecutor(len(pipes)) as watchers:
        watching = [watchers.submit(watch, pipe) for pipe in pipes]
        writers = [written_to(pipe) for pipe in pipes]  # each has its reader, and says nothing
        assert ask(pair.edge.address, clips[0]).values["mode"] == "stream_to_cloud"
        assert not any(one.done() for one in watching)
        for writer in writers:
            os.close(writer)
        assert all("can't watch" in one.result() for one in watching)


def written_to(pipe: Path) -> int:
    """The writing end of a pipe, once somebody reads it."""
    for _ in range(600):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody reads {pipe}")
