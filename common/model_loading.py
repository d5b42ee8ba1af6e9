"""Puts weights into a model without holding it twice: built empty, filled from files, quantised, moved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from common.errors import ModelError, SettingsError
from common.model_config import one_line, some
from common.quantization import Quantization, quantize_linears

Model = TypeVar("Model", bound=nn.Module)
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """The torch dtype of that name.

    Raises:
        SettingsError: models don't run in it.
    """
    found = _DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise SettingsError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype}")
    return found


def build_empty(build: Callable[[], Model]) -> Model:
    """`build()` with parameters that take no memory yet; the buffers that no checkpoint holds are computed.

    Raises:
        ModelError: the dimensions don't make a model.
    """
    try:
        with torch.device("meta"):
            model = build()
    except ModelError:
        raise
    except Exception as error:  # transformers' validators raise errors of many kinds
        raise ModelError(f"config.json doesn't describe a model ({one_line(error)}): check it") from error
    for module in model.modules():
        if isinstance(module, LlamaRotaryEmbedding):
            fresh = LlamaRotaryEmbedding(module.config)
            module.register_buffer("inv_freq", fresh.inv_freq, persistent=False)
            module.register_buffer("original_inv_freq", fresh.original_inv_freq, persistent=False)
        elif isinstance(module, CLIPVisionEmbeddings):
            positions = torch.arange(module.num_positions).unsqueeze(0)
            module.register_buffer("position_ids", positions, persistent=False)
    return model


def fill(model: nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
    """Give `model` the weights in `state`, as they are, without copying them.

    Raises:
        ModelError: weights are missing, unknown, or of another shape or kind than the model's.
    """
    expected = model.state_dict()
    problems = []
    if missing := expected.keys() - state.keys():
        problems.append(f"{len(missing)} weights are missing ({some(missing)})")
    if unknown := state.keys() - expected.keys():
        problems.append(f"{len(unknown)} are unknown ({some(unknown)})")
    both = expected.keys() & state.keys()
    if wrong := {
        f"{key}: {list(state[key].shape)} instead of {list(expected[key].shape)}"
        for key in both
        if state[key].shape != expected[key].shape
    }:
        problems.append(f"{len(wrong)} have another shape ({some(wrong)})")
    if packed := {f"{key}: {state[key].dtype}" for key in both if not state[key].is_floating_point()}:
        problems.append(f"{len(packed)} are not floating point ({some(packed)}); give an unquantised checkpoint")
    if problems:
        raise ModelError(
            f"the weights in {folder} don't fit its config.json: {'; '.join(problems)}. "
            "Is the download complete, and of this kind of model?"
        )
    model.load_state_dict(dict(state), assign=True)


def finish(
    model: Model,
    layers: nn.Module,
    *,
    dtype: torch.dtype,
    quantization: Quantization | None,
    device: torch.device,
) -> Model:
    """Bring a filled model to its dtype and device, with the linear layers inside `layers` quantised.

    It is then in evaluation mode, and none of its parameters asks for a gradient.
    """
    if quantization is not None:
        quantize_linears(layers, quantization, dtype=dtype, device=device)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.is_floating_point():
                # Copied in any case: the file behind a mapped weight may be replaced while the model runs.
                parameter.data = parameter.data.to(device=device, dtype=dtype, copy=True)
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, buffer.to(device), persistent=False)
    return model.eval().requires_grad_(False)
