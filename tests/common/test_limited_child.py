"""Children with limits: whatever one does, its request alone fails, in one line, and the next is answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.child_pool import ChildPool
from common.errors import CapacityError, VideoFormatError
from common.forking import template
from common.limited_child import Limits

_ENTRY = "tests.common.odd_children:make"
_LIMITS = Limits(memory_bytes=1 << 30, cpu_s=1, wall_s=20.0, reply_bytes=100_000, kept_bytes=200 << 20)


def pool_of(limits: Limits = _LIMITS, places: int = 2) -> ChildPool:
    return ChildPool(_ENTRY, limits, error=VideoFormatError, places=places)


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    made = pool_of()
    yield made
    made.close()


def ask(pool: ChildPool, request: bytes) -> bytes:
    with pool.borrow() as child:
        return bytes(child.ask(request))


def gone(pid: int) -> bool:
    """True once a process has ended, within a few seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_one_child_answers_many_requests(pool: ChildPool) -> None:
    with pool.borrow() as child:
        pid = child.pid
        assert bytes(child.ask(b"echo:", b"\0\xff" * 3_000_0, memoryview(b"!"))) == b"\0\xff" * 3_000_0 + b"!"
        assert bytes(child.ask(b"count")) == b"2"
    with pool.borrow() as child:
        assert child.pid == pid
        assert bytes(child.ask(b"echo:")) == b""


def test_a_refusal_is_one_line_and_the_child_lives_on(pool: ChildPool) -> None:
    with pytest.raises(VideoFormatError, match=r"^frame 3\? is \?\[31mdamaged$"):
        ask(pool, b"refuse:frame 3\n is \x1b[31mdamaged")
    assert ask(pool, b"count") == b"2"


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (b"segv", "it crashed"),
        (b"leave", "it crashed"),
        (b"cut", "it crashed"),
        (b"spin", "it crashed, ran out of processor time, or was ended"),
        (b"bomb", "it needs more than 1,024 MiB of memory"),
        (b"garbage", "it sent nonsense"),
        (b"long:100001", "its reply of 100,001 bytes is too long"),
        (b"deep", "it failed"),
    ],
)
def test_a_failure_costs_one_request(pool: ChildPool, deed: bytes, why: str) -> None:
    with pytest.raises(VideoFormatError, match=f"^reading it was given up, since {why}"):
        ask(pool, deed)
    assert ask(pool, b"count") == b"1"


def test_one_that_hangs_is_killed_in_time_and_holds_one_place(pool: ChildPool) -> None:
    hurried = pool_of(Limits(wall_s=2.0), places=2)
    failed: list[str] = []

    def hang() -> None:
        with hurried.borrow() as child:
            pids.append(child.pid)
            try:
                child.ask(b"hang")
            except VideoFormatError as error:
                failed.append(str(error))

    pids: list[int] = []
    began = time.monotonic()
    thread = threading.Thread(target=hang)
    thread.start()
    assert ask(hurried, b"echo:the other place") == b"the other place"
    thread.join()
    assert time.monotonic() - began < 15
    assert failed == ["reading it was given up, since it took more than 2 s: the data is damaged, hostile or too large"]
    assert gone(pids[0])
    assert ask(hurried, b"count") == b"2"
    hurried.close()


def test_more_than_the_places_wait_and_then_are_told() -> None:
    small = pool_of(Limits(wall_s=0.5), places=1)
    child = small.acquire()
    with pytest.raises(CapacityError, match="1 files or videos are being read already"):
        small.acquire()
    small.release(child)
    small.release(small.acquire())
    small.close()


def test_one_that_keeps_much_memory_is_not_kept(pool: ChildPool) -> None:
    with pool.borrow() as child:
        pid = child.pid
        assert bytes(child.ask(b"hold:300000000")) == b"held"
    assert gone(pid)
    assert ask(pool, b"count") == b"1"


def test_one_that_died_waiting_is_replaced(pool: ChildPool) -> None:
    with pool.borrow() as child:
        pid = child.pid
    os.kill(pid, signal.SIGKILL)
    while child.alive:
        time.sleep(0.01)
    assert ask(pool, b"echo:still here") == b"still here"


def test_a_child_writes_nothing_and_sees_no_secret_or_working_directory(
    pool: ChildPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "struct.py").write_text("raise SystemExit")
    pool.warm_up()
    with pytest.raises(VideoFormatError):
        ask(pool, f"write:{tmp_path / 'file'}".encode())
    assert not (tmp_path / "file").exists() or (tmp_path / "file").read_bytes() == b""
    assert "SOME_TOKEN" not in ask(pool, b"environment").decode().split()
    where, *path = ask(pool, b"where").decode().split("\n")
    assert where == "/"
    assert str(tmp_path) not in path


def test_one_without_files_can_open_nothing_and_gains_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    for files, may in ((0, False), (8, True)):
        pool = pool_of(replace(_LIMITS, files=files))
        for deed in (f"open:{tmp_path / 'file'}".encode(), b"socket"):
            if may:
                assert ask(pool, deed)
            else:
                with pytest.raises(VideoFormatError, match="it failed"):
                    ask(pool, deed)
        with pool.borrow() as child:
            child.ask(b"echo:")
            status = Path(f"/proc/{child.pid}/status").read_text()
            assert Path(f"/proc/{child.pid}/oom_score_adj").read_text() == "1000\n"
        assert "NoNewPrivs:\t1\n" in status
        pool.close()


def test_a_lost_template_takes_its_children_along_and_is_replaced(pool: ChildPool) -> None:
    with pool.borrow() as child:
        parent = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)
        with pytest.raises(VideoFormatError, match="it crashed"):
            child.ask(b"hang")
    assert ask(pool, b"count") == b"1"


@pytest.mark.parametrize("busy", [True, False])
def test_no_child_outlives_a_killed_parent(busy: bool) -> None:
    code = (
        "import sys, threading, time\n"
        "from tests.common.test_limited_child import pool_of\n"
        "from common.limited_child import Limits\n"
        "child = pool_of(Limits(cpu_s=60)).acquire()\n"
        "child.ask(b'count')\n"
        f"if {busy}: threading.Thread(target=child.ask, args=(b'spin',), daemon=True).start()\n"
        "time.sleep(0.2); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate()
    assert gone(pid)


def test_threads_share_the_places_and_never_mix_answers(pool: ChildPool) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                text = f"{number} {turn}".encode()
                if ask(pool, b"echo:" + text) != text:
                    wrong.append(text)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_template_that_hangs_or_dies_costs_no_request(
    pool: ChildPool, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.forking._WARM_PATIENCE_S", 0.5)
    assert ask(pool, b"echo:a") == b"a"
    pool.close()  # the next one is forked
    lost = template({})._process
    assert lost is not None
    monkeypatch.setattr(lost, "poll", lambda: None)  # it is lost in this moment
    os.kill(lost.pid, how)
    assert ask(pool, b"echo:b") == b"b"
    assert gone(lost.pid)
    pool.close()
    monkeypatch.undo()
    assert ask(pool, b"echo:c") == b"c"
