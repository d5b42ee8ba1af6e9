"""The children that read recordings: they may crash, lie or stall, and only their own file suffers."""

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import EventFormatError
from common.limited_child import Limits
from common.named_files import allowed_in
from edge.events import Events, inspect_events, isolated, save_events
from edge.events.isolated import DAEMON_EVENTS, DAEMON_LIMITS, EventReader
from edge.events.reading import Request
from tests.edge.events.made import assert_same, made_events

FORMATS = ("events.npy", "events.h5", "events.npz", "events.raw")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Events]:
    folder, events = tmp_path_factory.mktemp("saved"), made_events(2_000, width=320, height=240)
    for name in FORMATS:
        save_events(events, folder / name)
    return folder, events


@pytest.fixture
def reader() -> Iterator[EventReader]:
    made = EventReader(limits=DAEMON_LIMITS, max_events=DAEMON_EVENTS)
    yield made
    made.close()


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventReader]:
    made = EventReader()
    made.pool.entry = "tests.edge.events.odd_reader:make"
    monkeypatch.setattr(isolated, "READER", made)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("outside", "timestamps|outside the 9x9 sensor"),
        ("short", "other events came back"),
        ("count", "other events came back"),
        ("nothing", "no events came back"),
    ],
)
def test_what_a_child_says_is_checked(liar: EventReader, lie: str, message: str) -> None:
    with pytest.raises(EventFormatError, match=rf"{lie}\.npy: .*{message}"):
        liar.load(f"/nowhere/{lie}.npy", Request())


@pytest.mark.parametrize("lie", ["text", "deep", "fields"])
def test_what_a_child_says_of_a_recording_is_checked(liar: EventReader, lie: str) -> None:
    with pytest.raises(EventFormatError, match=rf"{lie}\.npy: reading it failed"):
        inspect_events(f"/nowhere/{lie}.npy")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_by_one_child_again_and_again(
    reader: EventReader, saved: tuple[Path, Events], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_parsing(*_: object) -> None:
        raise AssertionError("a recording was read in this process")

    for module in ("npy", "npz", "dsec", "prophesee", "aedat"):
        monkeypatch.setattr(f"edge.events.{module}.read", no_parsing)
    folder, events = saved
    bad = tmp_path / name
    bad.write_bytes((folder / name).read_bytes()[:300])
    reader.warm_up()
    with reader.pool.borrow() as child:
        pid = child.pid
    for _ in range(3):
        window = reader.load(folder / name, Request(0, 20_000))
        assert 0 < len(window) < len(events)
        with pytest.raises(EventFormatError, match=rf"{name}: "):
            reader.load(bad, Request())
    with reader.pool.borrow() as child:
        assert child.pid == pid


def test_threads_do_not_wait_for_each_other_or_mix_answers(reader: EventReader, saved: tuple[Path, Events]) -> None:
    folder, events = saved
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for _ in range(5):
                window = reader.load(folder / "events.h5", Request(start, 3_000))
                assert_same(window, events.window(int(events.t[0]) + start, 3_000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index * 10_000,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_window_of_too_many_events_for_a_daemon(saved: tuple[Path, Events]) -> None:
    reader = EventReader(max_events=1_000)
    with pytest.raises(EventFormatError, match=r"events\.raw: 2,000 events are more than the 1,000"):
        reader.load(saved[0] / "events.raw", Request())
    assert len(reader.load(saved[0] / "events.raw", Request(0, 10_000))) > 0
    reader.close()


# ------------------------------------------------------------------------------------------------- what isn't a file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (pipe, "is a pipe"),
        (socket_file, "is a socket"),
        ("/dev/zero", "is a device"),
        ("/proc/self/status", "is a file of the kernel's"),
        ("/proc/kmsg", "is a file of the kernel's"),
        ("/sys/kernel/uevent_seqnum", "is a file of the kernel's"),
        ("loop", "can't be read"),
    ],
)
def test_only_regular_files_are_opened(reader: EventReader, tmp_path: Path, target: object, what: str) -> None:
    path = tmp_path / "odd.npy"
    if callable(target):
        target(path)
    else:
        path.symlink_to(path if target == "loop" else Path(str(target)))
    reader.warm_up()
    began = time.monotonic()
    for _ in range(5):  # as many as there are places, and one more
        with pytest.raises(EventFormatError, match=rf"odd\.npy: {what}") as caught:
            reader.load(path, Request())
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5


def test_a_folder_whose_recording_is_a_pipe(reader: EventReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events.h5")
    with pytest.raises(EventFormatError, match="is a pipe; name a file"):
        reader.load(tmp_path, Request())


def test_a_read_that_hangs_is_given_up(saved: tuple[Path, Events]) -> None:
    """As on a network disk that has gone: the child is stopped, the next file is read by another."""
    reader = EventReader(limits=Limits(wall_s=3.0))
    reader.warm_up()
    folder, events = saved
    assert_same(reader.load(folder / "events.npy", Request()), events)
    with reader.pool.borrow() as child:
        os.kill(child.pid, 19)  # SIGSTOP
    began = time.monotonic()
    with pytest.raises(EventFormatError, match="it took more than 3 s"):
        reader.load(folder / "events.npy", Request())
    assert time.monotonic() - began < 10
    assert_same(reader.load(folder / "events.npy", Request()), events)
    reader.close()


# ---------------------------------------------------------------------------------------------------- what may be named


def test_names_lead_into_the_roots_or_nowhere(saved: tuple[Path, Events], tmp_path: Path) -> None:
    folder, events = saved
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (root / "events.npy").write_bytes((folder / "events.npy").read_bytes())
    (root / "link.npy").symlink_to(folder / "events.npy")
    (root / "away").symlink_to(folder)
    (tmp_path / "root2").symlink_to(folder)  # begins like the root
    reader = EventReader(allowed_in([str(root)]))
    assert_same(reader.load(root / "events.npy", Request()), events)
    assert_same(reader.load(root / "inside" / ".." / "events.npy", Request()), events)
    outside = [
        folder / "events.npy",
        folder / "absent.npy",
        root / "link.npy",
        root / "away" / "events.npy",
        root / "away" / "absent.npy",
        root / ".." / "root2" / "events.npy",
        tmp_path / "root2" / "absent",
        Path("/etc/shadow"),
        Path("/nowhere/at/all"),
        root / "away",
    ]
    said = set()
    for path in outside:
        with pytest.raises(EventFormatError) as caught:
            reader.load(path, Request())
        said.add(str(caught.value).removeprefix(f"{path.absolute()}: "))
    assert said == {"is in none of the folders that may be named here: see --files of the daemon"}
    with pytest.raises(EventFormatError, match="No such file"):
        reader.load(root / "absent.npy", Request())
    reader.close()
    shut = EventReader(allowed_in([]))
    with pytest.raises(EventFormatError, match=r"runs without --files"):
        shut.load(root / "events.npy", Request())
    shut.close()


# --------------------------------------------------------------------------------------------------------- memory bombs


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sparse_npy(path: Path, events: int) -> None:
    """EventGPT's dict whose columns are int64 holes in the file: 32 bytes an event."""
    import pickle

    from numpy.lib import format as npy_format

    marks = {name: np.full(1, 0x1122_3344 + at, np.int64) for at, name in enumerate("xytp")}
    packed = pickle.dumps(np.array(marks, dtype=object), protocol=4)
    size = events * 8
    with path.open("wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        at = 2 + 9  # PROTO, and the FRAME that is too short for what comes
        file.write(packed[:2])
        for name in marks:
            contents = marks[name].tobytes()
            end = packed.index(b"C\x08" + contents)
            part = packed[at:end].replace(b"K\x01\x85", b"J" + events.to_bytes(4, "little") + b"\x85")
            file.write(part + b"\x8e" + size.to_bytes(8, "little"))
            file.seek(size, os.SEEK_CUR)
            at = end + 10
        file.write(packed[at:])


def sparse_raw(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"% evt 2.0\n% format EVT2;width=640;height=480\n% geometry 640x480\n% end\n")
        file.write((0x8000_0000).to_bytes(4, "little"))
        file.truncate(size)


def test_the_sparse_recording_of_this_test_is_one(reader: EventReader, tmp_path: Path) -> None:
    sparse_npy(tmp_path / "small.npy", 1_000)
    assert len(reader.load(tmp_path / "small.npy", Request())) == 1_000


@pytest.mark.slow
def test_sparse_recordings_take_no_memory_here(reader: EventReader, tmp_path: Path) -> None:
    sparse_npy(tmp_path / "a.npy", 99_000_000)
    sparse_raw(tmp_path / "b.raw", 2_700_000_000)
    assert (tmp_path / "a.npy").stat().st_size > 3_100_000_000
    reader.warm_up()
    before = resident()
    for name in ("a.npy", "b.raw"):
        with pytest.raises(EventFormatError, match=rf"{name}: .*(memory|events are more than|took more than)"):
            reader.load(tmp_path / name, Request(0, 50_000))
        assert resident() < before * 1.1
    sparse_npy(tmp_path / "some.npy", 15_000_000)  # as many as a daemon takes
    assert len(reader.load(tmp_path / "some.npy", Request(0, 50_000))) == 15_000_000
    assert resident() < before * 1.1


def test_memory_is_back_after_a_large_recording(tmp_path: Path) -> None:
    """A sparse file of 300 MB is read up to the limit of events; the child that did it isn't kept."""
    path = tmp_path / "sparse.raw"
    path.write_bytes(b"% evt 2.0\n% geometry 64x48\n% end\n")
    os.truncate(path, 300_000_000)
    reader = EventReader(max_events=5_000_000)
    try:
        with pytest.raises(EventFormatError, match="events are more than"):
            reader.load(path, Request())
        assert all(not child.holds_too_much() for child in reader.pool._waiting)
        assert reader.pool.limits.kept_bytes <= 64 << 20
    finally:
        reader.close()
