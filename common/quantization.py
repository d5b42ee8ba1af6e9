"""Quantised linear layers through bitsandbytes: NF4 4-bit or LLM.int8 8-bit, on CPU and CUDA alike."""

import logging
from typing import Any, Literal, get_args

import torch
from torch import nn

from common.errors import ModelError, SettingsError

Quantization = Literal["4bit", "8bit"]

_BLOCK = 64  # bitsandbytes' CPU kernels want sizes that this divides: outputs always, inputs with a single row
_INT8_OUTLIER_THRESHOLD = 6.0  # LLM.int8's own default: columns above it are computed unquantised
# It warns at every 8-bit product that its input is cast, and once that an optional package is missing.
_CHATTER = ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")


def check_quantization(quantization: str | None) -> Quantization | None:
    """`quantization` if it is one that exists.

    Raises:
        SettingsError: it is none.
    """
    if quantization is not None and quantization not in get_args(Quantization):
        raise SettingsError(f"quantization must be 4bit or 8bit, not {quantization}")
    return quantization  # type: ignore[return-value]


def quantize_linears(root: nn.Module, quantization: Quantization, *, dtype: torch.dtype, device: torch.device) -> int:
    """Replace every `nn.Linear` under `root` by its quantised version on `device`; returns how many.

    Layers whose sizes aren't multiples of 64 stay as they are: the kernels don't take them, and such
    layers are too small for it to matter.

    Raises:
        ModelError: bitsandbytes isn't installed.
    """
    bitsandbytes = _import_bitsandbytes()
    replaced = 0
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.out_features % _BLOCK == 0 and child.in_features % _BLOCK == 0:
                setattr(parent, name, _quantized(bitsandbytes, child, quantization, dtype, device))
                replaced += 1
    return replaced


def _import_bitsandbytes() -> Any:
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ImportError as error:
        raise ModelError("quantised models need bitsandbytes: pip install bitsandbytes") from error
    return bitsandbytes


def _quantized(
    bitsandbytes: Any, linear: nn.Linear, quantization: Quantization, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    size = (linear.in_features, linear.out_features)
    weight = linear.weight.detach().to(dtype=dtype, copy=True)
    if quantization == "4bit":
        layer = bitsandbytes.nn.Linear4bit(
            *size, bias=linear.bias is not None, compute_dtype=dtype, quant_type="nf4", device="meta"
        )
        layer.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=layer)
    else:
        layer = bitsandbytes.nn.Linear8bitLt(
            *size,
            bias=linear.bias is not None,
            has_fp16_weights=False,
            threshold=_INT8_OUTLIER_THRESHOLD,
            device="meta",
        )
        layer.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    if linear.bias is not None:
        layer.bias = nn.Parameter(linear.bias.detach().to(dtype=dtype, copy=True), requires_grad=False)
    module: nn.Module = layer.to(device)
    return module
