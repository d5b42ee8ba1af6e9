"""DSEC h5: windows equal brute force, the index is used and checked, and files that break the layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import EventFormatError
from edge.events import Events, dsec, load_events, save_events
from edge.events.reading import Request
from tests.edge.events.made import assert_same, made_events

OFFSET = 51_648_500_652


def write(path: Path, events: Events, *, index: bool = True, offset: Any = OFFSET) -> Path:
    """Independent of `save_events`: as the data set's own files are laid out."""
    t = events.t.astype(np.uint32)
    with h5py.File(path, "w") as file:
        for name, column in {"x": events.x, "y": events.y, "t": t, "p": events.p}.items():
            file.create_dataset(f"events/{name}", data=column, chunks=(min(64, len(t)),), **hdf5plugin.Blosc())
        if index:
            last_ms = int(events.t[-1]) // 1000
            file["ms_to_idx"] = np.array([int((events.t < ms * 1000).sum()) for ms in range(last_ms + 1)], np.uint64)
        if offset is not None:
            file["t_offset"] = offset
    return path


def brute_force(events: Events, start: int, duration: int, offset: int = OFFSET) -> Events:
    inside = (events.t >= start) & (events.t < start + duration)
    return Events(events.x[inside], events.y[inside], events.t[inside] + offset, events.p[inside], 640, 480)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 400),
    span=st.integers(1, 30_000),
    start=st.integers(0, 31_000),
    duration=st.integers(1, 40_000),
    index=st.booleans(),
    seed=st.integers(0, 99),
)
def test_windows_equal_brute_force(
    tmp_path_factory: pytest.TempPathFactory, count: int, span: int, start: int, duration: int, index: bool, seed: int
) -> None:
    events = made_events(count, span_us=span, seed=seed)
    path = write(tmp_path_factory.mktemp("dsec") / "events.h5", events, index=index)
    expected = brute_force(events, start, duration)
    if len(expected) == 0:
        with pytest.raises(EventFormatError, match="there are no events from"):
            load_events(path, start_us=start, duration_us=duration)
    else:
        assert_same(load_events(path, start_us=start, duration_us=duration), expected)


@pytest.mark.parametrize("offset", [OFFSET, np.array([OFFSET]), None])
def test_t_offset_scalar_array_or_absent(tmp_path: Path, offset: Any) -> None:
    events = made_events(500, span_us=9_000)
    path = write(tmp_path / "events.h5", events, offset=offset)
    expected = brute_force(events, 1_500, 3_000, 0 if offset is None else OFFSET)
    assert_same(load_events(path, start_us=1_500, duration_us=3_000), expected)
    assert_same(load_events(path, start_us=np.int64(1_500), duration_us=np.int64(3_000)), expected)  # type: ignore[arg-type]
    assert len(load_events(path)) == 500


def test_a_window_reads_only_its_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = made_events(100_000, span_us=1_000_000)
    path = write(tmp_path / "events.h5", events)
    read: list[int] = []
    plain = h5py.Dataset.__getitem__

    def counted(self: Any, key: Any, **options: Any) -> Any:
        found = plain(self, key, **options)
        read.append(np.size(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    window = dsec.read(path, Request(500_000, 2_000))
    assert 100 < len(window) < 400
    assert 4 * len(window) <= sum(read) < 6 * len(window)


def test_sequence_folders(tmp_path: Path) -> None:
    events = made_events(50)
    (tmp_path / "seq" / "events" / "left").mkdir(parents=True)
    write(tmp_path / "seq" / "events" / "left" / "events.h5", events)
    for folder in ("seq", "seq/events", "seq/events/left"):
        assert len(load_events(tmp_path / folder)) == 50
    with pytest.raises(EventFormatError, match=r"the folder holds no events/left/events\.h5"):
        load_events(tmp_path)


def test_saved_files_have_the_layout_and_come_back(tmp_path: Path) -> None:
    events = made_events(5_000, width=80, height=60, start_us=10**12, span_us=77_000)
    save_events(events, tmp_path / "events.h5")
    assert_same(load_events(tmp_path / "events.h5"), events)
    with h5py.File(tmp_path / "events.h5") as file:
        t, index = file["events/t"][()].astype(np.int64), file["ms_to_idx"][()]
        assert file["events/t"].dtype == np.uint32
        assert index.dtype == np.uint64
        assert file["t_offset"][()] == events.t[0]
        assert 32001 in [int(key) for key in file["events/x"]._filters]
    for ms, at in enumerate(index):
        assert t[at] >= ms * 1000
        assert at == 0 or t[at - 1] < ms * 1000
    assert len(index) == t[-1] // 1000 + 1


def load_twice(path: Path) -> None:
    load_events(path, start_us=3_000, duration_us=4_000)
    load_events(path)


def replace(name: str, data: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if name in file:
            del file[name]
        if data is not None:
            file[name] = data

    return change


def external(file: Any) -> None:
    del file["events/x"]
    file["events/x"] = h5py.ExternalLink("other.h5", "/secret")


def raw_external(file: Any) -> None:
    del file["events/p"]
    file.create_dataset("events/p", shape=(500,), dtype="u1", external=[("/etc/passwd", 0, 500)])


def huge(file: Any) -> None:
    for name, dtype in {"x": "u2", "y": "u2", "t": "u4", "p": "u1"}.items():
        del file[f"events/{name}"]
        file.create_dataset(f"events/{name}", shape=(10**12,), dtype=dtype, chunks=(1_000,), fillvalue=0)
    file["events/t"][-1] = 9_999
    del file["ms_to_idx"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("events/p", None), "dataset 'events/p' is missing"),
        (replace("events/x", np.zeros(499, np.uint16)), "different lengths"),
        (replace("events/t", np.zeros((500, 1), np.uint32)), "'events/t' holds uint32 in 2 dimensions"),
        (replace("events/t", np.linspace(0, 1, 500)), "'events/t' holds float64"),
        (replace("events/t", np.arange(500, dtype=np.uint32)[::-1] * 20), "not sorted|disagree"),
        (replace("events/x", np.full(500, 640, np.uint16)), "outside the 640x480 sensor"),
        (replace("events/p", np.full(500, 7, np.uint8)), "event 0 has another polarity"),
        (replace("t_offset", np.arange(3)), "'t_offset' must be one integer"),
        (replace("t_offset", 2**63 - 1), "absurd"),
        (replace("ms_to_idx", np.full(20, 10**9, np.uint64)), "points at an event that isn't there"),
        (replace("ms_to_idx", np.zeros(20, np.uint64)), "disagree"),
        (replace("events", None), "missing"),
        (external, "'events/x' points into another place"),
        (raw_external, "'events/p' points into another file"),
    ],
)
def test_files_that_break_the_layout(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.zeros(500, np.uint16)
    path = write(tmp_path / "events.h5", made_events(500, span_us=10_000))
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(EventFormatError, match=rf"events\.h5: .*({message})"):
        load_twice(path)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "events.h5", made_events(500, span_us=10_000))
    with h5py.File(path, "a") as file:
        huge(file)
    with pytest.raises(EventFormatError, match="1,000,000,000,000 events are more than"):
        load_events(path)
    with pytest.raises(EventFormatError, match="there are no events from 3,000 us"):
        load_events(path, start_us=3_000, duration_us=4_000)


def test_truncated_files_are_clear(tmp_path: Path) -> None:
    whole = write(tmp_path / "events.h5", made_events(3_000, span_us=10_000)).read_bytes()
    for size in [8, 9, 100, 2_000, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut.h5").write_bytes(whole[:size])
        with pytest.raises(EventFormatError, match=r"cut\.h5: the HDF5 file is truncated or damaged"):
            load_events(tmp_path / "cut.h5")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "events.h5", made_events(10))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(EventFormatError, match=r'pip install "eventspec\[edge\]"'):
        dsec.read(path, Request())


def test_events_that_do_not_fit_the_format(tmp_path: Path) -> None:
    long = Events(np.zeros(2, np.uint16), np.zeros(2, np.uint16), np.array([0, 2**32]), np.zeros(2, np.uint8), 640, 480)
    with pytest.raises(EventFormatError, match=r"long\.h5: DSEC files hold up to 4,294 s"):
        save_events(long, tmp_path / "long.h5")
    assert list(tmp_path.iterdir()) == []


def test_find_needs_no_window_inside_the_file(tmp_path: Path) -> None:
    events = made_events(300, span_us=10_000)
    with dsec.open_recording(write(tmp_path / "events.h5", events)) as recording:
        assert recording.find(0, 2**62) == (0, 300)
        assert recording.find(10**9, 2**62) == (300, 300)
        assert recording.find(0, 1) == (0, int((events.t < 1).sum()))
