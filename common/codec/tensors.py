"""Tensors: hidden states of drafts, and frames' features."""

from __future__ import annotations

import math

from eventspec.v1 import speculation_pb2 as pb

from common.codec.parsing import reverse
from common.errors import MessageError
from common.types import Tensor

MAX_TENSOR_DIMS = 8
ITEM_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "int8": 1, "uint8": 1}
_DTYPES = {
    "float16": pb.DATA_TYPE_FLOAT16,
    "bfloat16": pb.DATA_TYPE_BFLOAT16,
    "float32": pb.DATA_TYPE_FLOAT32,
    "int8": pb.DATA_TYPE_INT8,
    "uint8": pb.DATA_TYPE_UINT8,
}


def tensor_to(tensor: Tensor) -> pb.Tensor:
    """As a message."""
    return pb.Tensor(dtype=_DTYPES[tensor.dtype], shape=tensor.shape, data=tensor.data)


def tensor_from(message: pb.Tensor, piece_of: int = 0) -> Tensor:
    """A tensor, or if `piece_of` is set, a piece of its so many bytes of data.

    Raises:
        MessageError: dtype, shape and number of bytes don't fit together.
    """
    dtype = reverse(_DTYPES, message.dtype, "tensor dtype")
    if not 1 <= len(message.shape) <= MAX_TENSOR_DIMS:
        raise MessageError(f"a tensor needs 1 to {MAX_TENSOR_DIMS} dimensions, not {len(message.shape)}")
    shape = tuple(message.shape)
    size = math.prod(shape) * ITEM_SIZES[dtype]
    got = piece_of or len(message.data)
    if size != got:
        raise MessageError(f"tensor {dtype}{list(shape)} needs {size} bytes, got {got}")
    if piece_of and not 0 < len(message.data) <= piece_of:
        raise MessageError(f"a piece of a tensor of {size} bytes has {len(message.data)}")
    return Tensor(dtype, shape, message.data)
