"""N-ImageNet npz, Prophesee raw, AEDAT4: against other implementations' files, and damaged ones."""

import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from common.errors import EventFormatError
from edge.events import Events, aedat, load_events, save_events
from edge.events.formats import read_here
from edge.events.reading import Request
from tests.edge.events.made import assert_same, made_events

FIXTURES = Path(__file__).with_name("fixtures")


def truth() -> Events:
    records = np.load(FIXTURES / "truth.npy", allow_pickle=False)
    return Events(
        records["x"].astype(np.uint16),
        records["y"].astype(np.uint16),
        records["t"].astype(np.int64),
        records["on"].astype(np.uint8),
        320,
        240,
    )


@pytest.mark.parametrize(("name", "package"), [("evt2.raw", None), ("evt3.raw", "evt3"), ("events.aedat4", "aedat")])
def test_files_of_another_implementation(name: str, package: str | None) -> None:
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")
    assert_same(load_events(FIXTURES / name), truth())
    window = load_events(FIXTURES / name, start_us=20_000, duration_us=5_010_000)
    assert_same(window, truth().window(20_000, 5_010_000))
    with pytest.raises(EventFormatError, match=rf"{name}: there are no events from 1,000,000 us to 1,000,010 us"):
        load_events(FIXTURES / name, start_us=1_000_000, duration_us=10)


@pytest.mark.parametrize("suffix", [".npz", ".raw"])
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 2_048), st.integers(1, 2_048), st.integers(1, 2**33), st.integers(0, 99))
def test_round_trips(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, count: int, width: int, height: int, span: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("events") / f"events{suffix}"
    events = made_events(count, width=width, height=height, span_us=span, seed=seed, start_us=123)
    save_events(events, path)
    first = int(events.t[0]) if suffix == ".raw" else 0
    expected = Events(events.x, events.y, events.t - first, events.p, width, height)
    assert_same(load_events(path), expected)


# --- N-ImageNet

RECORD = [("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "?")]


def n_imagenet(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def test_n_imagenet_records_of_any_integers(tmp_path: Path) -> None:
    records = np.array([(1, 2, 3, False), (639, 479, 2**40, True)], dtype=RECORD)
    events = load_events(n_imagenet(tmp_path / "a.npz", event_data=records))
    assert (events.x.tolist(), events.y.tolist()) == ([1, 639], [2, 479])
    assert (events.t.tolist(), events.p.tolist()) == ([3, 2**40], [0, 1])
    wide = np.array(
        [(False, 3, 2, 1), (True, 2**40, 479, 639)], [("p", "<i4"), ("t", "<u8"), ("y", "<i4"), ("x", ">i4")]
    )
    assert_same(load_events(n_imagenet(tmp_path / "b.npz", event_data=wide)), events)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"events": np.zeros(3, RECORD)}, "'event_data' is missing; this"),
        ({"event_data": np.zeros((3, 4))}, "one record an event is needed"),
        ({"event_data": np.zeros(3)}, "structured array of x, y, t, p"),
        ({"event_data": np.array([{}], dtype=object)}, "Python objects"),
        ({"event_data": np.zeros(3, [("x", "u2"), ("y", "u2"), ("t", "i8")])}, "column 'p' is missing"),
        ({"event_data": np.zeros(3, [("x", "f4"), ("y", "u2"), ("t", "i8"), ("p", "?")])}, "'x' holds float32"),
        ({"event_data": np.zeros(0, RECORD)}, "no events"),
        ({"event_data": np.zeros(3, RECORD), "sensor": np.zeros(3)}, "'sensor' must be"),
        ({"event_data": np.array([(0, 0, 5, 0), (0, 0, 4, 0)], RECORD)}, "not sorted"),
    ],
)
def test_npz_that_is_not_n_imagenet(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "events.npz"
    np.savez(path, **arrays)
    with pytest.raises(EventFormatError, match=rf"events\.npz: .*{message}"):
        load_events(path)


def zipped(path: Path, shape: tuple[int, ...], contents: bytes) -> Path:
    header = io.BytesIO()
    npy_format.write_array_header_1_0(header, {"descr": RECORD, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("event_data.npy", header.getvalue() + contents)
    return path


def test_zip_bombs_and_lies_about_size(tmp_path: Path) -> None:
    with pytest.raises(EventFormatError, match="a zip bomb"):
        load_events(zipped(tmp_path / "bomb.npz", (4_000_000,), bytes(13 * 4_000_000)))
    with pytest.raises(EventFormatError, match="1,099,511,627,776 events are more than"):
        load_events(zipped(tmp_path / "shape.npz", (2**40,), b""))
    with pytest.raises(EventFormatError, match="ends after 26 of 130 bytes"):
        load_events(zipped(tmp_path / "short.npz", (10,), bytes(26)))
    with pytest.raises(EventFormatError, match="impossible shape"):
        load_events(zipped(tmp_path / "negative.npz", (-1,), bytes(26)))


def test_damaged_archives(tmp_path: Path) -> None:
    whole = n_imagenet(tmp_path / "whole.npz", event_data=np.zeros(2_000, RECORD)).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(4, len(whole), 6):
            damaged[at] ^= int(random.integers(1, 256))
        (tmp_path / "cut.npz").write_bytes(damaged[: int(random.integers(4, len(whole)))])
        with pytest.raises(EventFormatError, match=r"cut\.npz: "):
            load_events(tmp_path / "cut.npz")


# --- Prophesee

EVT2 = b"% evt 2.0\n% geometry 320x240\n% end\n"


def words(*values: int) -> bytes:
    return np.array(values, dtype="<u4").tobytes()


def test_evt2_time_counts_on_where_its_34_bits_begin_again(tmp_path: Path) -> None:
    high = [0x8FFF_FFFF, 0x8000_0000, 0x8000_0001]
    body = words(high[0], 0x1000_0000, high[1], 0x0040_0801, high[2], 0x1000_0000)
    (tmp_path / "a.raw").write_bytes(EVT2 + body)
    events = load_events(tmp_path / "a.raw")
    assert events.t.tolist() == [(2**28 - 1) << 6, (2**28 << 6) + 1, (2**28 + 1) << 6]
    assert (events.x.tolist(), events.y.tolist(), events.p.tolist()) == ([0, 1, 0], [0, 1, 0], [1, 0, 1])


def test_evt2_across_blocks_equals_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = made_events(3_000, width=320, height=240, span_us=2**34 - 1)
    save_events(events, tmp_path / "a.raw")
    whole = load_events(tmp_path / "a.raw")
    monkeypatch.setattr("edge.events.prophesee._BLOCK", 4 * 7)
    assert_same(read_here(tmp_path / "a.raw", Request()), whole)
    assert_same(read_here(tmp_path / "a.raw", Request(10**9, 10**9)), whole.window(10**9, 10**9))


def test_evt2_events_without_a_time_are_dropped_and_other_words_skipped(tmp_path: Path) -> None:
    body = words(0x1000_0000, 0x8000_0002, 0xA000_0001, 0xE000_0000, 0xF000_0000, 0x1000_0000)
    (tmp_path / "a.raw").write_bytes(EVT2 + body)
    assert load_events(tmp_path / "a.raw").t.tolist() == [128]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (EVT2 + words(0x8000_0000, 0x1000_0000)[:-1], "ends inside a word"),
        (EVT2 + words(0x8000_0000, 0x3000_0000), "unknown type"),
        (EVT2 + words(0x8000_0000, 0x1000_07FF), "outside the 320x240 sensor"),
        (EVT2 + words(0x8000_0002, 0x1000_0000, 0x8000_0001, 0x1000_0000), "not sorted"),
        (EVT2, "no events"),
        (EVT2 + words(0x1000_0000), "no events"),
        (b"% evt 2.0\n" + words(0x8000_0000, 0x1000_0000), "names no sensor size"),
        (b"% evt 2.1\n% geometry 320x240\n" + bytes(8), "encoding of Prophesee's is not supported"),
        (b"% date 2026\n", "names no encoding"),
        (b"% evt 3.0\n% geometry 99999x99999\n% end\n" + bytes(8), "can't be|no sensor|no events|damaged|outside"),
        ((FIXTURES / "evt3.raw").read_bytes()[:-1], "EVT3 words are truncated"),
    ],
)
def test_damaged_prophesee_recordings(tmp_path: Path, contents: bytes, message: str) -> None:
    (tmp_path / "a.raw").write_bytes(contents)
    with pytest.raises(EventFormatError, match=rf"a\.raw: .*({message})"):
        load_events(tmp_path / "a.raw")


def test_damaged_evt3_never_raises_anything_else(tmp_path: Path) -> None:
    whole = (FIXTURES / "evt3.raw").read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(80):
        damaged = bytearray(whole)
        for at in random.integers(80, len(whole), 20):
            damaged[at] = int(random.integers(0, 256))
        (tmp_path / "a.raw").write_bytes(damaged)
        try:
            load_events(tmp_path / "a.raw")
        except EventFormatError:
            refused += 1
    assert refused > 20


def test_missing_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evt3", None)
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(EventFormatError, match=r'pip install "eventspec\[prophesee\]"'):
        read_here(FIXTURES / "evt3.raw", Request())
    with pytest.raises(EventFormatError, match=r'pip install "eventspec\[aedat\]"'):
        aedat.read(FIXTURES / "events.aedat4", Request())


# --- AEDAT4


@pytest.mark.parametrize(
    "changes",
    [
        {96: 202, 241: 143, 415: 154},  # the library (2.3.0) panics in a panic here, and aborts its process
        {161: 200, 182: 202, 215: 64},  # and here
    ],
)
def test_damaged_aedat4_is_refused_and_does_not_take_the_process_along(tmp_path: Path, changes: dict[int, int]) -> None:
    damaged = bytearray((FIXTURES / "events.aedat4").read_bytes())
    for at, value in changes.items():
        damaged[at] = value
    (tmp_path / "a.aedat4").write_bytes(damaged)
    with pytest.raises(EventFormatError, match=r"a\.aedat4: .*(damaged, hostile|truncated or damaged)"):
        load_events(tmp_path / "a.aedat4")
    assert_same(load_events(FIXTURES / "events.aedat4"), truth())


@pytest.mark.parametrize("size", [14, 40, 700, 2_000])
def test_truncated_aedat4(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.aedat4").write_bytes((FIXTURES / "events.aedat4").read_bytes()[:size])
    with pytest.raises(EventFormatError, match=r"a\.aedat4: the AEDAT4 file is truncated or damaged"):
        load_events(tmp_path / "a.aedat4")
