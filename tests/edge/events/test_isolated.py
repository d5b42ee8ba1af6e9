"""The child processes that read hostile files: they may crash, lie or stall, and only their own file suffers."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import EventFormatError
from edge.events import Events, isolated, load_events, save_events, warm_up
from tests.edge.events.made import assert_same, made_events


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Events]:
    events = made_events(2_000, width=320, height=240)
    save_events(events, tmp_path / "events.h5")
    return tmp_path / "events.h5", events


@pytest.fixture(autouse=True)
def _fresh_children() -> Iterator[None]:
    """Each test starts its own children, and leaves none that it tampered with."""
    isolated._end_all()
    yield
    isolated._end_all()


def play(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """Children that run `act` (with `line`, the question) instead of reading."""
    code = f"import os, signal, sys, time; out = sys.stdout.buffer; line = sys.stdin.readline(); {act}; out.flush()"
    monkeypatch.setattr(isolated, "_START", code)


@pytest.mark.parametrize(
    "act",
    [
        "os.abort()",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.exit(0)",
        "out.write(b'not json\\n')",
        "out.write(b'[' * 100_000 + b'\\n')",
        'out.write(b\'{"events": 5, "width": 9, "height": 9}\\n\' + bytes(11))',
    ],
)
def test_a_child_that_fails_costs_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, saved: tuple[Path, Events], act: str
) -> None:
    path, events = saved
    with monkeypatch.context() as context:
        play(context, act)
        with pytest.raises(EventFormatError, match=r"events\.h5: reading it crashed"):
            load_events(path)
    assert_same(load_events(path), events)


def test_what_a_child_says_is_checked(monkeypatch: pytest.MonkeyPatch, saved: tuple[Path, Events]) -> None:
    play(monkeypatch, 'out.write(b\'{"events": 1, "width": 9, "height": 9}\\n\' + b\'\\xff\' * 13)')
    with pytest.raises(EventFormatError, match="outside the 9x9 sensor"):
        load_events(saved[0])
    play(monkeypatch, 'out.write(b\'{"events": 10000000000, "width": 9, "height": 9}\\n\')')
    with pytest.raises(EventFormatError, match="10,000,000,000 events are more than"):
        load_events(saved[0])


def test_one_child_reads_file_after_file(saved: tuple[Path, Events], tmp_path: Path) -> None:
    path, events = saved
    warm_up()
    (child,) = isolated._waiting
    (tmp_path / "bad.h5").write_bytes(path.read_bytes()[:1_000])
    for _ in range(3):
        assert_same(load_events(path), events)
        with pytest.raises(EventFormatError, match="truncated or damaged"):
            load_events(tmp_path / "bad.h5")
    assert isolated._waiting == [child]
    assert child.alive


def test_children_that_died_waiting_are_replaced(saved: tuple[Path, Events]) -> None:
    warm_up()
    isolated._waiting[0]._process.kill()
    isolated._waiting[0]._process.wait()
    assert_same(load_events(saved[0]), saved[1])


def test_threads_do_not_wait_for_each_other_or_mix_answers(saved: tuple[Path, Events]) -> None:
    path, events = saved
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for _ in range(5):
                window = load_events(path, start_us=start, duration_us=3_000)
                first = int(events.t[0])
                assert_same(window, events.window(first + start, 3_000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index * 10_000,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(isolated._waiting) <= isolated._KEPT_WAITING


def test_no_child_outlives_its_parent(saved: tuple[Path, Events]) -> None:
    code = (
        "import sys; from edge.events import isolated, load_events; load_events(sys.argv[1]); "
        "print(isolated._waiting[0]._process.pid, flush=True); {end}"
    )
    for end in ("pass", "import os; os._exit(1)"):
        command = [sys.executable, "-c", code.format(end=end), str(saved[0])]
        pid = int(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        for _ in range(100):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            threading.Event().wait(0.05)
        else:
            pytest.fail(f"child {pid} still runs")


def test_a_child_has_bounds(monkeypatch: pytest.MonkeyPatch, saved: tuple[Path, Events]) -> None:
    """What a hostile file could make a parser do: take all memory, or never end."""
    code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import edge.events.isolated_child as child; "
    eat = "child.read_here = lambda *_: bytearray(2**40); child.serve()"
    monkeypatch.setattr(isolated, "_START", code + eat)
    with pytest.raises(EventFormatError, match=r"events\.h5: it doesn't fit in memory"):
        load_events(saved[0])
    isolated._end_all()
    spin = "child._MAX_SECONDS = 1; child.read_here = lambda *_: [None for _ in iter(int, 1)]; child.serve()"
    monkeypatch.setattr(isolated, "_START", code + spin)
    with pytest.raises(EventFormatError, match=r"events\.h5: (reading it crashed or took too long|it doesn't fit)"):
        load_events(saved[0])
