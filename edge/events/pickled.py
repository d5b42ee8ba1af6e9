"""Read the one kind of pickle that event files use, a dict of numpy arrays, without unpickling anything.

A pickle is a program. `pickle` runs it, and so can be made to run anything. Here a small machine interprets
just the steps that a dict of arrays needs, with stand-ins where numpy's functions would be called. It has no
means to import or to call: an opcode or a name that isn't part of a plain array is refused, and nothing of
the file has been run. The standard library's `pickletools.genops` splits the bytes into opcodes.

Values of the file are never formatted, compared with each other or walked through: lists that name each other would
take for ever. Their types are looked at, and the sizes of those that are as they must be.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from common.errors import EventFormatError

_MAX_STEPS = 10_000  # a dict of four arrays takes about 150
_MAX_LINE = 1_024  # bytes of a name
_MAX_DIMENSIONS, _MAX_SIDE = 32, 2**62
_DTYPE = re.compile(r"b1|[ui][1248]|f[248]|O8")
_RECONSTRUCT, _NDARRAY, _DTYPE_CLASS = "_reconstruct", "ndarray", "dtype"
_NAMES = {
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE_CLASS,
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
    | {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(slots=True)
class _Name:
    """Stands for one of numpy's names."""

    name: str


@dataclass(slots=True)
class _Dtype:
    """Stands for a dtype while it is being put together."""

    code: str
    order: str = "|"


@dataclass(slots=True)
class _Array:
    """Stands for an array; `value` becomes the array, or what a 0-d object array holds."""

    value: Any = None


class _Mark:
    """Marks a place on the stack."""


def read_pickled_dict(data: bytes | BinaryIO) -> dict[str, Any]:
    """The dict in a pickled 0-d object array, as `numpy.save` writes one: arrays and numbers by name.

    Raises:
        EventFormatError: the pickle is damaged, or holds or does anything else.
    """
    machine = _Machine()
    source = _Bounded(io.BytesIO(data) if isinstance(data, bytes) else data)
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            if steps > _MAX_STEPS:
                raise EventFormatError("the pickle is far longer than a dict of four arrays; it may be hostile")
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise EventFormatError("the pickle is truncated or damaged; copy the file again") from error
    return machine.result()


class _Bounded:
    """A file as `genops` reads it: a length that the file names and doesn't have takes no memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        at = file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(at)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._end - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline(_MAX_LINE)

    def tell(self) -> int:
        return self._file.tell()


class _Machine:
    """A stack, a memo, and the steps."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        else:
            action = _ACTIONS.get(name)
            if action is None:
                raise EventFormatError(f"the pickle uses {name}, which no array needs; refused, nothing was run")
            action(self, argument)

    def result(self) -> dict[str, Any]:
        value = self._stack[-1] if self._stack else None
        contents = value.value if isinstance(value, _Array) else value
        if not isinstance(contents, dict):
            raise EventFormatError("the file holds no dict of x, y, t, p, as EventGPT's files do")
        return {key: item.value if isinstance(item, _Array) else item for key, item in contents.items()}

    def ignore(self, _: Any) -> None:
        """PROTO, FRAME, STOP: nothing to do."""

    def mark(self, _: Any) -> None:
        self._stack.append(_Mark())

    def since_mark(self) -> list[Any]:
        items = []
        while not isinstance(top := self._stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def tuple(self, _: Any) -> None:
        self._stack.append(tuple(self.since_mark()))

    def empty_list(self, _: Any) -> None:
        self._stack.append([])

    def append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def appends(self, _: Any) -> None:
        self._extend(self.since_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise EventFormatError("the pickle appends to something that is no list; refused")
        self._stack[-1].extend(items)

    def empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def set_items(self, _: Any) -> None:
        self._update(self.since_mark())

    def _update(self, flat: list[Any]) -> None:
        keys, values = flat[::2], flat[1::2]
        if not isinstance(self._stack[-1], dict) or not all(isinstance(key, str) for key in keys):
            raise EventFormatError("the pickle holds a dict whose keys are no strings; refused")
        self._stack[-1].update(zip(keys, values, strict=True))

    def put(self, argument: Any) -> None:
        self._memo[argument] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, argument: Any) -> None:
        self._stack.append(self._memo[argument])

    def global_name(self, argument: Any) -> None:
        self._push_name(str(argument))

    def stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        known = isinstance(name, str) and isinstance(module, str) and len(name) + len(module) < _MAX_LINE
        self._push_name(f"{module} {name}" if known else "")

    def _push_name(self, name: str) -> None:
        if name not in _NAMES:
            raise EventFormatError(
                "the pickle asks for something that is no part of a numpy array: "
                "the file may be hostile; it was refused and nothing was run"
            )
        self._stack.append(_Name(_NAMES[name]))

    def reduce(self, _: Any) -> None:
        """What `pickle` would call: here only beginnings of a dtype or an array."""
        arguments, function = self._stack.pop(), self._stack.pop()
        called = function.name if isinstance(function, _Name) else None
        if called == _RECONSTRUCT and _is_empty_array(arguments):
            self._stack.append(_Array())
        elif called == _DTYPE_CLASS and isinstance(arguments, tuple) and arguments:
            self._stack.append(_Dtype(_dtype_code(arguments[0])))
        else:
            raise EventFormatError("the pickle calls something that no array needs; refused, nothing was run")

    def build(self, _: Any) -> None:
        """Completes a dtype or an array."""
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, _Dtype):
            target.order = _byte_order(state)
        elif isinstance(target, _Array):
            target.value = _array_value(state)
        else:
            raise EventFormatError("the pickle changes something that is no array; refused, nothing was run")


_ACTIONS = {
    "PROTO": _Machine.ignore,
    "FRAME": _Machine.ignore,
    "STOP": _Machine.ignore,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple,
    "EMPTY_LIST": _Machine.empty_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "EMPTY_DICT": _Machine.empty_dict,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _is_empty_array(arguments: Any) -> bool:
    """The arguments with which numpy begins every array: (ndarray, (0,), b'b')."""
    return (
        isinstance(arguments, tuple)
        and len(arguments) == 3
        and isinstance(arguments[0], _Name)
        and arguments[0].name == _NDARRAY
        and arguments[1:] == ((0,), b"b")
    )


def _dtype_code(code: Any) -> str:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise EventFormatError("the pickle holds an array of another dtype; only numbers are accepted")
    return code


def _byte_order(state: Any) -> str:
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
        raise EventFormatError("the pickle holds a damaged dtype; copy the file again")
    if state[2:5] != (None, None, None):
        raise EventFormatError("the pickle holds a structured dtype; only plain columns are accepted")
    return str(state[1])


def _array_value(state: Any) -> Any:
    """From numpy's (version, shape, dtype, Fortran order, contents) to the array, sizes checked first."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
        raise EventFormatError("the pickle holds a damaged array; copy the file again")
    _, shape, dtype, fortran, contents = state
    known = isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS
    if not known or not all(type(side) is int and 0 <= side < _MAX_SIDE for side in shape):
        raise EventFormatError("the pickle holds an array of an impossible shape; copy the file again")
    if dtype.code == "O8":
        if shape != () or not isinstance(contents, list) or len(contents) != 1:
            raise EventFormatError("the pickle holds an array of objects; only arrays of numbers are accepted")
        return contents[0]
    real = np.dtype(dtype.order + dtype.code)
    if not isinstance(contents, bytes) or len(contents) != math.prod(shape) * real.itemsize:
        raise EventFormatError("the pickle holds an array whose size and contents disagree; copy the file again")
    return np.frombuffer(contents, dtype=real).reshape(shape, order="F" if fortran else "C")
