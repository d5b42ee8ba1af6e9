"""Reads Video-LLaVA checkpoints, as transformers 4 and 5 write them, into transformers' own model."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, VideoLlavaConfig, VideoLlavaForConditionalGeneration

from common.errors import ModelError
from common.model_files import one_line, read_config, read_json, read_weights, rename_keys
from common.model_loading import as_device, as_dtype, build_empty, fill, finish
from common.quantization import check_quantization

MODEL_TYPE = "video_llava"

_EMBEDDING, _HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
# Names of transformers 4 (its last versions had both `model.` and `vision_model.`), as 5 has them.
_RENAMED = {
    "language_model.model.": "model.language_model.",
    "language_model.lm_head.": "lm_head.",
    "language_model.": "model.language_model.",
    "multi_modal_projector.": "model.multi_modal_projector.",
    "video_tower.": "model.video_tower.",
    "video_tower.vision_model.": "model.video_tower.",
    "image_tower.": "model.image_tower.",
    "image_tower.vision_model.": "model.image_tower.",
    "model.video_tower.vision_model.": "model.video_tower.",
    "model.image_tower.vision_model.": "model.image_tower.",
}
_BUFFERS = ("rotary_emb.inv_freq", "embeddings.position_ids")
_SAMPLES = 64  # weights of each tensor that enter the fingerprint


def load_video_llava(
    folder: Path, *, dtype: torch.dtype | str, quantization: str | None, device: str | torch.device
) -> tuple[VideoLlavaForConditionalGeneration, str]:
    """The model in `folder`, and its fingerprint; see `VideoLlavaTarget.from_pretrained`."""
    dtype, device, quantization = as_dtype(dtype), as_device(device), check_quantization(quantization)
    config = _read_target_config(folder)
    kept = {key: value for key, value in read_weights(folder).items() if not key.endswith(_BUFFERS)}
    state = rename_keys(kept, _RENAMED)
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
    digest = hashlib.sha256(precision.encode())
    digest.update(json.dumps(_dimensions(config), sort_keys=True).encode())
    for key in sorted(state):
        tensor = state[key]
        digest.update(f"{key}{list(tensor.shape)}".encode())
        flat = tensor.flatten()
        step = max(1, flat.numel() // _SAMPLES)
        digest.update(flat[::step][:_SAMPLES].float().cpu().numpy().tobytes())
    return digest.hexdigest()


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


def _read_target_config(folder: Path) -> VideoLlavaConfig:
    values = read_config(folder)
    kind = values.get("model_type")
    if kind != MODEL_TYPE:
        drafter = " It is the edge's drafter: give it to eventspec-edge." if "event" in str(kind).lower() else ""
        raise ModelError(
            f"{folder} holds a model of type {kind or 'unknown'}, the target must be a Video-LLaVA "
            f'(model_type "{MODEL_TYPE}").{drafter}'
        )
    try:
        config = VideoLlavaConfig.from_dict(values)
    except Exception as error:  # transformers' validators raise errors of many kinds
        raise ModelError(f"{folder}/config.json makes no sense ({one_line(error)}): copy it again") from error
    parts: list[Any] = [config.text_config, config.vision_config]
    kinds = [part.model_type for part in parts]
    if kinds != ["llama", "clip_vision_model"]:
        raise ModelError(f"{folder} combines {' and '.join(kinds)}: only LLaMA with a CLIP tower is supported")
    return config
