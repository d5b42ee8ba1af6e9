"""Recognising, inspecting, saving; and what all formats have in common."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import EventFormatError
from edge.events import Events, inspect_events, load_events, save_events
from edge.events.inspection import inspect_here
from tests.edge.events.made import assert_same, made_events

SAVED = ["events.npy", "events.h5", "events.hdf5", "events.npz", "events.raw"]


@pytest.fixture
def events() -> Events:
    return made_events(3_000, width=320, height=240, span_us=90_000)


@pytest.mark.parametrize("name", SAVED)
def test_contents_decide_the_format_not_the_name(tmp_path: Path, name: str, events: Events) -> None:
    save_events(events, tmp_path / name)
    renamed = (tmp_path / name).rename(tmp_path / "recording.bin")
    loaded = load_events(renamed)
    np.testing.assert_array_equal(loaded.x, events.x)
    assert (loaded.width, loaded.height) == (320, 240)


@pytest.mark.parametrize("name", SAVED)
def test_inspection_equals_the_events(tmp_path: Path, name: str, events: Events) -> None:
    save_events(events, tmp_path / name)
    info = inspect_events(tmp_path / name)
    assert (info.events, info.duration_us) == (3_000, events.duration_us)
    assert (info.width, info.height) == (320, 240)
    assert info.positive_fraction == pytest.approx(float(events.p.mean()))
    assert info.rate_hz == pytest.approx(3_000 / (events.duration_us * 1e-6))
    assert 1 < info.bytes_per_event < 20
    assert not info.sampled


def test_inspection_samples_large_h5_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: Events) -> None:
    monkeypatch.setattr("edge.events.inspection._SAMPLE_EVENTS", 20)
    save_events(events, tmp_path / "events.h5")
    info = inspect_here(tmp_path / "events.h5")
    assert info.sampled
    assert info.events == 3_000
    assert info.positive_fraction == pytest.approx(float(events.p.mean()), abs=0.15)


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize(
    ("start", "duration", "message"),
    [
        (0, 0, "a window of 0 us is empty"),
        (0, -5, "a window of -5 us is empty"),
        (-1, 10, "can't start at -1 us"),
        (10**9, 10, "there are no events from 1,000,000,000 us to 1,000,000,010 us: choose a window inside"),
        (10**9, None, "there are no events from 1,000,000,000 us to its end: .*`eventspec-edge events info` tells"),
    ],
)
def test_empty_windows(
    tmp_path: Path, name: str, start: int, duration: int | None, message: str, events: Events
) -> None:
    save_events(events, tmp_path / name)
    with pytest.raises(EventFormatError, match=rf"{name}: .*{message}"):
        load_events(tmp_path / name, start_us=start, duration_us=duration)


@pytest.mark.parametrize("ask", [load_events, inspect_events])
@pytest.mark.parametrize(
    ("contents", "message"),
    [(None, "can't be read .*No such file"), (b"", "is empty"), (b"hello world", "known formats: EventGPT npy")],
)
def test_files_of_no_format(tmp_path: Path, ask: object, contents: bytes | None, message: str) -> None:
    path = tmp_path / "what.bin"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(EventFormatError, match=rf"what\.bin: .*{message}"):
        ask(path)  # type: ignore[operator]


def test_saving_replaces_a_file_completely_or_not_at_all(tmp_path: Path, events: Events) -> None:
    path = tmp_path / "events.raw"
    save_events(events, path)
    wide = made_events(10, width=5_000, height=10)
    with pytest.raises(EventFormatError, match="EVT2 holds"):
        save_events(wide, path)
    assert len(load_events(path)) == 3_000
    assert [found.name for found in tmp_path.iterdir()] == ["events.raw"]
    with pytest.raises(EventFormatError, match=r"saved as \.npy, "):
        save_events(events, tmp_path / "events.aedat4")
    with pytest.raises(EventFormatError, match="can't be written"):
        save_events(events, tmp_path / "nowhere" / "events.npy")


def test_formats_agree_with_each_other(tmp_path: Path, events: Events) -> None:
    loaded: list[Events] = []
    for name in SAVED:
        save_events(loaded[-1] if loaded else events, tmp_path / name)
        loaded.append(load_events(tmp_path / name))
    relative = Events(events.x, events.y, events.t - events.t[0], events.p, 320, 240)
    assert_same(loaded[-1], relative)
    assert_same(loaded[0], events)


def test_importing_edge_events_imports_no_library_but_numpy() -> None:
    heavy = ["torch", "h5py", "hdf5plugin", "av", "evt3", "aedat", "typer"]
    code = f"import sys, edge.events; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
