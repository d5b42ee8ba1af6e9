"""Values of a file are never formatted, compared or walked through: lists that name each other would take for ever."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import EventFormatError
from edge.events import load_events, warm_up
from edge.events.pickled import read_pickled_dict
from tests.edge.events.test_npy import write_pickle

DEPTH = 48


def tangle(depth: int) -> bytes:
    """Opcodes that make a list of two times a list of two times ...: a few bytes a level, 2^depth when printed."""
    code = b"]\x94"  # an empty list, remembered as 0
    for level in range(1, depth):
        code += b"]\x94" + b"(h" + bytes([level - 1]) + b"h" + bytes([level - 1]) + b"e"
    return code


def tangled() -> bytes:
    """The last list of `tangle`, from the memo."""
    return b"h" + bytes([DEPTH - 1])


def deep() -> bytes:
    """A tuple of a tuple of a tuple ..."""
    return b")" + b"\x85" * 9_000


def cyclic() -> bytes:
    """A list that holds itself."""
    return b"]\x94h" + bytes([DEPTH]) + b"a"


def long_text() -> bytes:
    """A string of ten million letters."""
    return b"\x8d" + (10_000_000).to_bytes(8, "little") + b"x" * 10_000_000


def long_number() -> bytes:
    """An integer of 600 digits."""
    return b"\x8a\xff" + b"\x77" * 255


VALUES = {"tangled": tangled, "deep": deep, "cyclic": cyclic, "long text": long_text, "long number": long_number}


def places(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Pickles with the value wherever an array's parts stand."""
    begin = b"\x80\x04" + tangle(DEPTH)  # the lists stay below on the stack
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    dtype = b"cnumpy\ndtype\n\x8c\x02i8\x89\x88\x87R"
    yield "the whole", begin + value + b"."
    yield "a column", begin + b"}(\x8c\x01x" + value + b"\x8c\x01yK\x01\x8c\x01tK\x01\x8c\x01pK\x01u."
    yield "the sensor", begin + b"}(\x8c\x05width" + value + b"\x8c\x06height" + value + b"u."
    yield "a key", begin + b"}" + value + b"K\x01s."
    yield "a name", begin + value + value + b"\x93."
    yield "what a name is of", begin + value + b"\x8c\x05dtype\x93."
    yield "what is called", begin + value + b"\x85" + b"R."
    yield "a dtype", begin + b"cnumpy\ndtype\n" + value + b"\x85R."
    yield "a dtype's state", begin + dtype + value + b"b."
    yield "a dtype's order", begin + dtype + b"(K\x03" + value + b"NNNK\xffK\xffK\x00tb."
    yield "what an array begins with", begin + b"cnumpy.core.multiarray\n_reconstruct\n" + value + b"R."
    yield (
        "an array's first shape",
        (begin + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + value + b"C\x01btR."),
    )
    yield "an array's state", begin + array + value + b"b."
    yield "an array's shape", begin + array + b"(K\x01" + value + dtype + b"\x89C\x00tb."
    yield "an array's side", begin + array + b"(K\x01" + value + b"\x85" + dtype + b"\x89C\x00tb."
    yield "an array's contents", begin + array + b"(K\x01K\x01\x85" + dtype + b"\x89" + value + b"tb."


def test_a_file_of_358_bytes_or_less_is_refused_at_once(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "small.npy", b"\x80\x04" + tangle(26) + b"cnumpy\ndtype\nh\x19\x85R.")
    assert path.stat().st_size <= 358
    warm_up()
    with pytest.raises(EventFormatError):
        load_events(tmp_path / "absent.npy")  # a child waits now
    began = time.monotonic()
    with pytest.raises(EventFormatError, match=r"small\.npy: .*only numbers are accepted"):
        load_events(path)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("kind", VALUES)
def test_no_value_is_formatted_wherever_it_stands(tmp_path: Path, kind: str) -> None:
    value = VALUES[kind]()
    for place, contents in places(value):
        began = time.monotonic()
        path = write_pickle(tmp_path / "hostile.npy", contents)
        with pytest.raises(EventFormatError) as caught:
            load_events(path)
        said = str(caught.value)
        assert len(said) < 300 + len(str(path)), place
        assert "\n" not in said
        assert "xxx" not in said
        assert time.monotonic() - began < 3.0, place


@pytest.mark.parametrize("kind", VALUES)
def test_the_reader_itself_raises_nothing_else(kind: str) -> None:
    """Not only for the child's sake: no RecursionError gets out of it."""
    for _, contents in places(VALUES[kind]()):
        try:
            read_pickled_dict(contents)
        except EventFormatError:
            continue
