"""What cloud and edge both know of a Video-LLaVA checkpoint: its configuration, its keys, its fingerprint."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import VideoLlavaConfig

from common.errors import ModelError
from common.model_config import one_line, read_config
from common.model_files import read_weights, rename_keys

MODEL_TYPE = "video_llava"

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
_SAMPLES = 64  # weights of each tensor that enter a fingerprint


def read_target_config(folder: Path) -> VideoLlavaConfig:
    """The configuration of the Video-LLaVA in `folder`.

    Raises:
        ModelError: the folder holds no such model, or its config.json makes no sense.
    """
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


def read_target_weights(folder: Path, wanted: Callable[[str], bool] = lambda key: True) -> dict[str, Tensor]:
    """Its weights under transformers 5's names, as they lie in its files; those that are `wanted`.

    Raises:
        ModelError: there are none, or a file is truncated or holds more than weights.
    """
    kept = {key: value for key, value in read_weights(folder).items() if not key.endswith(_BUFFERS)}
    return {key: value for key, value in rename_keys(kept, _RENAMED).items() if wanted(key)}


def hash_weights(state: Mapping[str, Tensor], *about: str) -> str:
    """A stable hash of `about`, and of names, shapes and a sample of the values of all weights."""
    digest = hashlib.sha256()
    for text in about:
        digest.update(text.encode())
    for key in sorted(state):
        tensor = state[key]
        digest.update(f"{key}{list(tensor.shape)}".encode())
        flat = tensor.flatten()
        step = max(1, flat.numel() // _SAMPLES)
        digest.update(flat[::step][:_SAMPLES].float().cpu().numpy().tobytes())
    return digest.hexdigest()
