"""Small Video-LLaVAs, and their checkpoints as transformers 4 and 5 write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, VideoLlavaConfig, VideoLlavaForConditionalGeneration

from tests.common.tokenizers import SPECIAL, WORDS

VOCABULARY = len(SPECIAL) + 256 + len(WORDS)
TABLE = -(-(VOCABULARY + 3) // 64) * 64
MARKS = ("<image>", "<video>", "<pad>")


def small_video_llava(seed: int = 0, **text_changes: Any) -> VideoLlavaForConditionalGeneration:
    """A Video-LLaVA with random weights, large enough for its choices to differ from each other."""
    torch.manual_seed(seed)
    text = {
        "vocab_size": TABLE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "pad_token_id": VOCABULARY + 2,
    }
    vision = CLIPVisionConfig(
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=28,
        patch_size=7,
    )
    config = VideoLlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**{**text, **text_changes}),
        image_token_index=VOCABULARY,
        video_token_index=VOCABULARY + 1,
    )
    model = VideoLlavaForConditionalGeneration(config)
    model.train(False)
    model.requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def video_frames(seed: int = 0, count: int = 3) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, 40, 56, 3), dtype=np.uint8))


def modern_weights(model: VideoLlavaForConditionalGeneration) -> dict[str, Tensor]:
    """Weights under the names that the modules have in transformers 5."""
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def late_weights(model: VideoLlavaForConditionalGeneration) -> dict[str, Tensor]:
    """As the last versions of transformers 4 wrote them: `model.` in front, `vision_model.` in the towers."""
    state = modern_weights(model)
    for tower in ("video", "image"):
        prefix = f"model.{tower}_tower."
        state = {key.replace(prefix, f"{prefix}vision_model."): tensor for key, tensor in state.items()}
    return state


def early_weights(model: VideoLlavaForConditionalGeneration) -> dict[str, Tensor]:
    """As LanguageBind/Video-LLaVA-7B-hf has them: the language model keeps its own `model.` and its head."""
    state = {}
    for key, tensor in late_weights(model).items():
        bare = key.removeprefix("model.")
        bare = bare.replace("language_model.", "language_model.model.")
        state["language_model.lm_head.weight" if key == "lm_head.weight" else bare] = tensor
    return state


def write_config(folder: Path, model: VideoLlavaForConditionalGeneration, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(model.config.to_json_string()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    return folder
