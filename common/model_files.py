"""Reads the weights of a model folder: safetensors or torch files, in one piece or in shards.

Torch files are pickles: they are read with `weights_only=True`, which admits tensors and refuses everything
else, so nothing in them runs. Whatever is wrong with a folder becomes one `ModelError` that says what to do.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from common.errors import ModelError
from common.model_config import LONGEST_NAME, one_line, read_json, some
from common.weight_files import WEIGHTS

StateDict = dict[str, Tensor]


def read_weights(folder: Path) -> StateDict:
    """All weights of a model folder, on the CPU, as they lie in its files (mapped where possible).

    Raises:
        ModelError: there are no weights, a file is missing, truncated, or holds more than weights.
    """
    for whole, index in WEIGHTS:
        if (folder / whole).is_file():
            return _read_file(folder / whole)
        if (folder / index).is_file():
            return _read_shards(folder / index)
    names = " or ".join(whole for whole, _ in WEIGHTS)
    raise ModelError(f"{folder} has no weights ({names}, in one piece or with an index): download it again")


def rename_keys(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> StateDict:
    """`state` with key prefixes replaced; of several prefixes that fit, the longest one counts."""
    ordered = sorted(prefixes, key=len, reverse=True)
    renamed: StateDict = {}
    for key, tensor in state.items():
        old = next((prefix for prefix in ordered if key.startswith(prefix)), "")
        new = prefixes.get(old, "") + key[len(old) :]
        if new in renamed:
            shown = new[:LONGEST_NAME]
            raise ModelError(f"the weight {shown} occurs twice, under two spellings of its name: convert it again")
        renamed[new] = tensor
    return renamed


def _read_shards(index: Path) -> StateDict:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError(f"{index} has no weight_map from weights to files: download it again")
    state: StateDict = {}
    for name in sorted(set(weight_map.values())):
        path = index.parent / name
        if Path(name).name != name or not path.is_file():
            shown = name[:LONGEST_NAME]
            raise ModelError(f"{index.name} names the file {shown}, which is not in {index.parent}: download it again")
        state.update(_read_file(path))
    if lost := weight_map.keys() - state.keys():
        raise ModelError(f"{index} promises {some(lost)}, which its files don't have: download the model again")
    return state


def _read_file(path: Path) -> StateDict:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path} is truncated or not safetensors ({one_line(error)}): download it again"
            ) from error
    return _read_torch_file(path)


def _read_torch_file(path: Path) -> StateDict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a hostile or truncated pickle can fail in any way
        raise ModelError(
            f"{path} is truncated or holds more than weights; it was refused and nothing in it was run "
            f"({one_line(error)}): download it again, or convert it to safetensors where it was made"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} doesn't hold a dictionary of weights: convert it to safetensors where it was made")
    return dict(state)
