"""Reads and writes EventGPT checkpoints: the original's layout and the project's own.

Both have a `config.json` and the same weights. The original's config lacks the vision tower's dimensions;
they are taken from the tower's own config and from the weights themselves.
"""

import dataclasses
import json
import logging
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from common.devices import as_device
from common.errors import MismatchError, ModelError
from common.model_config import read_config
from common.model_files import StateDict, read_weights, rename_keys
from common.model_loading import as_dtype, build_empty, fill, finish
from common.quantization import check_quantization
from common.tokenizer import Tokenizer
from edge.eventgpt.config import MODEL_TYPE, EventGPTConfig
from edge.eventgpt.model import EventGPT
from edge.eventgpt.original import config_from_original, tower_config

_log = logging.getLogger(__name__)

_TOWER = "model.visual_tower.visual_tower."
TOWER_FROM = "vision_tower_from"
"""In this project's `config.json`: the folder beside this one whose vision tower a model shares."""
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
# Buffers that older versions of transformers wrote beside the weights; they follow from the dimensions.
_BUFFERS = ("rotary_emb.inv_freq", "embeddings.position_ids")
_CLIP_HEAD_SIZE = 64  # of every CLIP vision tower that OpenAI published
_CLIP_WIDTHS = (768, 1024)


def read_drafter_config(folder: Path) -> EventGPTConfig:
    """The configuration of the EventGPT in `folder`, as far as it stands in `config.json`.

    Raises:
        ModelError: the folder holds no such model, or its config.json makes no sense.
    """
    values = _values_of(folder)
    if values.get("model_type") == MODEL_TYPE:
        return EventGPTConfig.from_dict(values)
    return config_from_original({**values, "vision_config": tower_config(values, folder)})


def _values_of(folder: Path) -> dict[str, Any]:
    values = read_config(folder)
    if values.get("model_type") == "video_llava":
        raise ModelError(f"{folder} is a Video-LLaVA, the cloud's target: the edge needs an EventGPT folder")
    return values


def load_eventgpt(
    folder: Path, *, dtype: torch.dtype | str, quantization: str | None, device: str | torch.device
) -> EventGPT:
    """Read the checkpoint in `folder`; see `EventGPT.from_pretrained`."""
    dtype, device, quantization = as_dtype(dtype), as_device(device), check_quantization(quantization)
    values = _values_of(folder)
    own = values.get("model_type") == MODEL_TYPE
    if own:
        config = EventGPTConfig.from_dict(values)
        state = _tower_of(values, folder) | _named_as_here(read_weights(folder))
    else:
        tower = tower_config(values, folder)
        config = config_from_original({**values, "vision_config": tower})
        state = _named_as_here(read_weights(folder))
        config = with_dimensions_of_weights(config, state, heads_known=tower is not None)
    if config.tie_word_embeddings and _EMBEDDING in state:
        state[_HEAD] = state[_EMBEDDING]
    model = build_empty(lambda: EventGPT(config))
    fill(model, state, folder)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.vocab_size = _vocabulary(config, folder)
    return finish(model, model.model.layers, dtype=dtype, quantization=quantization, device=device)


def save_eventgpt(model: EventGPT, folder: Path) -> None:
    """Write `model` in the project's own layout.

    Raises:
        ModelError: the model is quantised, or the folder can't be written.
    """
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    if not all(tensor.is_floating_point() for tensor in state.values()):
        raise ModelError("a quantised model can't be saved: load it without quantization")
    if model.config.tie_word_embeddings:
        del state[_HEAD]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(model.config.to_dict(), indent=2) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    except OSError as error:
        raise ModelError(f"the model can't be written to {folder} ({error})") from error


def with_dimensions_of_weights(config: EventGPTConfig, state: StateDict, *, heads_known: bool) -> EventGPTConfig:
    """`config` with the vision tower's and projector's dimensions as the weights show them.

    Raises:
        ModelError: the tower's number of heads, which no weight shows, isn't known from anywhere.
    """
    shown = _tower_dimensions(config, state)
    if depth := sum(key.startswith("model.visual_projector.") and key.endswith(".weight") for key in state):
        shown["projector_depth"] = depth
    hidden = shown.get("vision_hidden_size", config.vision_hidden_size)
    if not heads_known:
        if hidden % _CLIP_HEAD_SIZE:
            raise ModelError(
                f"the vision tower is {hidden} wide, which is no published CLIP: give its config, either as "
                "vision_config in config.json or in the folder that mm_visual_tower names"
            )
        shown["vision_num_attention_heads"] = hidden // _CLIP_HEAD_SIZE
        if hidden not in _CLIP_WIDTHS:
            _log.warning(
                "no config of the vision tower: taking %d attention heads of %d, as CLIP has them; "
                "if that is wrong, so are the answers",
                hidden // _CLIP_HEAD_SIZE,
                _CLIP_HEAD_SIZE,
            )
    changed = {name: value for name, value in shown.items() if value != getattr(config, name)}
    if changed:
        _log.info("EventGPT dimensions taken from the weights: %s", changed)
    return dataclasses.replace(config, **changed)


def _tower_dimensions(config: EventGPTConfig, state: StateDict) -> dict[str, Any]:
    """What the tower's weights show of its dimensions; incomplete ones show nothing and fail later."""
    patch = state.get(f"{_TOWER}embeddings.patch_embedding.weight")
    positions = state.get(f"{_TOWER}embeddings.position_embedding.weight")
    mlp = state.get(f"{_TOWER}encoder.layers.0.mlp.fc1.weight")
    if patch is None or positions is None or mlp is None or patch.dim() != 4:
        return {}
    layers = {key.split(".")[5] for key in state if key.startswith(f"{_TOWER}encoder.layers.")}
    side, size = patch.shape[-1], config.vision_image_size
    if (size // side) ** 2 + 1 != positions.shape[0]:
        size = isqrt(max(positions.shape[0] - 1, 1)) * side
    return {
        "vision_hidden_size": patch.shape[0],
        "vision_patch_size": side,
        "vision_image_size": size,
        "vision_intermediate_size": mlp.shape[0],
        "vision_num_hidden_layers": len(layers),
    }


def _vocabulary(config: EventGPTConfig, folder: Path) -> int:
    """Ids that mean something: those of the folder's tokenizer, or the whole table if it has none."""
    if not any((place / "tokenizer.json").is_file() for place in (folder, folder.resolve().parent)):
        return config.vocab_size
    size = min(Tokenizer.from_folder(folder).vocab_size, config.vocab_size)
    if lost := {token for token in config.eos_token_ids if token >= size}:
        raise MismatchError(
            f"{folder} ends its answers with {sorted(lost)}, which its tokenizer of {size} ids doesn't have: "
            "put the model's own tokenizer.json there"
        )
    return size


def _tower_of(values: dict[str, Any], folder: Path) -> StateDict:
    """Weights of the vision tower of the folder beside this one that its config names, if it names one.

    Raises:
        ModelError: the folder is missing, or isn't beside this one.
    """
    name = values.get(TOWER_FROM)
    if name is None:
        return {}
    if not isinstance(name, str) or Path(name).name != name:
        raise ModelError(f"{folder / 'config.json'}: {TOWER_FROM} must name a folder beside this one")
    weights = _named_as_here(read_weights(folder.resolve().parent / name))
    return {key: tensor for key, tensor in weights.items() if key.startswith(_TOWER)}


def _named_as_here(state: StateDict) -> StateDict:
    """The weights under this project's names, whichever version of transformers wrote them."""
    kept = {key: tensor for key, tensor in state.items() if not key.endswith(_BUFFERS)}
    return rename_keys(kept, {f"{_TOWER}vision_model.": _TOWER})
