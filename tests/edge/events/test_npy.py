"""EventGPT's npy: round trips, other writers' dtypes, and files that try to do harm."""

import builtins
import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from common.errors import EventFormatError
from edge.events import load_events, save_events
from edge.events.pickled import read_pickled_dict
from tests.edge.events.made import assert_same, made_events
from tests.edge.events.recordings import recording


def write_dict(path: Path, columns: Any) -> Path:
    np.save(path, np.array(columns, dtype=object), allow_pickle=True)
    return path


def write_pickle(path: Path, contents: bytes) -> Path:
    """A .npy with numpy's header for an object, and any pickle behind it."""
    with path.open("wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(contents)
    return path


def columns_of(count: int = 20) -> dict[str, Any]:
    events = made_events(count, span_us=1_000)
    return {"x": events.x, "y": events.y, "t": events.t, "p": events.p}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 2_000), st.integers(1, 2_000), st.integers(-(2**40), 2**40), st.integers(0, 99)
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, count: int, width: int, height: int, start: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("npy") / "events.npy"
    events = made_events(count, width=width, height=height, start_us=start, seed=seed)
    save_events(events, path)
    assert_same(load_events(path), events)


def test_the_original_reads_what_is_written(tmp_path: Path) -> None:
    events = made_events(50)
    save_events(events, tmp_path / "events.npy")
    columns = np.load(tmp_path / "events.npy", allow_pickle=True).item()
    for name in ("x", "y", "t", "p"):
        np.testing.assert_array_equal(columns[name], getattr(events, name))


@pytest.mark.parametrize("protocol", [3, 4])
def test_the_protocols_of_numpy_save_are_read(tmp_path: Path, protocol: int) -> None:
    columns = columns_of()
    path = write_pickle(tmp_path / "events.npy", pickle.dumps(np.array(columns, dtype=object), protocol=protocol))
    np.testing.assert_array_equal(load_events(path).t, columns["t"])


@pytest.mark.parametrize("protocol", [2, 5])
def test_other_protocols_are_refused(tmp_path: Path, protocol: int) -> None:
    """numpy.save has never written 5, and not 2 since Python 2; both need more functions than arrays do."""
    contents = pickle.dumps(np.array(columns_of(), dtype=object), protocol=protocol)
    with pytest.raises(EventFormatError, match="something that is no part of a numpy array"):
        load_events(write_pickle(tmp_path / "events.npy", contents))


def test_old_and_new_names_of_numpy_are_read() -> None:
    contents = pickle.dumps(np.array(columns_of(), dtype=object), protocol=4)
    new, old = b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray"
    assert contents.count(new) == 1
    frame = contents.index(b"\x95") + 1
    length = int.from_bytes(contents[frame : frame + 8], "little") - 1
    renamed = contents.replace(new, old)
    renamed = renamed[:frame] + length.to_bytes(8, "little") + renamed[frame + 8 :]
    assert set(read_pickled_dict(renamed)) == {"x", "y", "t", "p"}


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64", ">i8", "uint64"])
def test_arithmetic_is_not_done_in_the_files_dtype(tmp_path: Path, dtype: str) -> None:
    """uint16 times, as in EventGPT's own sample: a window past 65,535 us must not wrap."""
    columns = columns_of(3) | {"t": np.array([0, 30_000, 65_535]).astype(dtype)}
    path = write_dict(tmp_path / "events.npy", columns)
    assert load_events(path).t.dtype == np.int64
    assert len(load_events(path, start_us=1, duration_us=100_000)) == 2
    assert load_events(path, start_us=0, duration_us=65_535).t.tolist() == [0, 30_000]


def test_window_counts_from_the_first_event_and_keeps_the_clock(tmp_path: Path) -> None:
    events = made_events(1_000, start_us=51_000_000_000)
    save_events(events, tmp_path / "events.npy")
    start = int(events.t[0])
    window = load_events(tmp_path / "events.npy", start_us=10_000, duration_us=20_000)
    assert_same(window, events.window(start + 10_000, 20_000))
    assert len(window) > 300


def test_the_sensor_can_be_given(tmp_path: Path) -> None:
    path = write_dict(tmp_path / "wide.npy", columns_of(2) | {"x": np.array([0, 1279])})
    with pytest.raises(EventFormatError, match=r"wide\.npy: event 1 .* outside the 640x480 sensor"):
        load_events(path)
    assert load_events(path, sensor=(1280, 720)).width == 1280


# --- files that try to do harm


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def hostile(mark: str) -> dict[str, Any]:
    """Objects whose unpickling would create the file `mark`, or do other harm."""
    command = f"touch {mark}"
    return {
        "os.system": Calls(os.system, command),
        "subprocess": Calls(subprocess.Popen, ["touch", mark]),
        "eval": Calls(eval, f"__import__('os').system({command!r})"),
        "exec": Calls(exec, f"open({mark!r}, 'w').close()"),
        "open": Calls(builtins.open, mark, "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "numpy fromfile": Calls(np.fromfile, "/etc/hostname"),
        "numpy save": Calls(np.save, mark, 1),
        "numpy memmap": Calls(np.memmap, mark, "u1", "w+", 0, (1,)),
        "numpy load": Calls(np.load, mark, None, True),
        "numpy frombuffer": Calls(np.frombuffer, b"12345678", "O"),
        "ndarray over foreign memory": Calls(np.ndarray, (1,), "O", b"\x01" * 8),
        "ndarray of terabytes": Calls(np.ndarray, (2**42,), "u1"),
        "dtype of objects": Calls(np.dtype, [("x", "O")]),
    }


@pytest.mark.parametrize("name", sorted(hostile("")))
@pytest.mark.parametrize("place", ["a column", "the whole", "a key's neighbour"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path: Path, name: str, place: str, protocol: int) -> None:
    mark = tmp_path / "ran"
    harm = hostile(str(mark))[name]
    columns = columns_of()
    contents = {"a column": columns | {"x": harm}, "the whole": harm, "a key's neighbour": columns | {"z": [harm]}}
    packed = pickle.dumps(contents[place], protocol)
    for candidate in (packed, pickle.dumps(np.array(contents[place], dtype=object), protocol)):
        path = write_pickle(tmp_path / "hostile.npy", candidate)
        with pytest.raises(EventFormatError, match=r"hostile\.npy: .*refused|only numbers"):
            load_events(path)
    assert not mark.exists()


HAND_WRITTEN = {
    "protocol 0 os.system": b"cos\nsystem\n(S'touch %s'\ntR.",
    "INST": b"(S'touch %s'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch %s'\no.",
    "NEWOBJ": b"\x80\x02cos\nsystem\nU\x01a\x85\x81.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02Pabc\n.",
    "build on a name": b"\x80\x02cnumpy\ndtype\n}U\x01ak\x01b.",
    "ndarray called": b"\x80\x02cnumpy\nndarray\n(K\x01tR.",
    "reconstruct of another type": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85)\x87R.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
    "memo bomb": b"\x80\x02]r\xff\xff\xff\x7f.",
    "list of nothing": b"\x80\x02K\x01K\x02a.",
    "keys that hash forever": b"\x80\x02}" + b"K\x01" + b"q\x00h\x00h\x00\x87" * 60 + b"K\x01s.",
    "stack underflow": b"\x80\x02aR.",
    "unknown memo": b"\x80\x02h\x05.",
    "endless": b"\x80\x02" + b"]" * 20_000 + b".",
    "no end": b"\x80\x02]",
    "huge string": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "not even a pickle": b"\xff\xfe\xfd",
    "nothing": b"",
}


@pytest.mark.parametrize("name", sorted(HAND_WRITTEN))
def test_hand_written_pickles_are_refused(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    path = write_pickle(tmp_path / "hostile.npy", HAND_WRITTEN[name].replace(b"%s", str(mark).encode()))
    with pytest.raises(EventFormatError, match=r"hostile\.npy: the "):
        load_events(path)
    assert not mark.exists()


def test_the_payloads_do_run_in_pickle_itself(tmp_path: Path) -> None:
    """So that the tests above can't pass on payloads that are duds."""
    for name in ("os.system", "eval", "exec", "open"):
        mark = tmp_path / name
        pickle.loads(pickle.dumps(hostile(str(mark))[name]))
        assert mark.exists()
    mark = tmp_path / "by hand"
    pickle.loads(HAND_WRITTEN["INST"].replace(b"%s", b"'" + str(mark).encode() + b"'").replace(b"'touch '", b"'touch "))


class Claim:
    """Pickles as numpy pickles an array, with any shape and dtype claimed for its contents."""

    def __init__(self, shape: tuple[int, ...], dtype: str, contents: Any) -> None:
        self.state = (1, shape, np.dtype(dtype), False, contents)

    def __reduce__(self) -> tuple[Any, ...]:
        made = np.zeros(1).__reduce__()
        return made[0], made[1], self.state


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2**40,), "u1", "size and contents disagree"),
        ((2**62, 4), "u8", "impossible shape"),
        ((-1,), "u1", "impossible shape"),
        ((16,), "O8", "array of objects"),
        ((16,), "V1", "only numbers are accepted"),
        ((16,), "M8", "only numbers are accepted"),
    ],
)
def test_absurd_arrays_are_refused_before_memory_is_taken(shape: tuple[int, ...], dtype: str, message: str) -> None:
    with pytest.raises(EventFormatError, match=message):
        read_pickled_dict(pickle.dumps({"x": Claim(shape, dtype, b"\0" * 16)}))
    read_pickled_dict(pickle.dumps({"x": Claim((16,), "u1", b"\0" * 16)}))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_pickles_never_raise_anything_else(data: st.DataObject) -> None:
    contents = bytearray(
        pickle.dumps(np.array(columns_of(3), dtype=object), protocol=data.draw(st.sampled_from([3, 4])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    try:
        columns = read_pickled_dict(bytes(contents[: data.draw(st.integers(0, len(contents)))]))
    except EventFormatError:
        return
    assert isinstance(columns, dict)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": np.array([5, 3])}, "not sorted"),
        ({"x": np.array([0, 640])}, "outside the 640x480 sensor"),
        ({"x": np.array([0, -1])}, "'x' has values outside 0 to 65,535"),
        ({"y": np.array([0, 70_000])}, "'y' has values outside 0 to 65,535"),
        ({"t": np.array([0, 2**63], np.uint64)}, "'t' has values outside"),
        ({"p": np.array([-1, 1])}, "'p' has values outside 0 to 255"),
        ({"p": np.array([2, 1])}, "event 0 has another polarity"),
        ({"t": np.array([0.0, 1.0])}, "'t' holds float64; convert it to integers of microseconds"),
        ({"x": np.array([1, 2, 3])}, "different lengths"),
        ({"x": np.array([[1], [2]])}, "shape"),
        ({"x": [1, 2]}, "'x' is a list"),
    ],
)
def test_contents_that_make_no_sense(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_dict(tmp_path / "events.npy", columns_of(2) | change)
    with pytest.raises(EventFormatError, match=rf"events\.npy: .*{message}"):
        load_events(path)


def test_other_contents(tmp_path: Path) -> None:
    renamed = {"xs": np.arange(2), "y": np.arange(2), "t": np.arange(2), "p": np.arange(2)}
    with pytest.raises(EventFormatError, match=r"'x' is missing; events need"):
        load_events(write_dict(tmp_path / "keys.npy", renamed))
    with pytest.raises(EventFormatError, match="no dict"):
        load_events(write_dict(tmp_path / "text.npy", "hello"))
    np.save(tmp_path / "plain.npy", np.zeros((5, 4)))
    with pytest.raises(EventFormatError, match="array of float64 with 2 dimensions"):
        load_events(tmp_path / "plain.npy")
    empty = {name: np.zeros(0, np.int64) for name in "xytp"}
    with pytest.raises(EventFormatError, match="holds no events"):
        load_events(write_dict(tmp_path / "empty.npy", empty))


def test_every_truncation_of_a_real_recording_is_clear(tmp_path: Path) -> None:
    whole = recording("sample1.npy").read_bytes()
    for size in [*range(0, 400, 7), 10_000, 300_000, 700_000, len(whole) - 1]:
        path = tmp_path / "cut.npy"
        path.write_bytes(whole[:size])
        with pytest.raises(EventFormatError, match=r"cut\.npy: "):
            load_events(path)


def test_a_stream_of_bytes_is_not_needed_twice() -> None:
    """The reader takes columns straight from the file's bytes: read-only views, no copies by numpy."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(columns_of(), dtype=object), allow_pickle=True)
    buffer.seek(128)
    assert not read_pickled_dict(buffer.read())["x"].flags.writeable
