"""Reads Video-LLaVA checkpoints, as transformers 4 and 5 write them, into transformers' own model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, VideoLlavaConfig, VideoLlavaForConditionalGeneration

from common.devices import as_device
from common.model_config import read_json
from common.model_loading import as_dtype, build_empty, fill, finish
from common.quantization import check_quantization
from common.video_llava import hash_weights, read_target_config, read_target_weights

_EMBEDDING, _HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"


def load_video_llava(
    folder: Path, *, dtype: torch.dtype | str, quantization: str | None, device: str | torch.device
) -> tuple[VideoLlavaForConditionalGeneration, str]:
    """The model in `folder`, and its fingerprint; see `VideoLlavaTarget.from_pretrained`."""
    dtype, device, quantization = as_dtype(dtype), as_device(device), check_quantization(quantization)
    config = read_target_config(folder)
    state = read_target_weights(folder)
    text: Any = config.text_config
    tied = bool(config.tie_word_embeddings or text.tie_word_embeddings)
    if tied and _EMBEDDING in state:
        state[_HEAD] = state[_EMBEDDING]
    model = build_empty(lambda: VideoLlavaForConditionalGeneration(config))
    fill(model, state, folder)
    if tied:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight
    mark = fingerprint(config, state, precision=f"{dtype}/{quantization}")
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_dict(read_json(folder / "generation_config.json"))
    layers = model.model.language_model.layers
    return finish(model, layers, dtype=dtype, quantization=quantization, device=device), mark


def fingerprint(config: VideoLlavaConfig, state: Mapping[str, Tensor], *, precision: str) -> str:
    """A stable hash of a model: its dimensions, a sample of every weight, and the precision it runs in.

    Two replicas with the same fingerprint give the same answers on the same kind of device. The layout of the
    checkpoint's files doesn't enter.
    """
    return hash_weights(state, precision, json.dumps(_dimensions(config), sort_keys=True))


def _dimensions(config: VideoLlavaConfig) -> dict[str, Any]:
    """What of a configuration changes the logits."""
    text: Any = config.text_config
    vision: Any = config.vision_config
    return {
        "heads": text.num_attention_heads,
        "kv_heads": text.num_key_value_heads,
        "rope": text.rope_parameters,
        "rms_norm_eps": text.rms_norm_eps,
        "text_act": text.hidden_act,
        "vision_heads": vision.num_attention_heads,
        "vision_act": vision.hidden_act,
        "vision_eps": vision.layer_norm_eps,
        "vision_layer": config.vision_feature_layer,
        "video_token": config.video_token_index,
    }
