"""The header of numpy's `.npy` format, for the two formats that contain it."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from common.errors import EventFormatError


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array that follows in `file`.

    Raises:
        EventFormatError: the header is damaged.
    """
    try:
        if npy_format.read_magic(file) == (1, 0):
            shape, _, dtype = npy_format.read_array_header_1_0(file)
        else:
            shape, _, dtype = npy_format.read_array_header_2_0(file)
    except Exception as error:  # numpy reads it with Python's tokenizer and parser, whose errors are of many kinds
        raise EventFormatError("the .npy header is damaged; copy the file again") from error
    if any(not 0 <= side < 2**62 for side in shape):
        raise EventFormatError("the .npy header names an impossible shape; copy the file again")
    return shape, dtype
