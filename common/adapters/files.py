"""Making adapters, writing them to folders, reading them: safetensors and JSON, nothing that could run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.adapters.attention import AttentionAdapter, CausalAdapter, FusedAdapter
from common.adapters.base import Adapter
from common.adapters.bottleneck import BottleneckAdapter, SplitAdapter
from common.adapters.config import AdapterConfig, Level
from common.adapters.tokens import TokenAdapter
from common.adapters.wide import WideAdapter
from common.devices import as_device
from common.errors import ModelError
from common.model_config import one_line, read_config
from common.model_loading import as_dtype, fill
from common.shipped import adapter_folder
from common.video_llava import hash_weights

AnyAdapter = Adapter | TokenAdapter

_WEIGHTS = "model.safetensors"
_DEFAULTS: dict[Level, dict[str, int]] = {
    Level.L1: {"width": 256, "blocks": 1},
    Level.L1S: {"width": 256},
    Level.L2: {"width": 256, "blocks": 3},
    Level.L3: {"width": 1024, "blocks": 2},
    Level.L4: {"width": 2048},
    Level.L5: {"width": 2048, "positions": 512},
    Level.L5F: {"width": 2048, "positions": 512},
    Level.TOKENS: {"width": 2048, "blocks": 4, "positions": 64, "vocab_size": 32_000, "embedding": 512},
}


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """An adapter and the hash of what was read; equal hashes mean equal adapters."""

    adapter: AnyAdapter
    fingerprint: str


def adapter_config(level: Level | str, drafter_hidden: int = 0, target_hidden: int = 0, **sizes: Any) -> AdapterConfig:
    """The level's own sizes, or those named: see `AdapterConfig`.

    Raises:
        ModelError: there is no such level or size, or the sizes don't fit together.
    """
    names = {known.value.lower(): known for known in Level}
    found = level if isinstance(level, Level) else names.get(level.lower())
    if found is None:
        raise ModelError(f"there is no adapter level {level!r}; there are {', '.join(k.value for k in Level)}")
    try:
        return AdapterConfig(found, drafter_hidden, target_hidden, **{**_DEFAULTS[found], **sizes})
    except TypeError as error:
        raise ModelError(f"an adapter has no such size ({error})") from error


def create_adapter(level: Level | str, drafter_hidden: int = 0, target_hidden: int = 0, **sizes: Any) -> AnyAdapter:
    """A fresh adapter, in float32 on torch's default device (`with torch.device("meta")` takes no memory).

    Args:
        level: such as "L1"; `Level` lists them.
        drafter_hidden: width of the drafter's states; unused by "tokens".
        target_hidden: width of the target's states; unused by "tokens".
        **sizes: others than the level's own: layers, width, blocks, heads, positions, token_fusion, vocab_size,
            embedding (`AdapterConfig` says what each is).

    Raises:
        ModelError: there is no such level or size, or the sizes don't fit together.
    """
    return build_adapter(adapter_config(level, drafter_hidden, target_hidden, **sizes))


def build_adapter(config: AdapterConfig) -> AnyAdapter:
    """A fresh adapter of these sizes."""
    match config.level:
        case Level.L1 | Level.L2:
            return BottleneckAdapter(config)
        case Level.L1S:
            return SplitAdapter(config)
        case Level.L3:
            return WideAdapter(config)
        case Level.L4:
            return AttentionAdapter(config)
        case Level.L5:
            return CausalAdapter(config)
        case Level.L5F:
            return FusedAdapter(config)
        case Level.TOKENS:
            return TokenAdapter(config)


def save_adapter(adapter: AnyAdapter, folder: str | Path, *, dtype: torch.dtype | str | None = None) -> str:
    """Write `config.json` and `model.safetensors` into `folder` (created if missing); returns the fingerprint.

    Args:
        adapter: to be written.
        folder: where to.
        dtype: element type of the file; by default the adapter's own.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = None if dtype is None else as_dtype(dtype)
    state = {name: tensor.detach().to("cpu", kept).contiguous() for name, tensor in adapter.state_dict().items()}
    partial = folder / f".{_WEIGHTS}"  # a reader never sees half a file
    save_file(state, partial)
    (folder / "config.json").write_text(json.dumps(adapter.config.to_json(), indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / _WEIGHTS)
    return _fingerprint(adapter.config, state)


def load_adapter(
    folder: str | Path, *, dtype: torch.dtype | str = torch.float32, device: str | torch.device = "cpu"
) -> LoadedAdapter:
    """The adapter in `folder` (or the shipped one of that name), whatever its level, ready to be used.

    It needs no gradients and is in evaluation mode.

    Raises:
        ModelError: the folder is missing, broken, or holds something else; the message says what to do.
        SettingsError: dtype or device don't exist here.
    """
    folder = adapter_folder(folder)
    kind, place = as_dtype(dtype), as_device(device)
    config = AdapterConfig.from_json(read_config(folder))
    state = _read(folder)
    with torch.device("meta"):
        adapter = build_adapter(config)
    fill(adapter, state, folder)
    mark = _fingerprint(config, state)
    return LoadedAdapter(adapter.to(device=place, dtype=kind).eval().requires_grad_(False), mark)


def _read(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    if not path.is_file():
        raise ModelError(f"{folder} has no {_WEIGHTS}: adapters are read from safetensors alone")
    try:
        return {name: tensor.clone() for name, tensor in load_file(path).items()}  # not mapped: it may be replaced
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is truncated or not safetensors ({one_line(error)}): copy it again") from error


def _fingerprint(config: AdapterConfig, state: dict[str, Tensor]) -> str:
    return hash_weights(state, json.dumps(config.to_json(), sort_keys=True))[:32]
