"""Reads the original checkpoint's `config.json`: a LLaMA config of `model_type` "EventChat_llama"."""

from pathlib import Path
from typing import Any

from common.errors import ModelError
from common.model_config import read_json
from edge.eventgpt.config import MODEL_TYPE, EventGPTConfig

ORIGINAL_MODEL_TYPE = "EventChat_llama"
# A config without these means the defaults of transformers' LlamaConfig, not those of EventGPT-7b.
_LLAMA_DEFAULTS: dict[str, Any] = {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048}
_SHARED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
_VISION = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)


def config_from_original(values: dict[str, Any]) -> EventGPTConfig:
    """The project's configuration for an original one; vision dimensions from `vision_config` if it has that.

    Raises:
        ModelError: it is the config of another kind of model, or uses what this project doesn't have.
    """
    kind = values.get("model_type")
    if kind != ORIGINAL_MODEL_TYPE:
        raise ModelError(
            f"this is a model of type {kind or 'unknown'}, not an EventGPT: give a folder whose config.json "
            f'has model_type "{ORIGINAL_MODEL_TYPE}" (the original) or "{MODEL_TYPE}"'
        )
    if values.get("use_event_qformer"):
        raise ModelError("this EventGPT uses an event Q-Former, which is not supported: use the published checkpoint")
    known = {**_LLAMA_DEFAULTS, **{name: values[name] for name in _SHARED if values.get(name) is not None}}
    known["rope_theta"], known["rope_scaling"] = _rope(values)
    if limit := values.get("tokenizer_model_max_length"):
        known["max_length"] = limit
    vision = values.get("vision_config") or {}
    known |= {f"vision_{name}": vision[name] for name in _VISION if vision.get(name) is not None}
    try:
        return EventGPTConfig(**known)
    except TypeError as error:
        raise ModelError("EventGPT config: a value has the wrong type") from error


def _rope(values: dict[str, Any]) -> tuple[float, dict[str, Any] | None]:
    """Base and scaling of the rotary embedding, in the spelling of transformers 4 or 5."""
    parameters = dict(values.get("rope_parameters") or {})
    scaling = dict(values.get("rope_scaling") or {})
    base = float(parameters.pop("rope_theta", None) or values.get("rope_theta") or 10000.0)
    scaling |= parameters
    kind = scaling.pop("type", None) or scaling.pop("rope_type", None) or "default"
    scaling.pop("rope_type", None)
    return base, None if kind == "default" else {"rope_type": kind, **scaling}


def tower_config(values: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """The vision tower's configuration; None if it is nowhere to be found.

    It may be in the config itself (`vision_config`, or any object that has a patch size), in the folder that
    `mm_visual_tower` names (as it stands, or beside or inside the model's), or in a CLIP folder inside the model's.

    Raises:
        ModelError: the tower's folder has a broken `config.json`.
    """
    for value in values.values():
        if isinstance(value, dict) and "patch_size" in _vision_part(value):
            return _vision_part(value)
    for place in _tower_folders(values.get("mm_visual_tower"), folder):
        path = place / "config.json"
        if path.is_file() and place.resolve() != folder.resolve():
            part = _vision_part(read_json(path))
            if "patch_size" in part:
                return part
    return None


def _tower_folders(name: Any, folder: Path) -> list[Path]:
    """Where the tower's folder may be, the likeliest first."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if not isinstance(name, str) or not name:
        return inside
    base = Path(name).name
    return [Path(name), folder / name, folder.parent / name, folder / base, folder.parent / base, *inside]


def _vision_part(values: dict[str, Any]) -> dict[str, Any]:
    """The vision tower's dimensions in a CLIP config, which has them at the top or under `vision_config`."""
    nested = values.get("vision_config")
    return nested if isinstance(nested, dict) else values
