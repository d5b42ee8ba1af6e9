"""Small EventGPTs, and checkpoints of them in the original's layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from edge.eventgpt import EventGPT, EventGPTConfig

SMALL: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vision_hidden_size": 48,
    "vision_intermediate_size": 64,
    "vision_num_hidden_layers": 2,
    "vision_num_attention_heads": 3,
    "vision_image_size": 30,
    "vision_patch_size": 7,
}
PROMPT = [1, 17, 33, -200, 9, 25, 41]
TOWER = "model.visual_tower.visual_tower."


def small_model(seed: int = 0, **changes: Any) -> EventGPT:
    """An EventGPT with random weights that are large enough for its choices to differ from each other."""
    torch.manual_seed(seed)
    model = EventGPT(EventGPTConfig(**{**SMALL, **changes})).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15 if "visual" in name else 0.2)
        else:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def event_frames(seed: int = 0, count: int = 5) -> list[NDArray[np.uint8]]:
    """Pictures of different sizes, as the original's canvas makes them."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 60, (count, 2))
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]


def original_config(model: EventGPT) -> dict[str, Any]:
    """`config.json` as the original writes it: LLaMA's with a few more keys, nothing about the tower."""
    config = model.config
    return {
        "architectures": ["EventChatModel"],
        "model_type": "EventChat_llama",
        "mm_visual_tower": "openai/clip-vit-large-patch14-336",
        "event_feature_adaptor": True,
        "tokenizer_model_max_length": config.max_length,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def tower_config_of(model: EventGPT) -> dict[str, Any]:
    """The vision tower's own config, as CLIP's folder has it."""
    names = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "image_size",
        "patch_size",
    )
    return {"model_type": "clip_vision_model"} | {name: getattr(model.config, f"vision_{name}") for name in names}


def original_weights(model: EventGPT, *, vision_model: bool = True) -> dict[str, torch.Tensor]:
    """Weights under the original's keys, as transformers 4 (`vision_model.`) or 5 writes them."""
    level = "vision_model." if vision_model else ""
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    return {key.replace(TOWER, TOWER + level): tensor for key, tensor in state.items()}


def write_config(folder: Path, values: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def write_original(folder: Path, model: EventGPT, *, nested_tower: bool = True, **changes: Any) -> Path:
    """A checkpoint of `model` in the original's layout, in one safetensors file."""
    values = original_config(model) | ({"vision_config": tower_config_of(model)} if nested_tower else {}) | changes
    write_config(folder, values)
    save_file(original_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
