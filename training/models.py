"""The tiny pair's architectures.

Video-LLaVA and EventGPT in small, and how each turns frames into the prefix of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
)

from common.frames import CLIP_MEAN, CLIP_STD
from edge.eventgpt import EventGPT, EventGPTConfig
from training.tokenizer import BOS, EOS, TABLE_ROWS, VOCABULARY

DRAFTER_TEMPLATE = "USER: <ev_start><event><ev_end>\n{question} ASSISTANT:"
"""The tiny drafter's prompt.

EventGPT's without its system sentence, which the tiny tokenizer would spell letter by letter.
"""

TARGET_LAYERS = 8


def target_config(layers: int = TARGET_LAYERS, width: int = 256, vision_width: int = 128) -> VideoLlavaConfig:
    """Video-LLaVA in small.

    8 frames of 17 tokens (class token kept), features of the vision tower's last layer but one.
    """
    vision = CLIPVisionConfig(
        hidden_size=vision_width,
        intermediate_size=4 * vision_width,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
        projection_dim=vision_width,
    )
    text = LlamaConfig(
        vocab_size=TABLE_ROWS,
        hidden_size=width,
        intermediate_size=704 * width // 256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=VOCABULARY + 2,
        tie_word_embeddings=False,
    )
    return VideoLlavaConfig(  # type: ignore[call-arg]
        vision_config=vision,
        text_config=text,
        image_token_index=VOCABULARY,
        video_token_index=VOCABULARY + 1,
        image_seq_length=17,
        video_seq_length=136,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        pad_token_id=VOCABULARY + 2,
        tie_word_embeddings=False,
    )


def drafter_config(layers: int = 2, width: int = 128, vision_width: int = 128) -> EventGPTConfig:
    """EventGPT in small: 5 event frames give 22 event tokens; windows are whole clips of 2 s."""
    return EventGPTConfig(
        vocab_size=TABLE_ROWS,
        hidden_size=width,
        intermediate_size=352 * width // 128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=0,
        max_length=512,
        vision_hidden_size=vision_width,
        vision_intermediate_size=4 * vision_width,
        vision_num_hidden_layers=4,
        vision_num_attention_heads=4,
        vision_image_size=56,
        vision_patch_size=14,
        window_us=2_000_000,
        max_window_us=2_100_000,
        canvas="sensor",
        prompt_template=DRAFTER_TEMPLATE,
    )


def normalise(frames: Tensor) -> Tensor:
    """CLIP's pixels, float32 [B, T, 3, S, S], of frames [B, T, S, S, 3] in 0..255 (as `common.frames`)."""
    pixels = frames.float() * (1 / 255)
    return ((pixels - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 1, 4, 2, 3).contiguous()


class TargetLearner(nn.Module):
    """Video-LLaVA as the trainer sees it. Names of parameters are those of `model`."""

    fields = "video"
    sense = "frames"

    def __init__(self, config: VideoLlavaConfig, model: VideoLlavaForConditionalGeneration | None = None) -> None:
        super().__init__()
        # Any: transformers' own annotations don't know its submodules' types
        self.model: Any = VideoLlavaForConditionalGeneration(config) if model is None else model
        self.patch_width: int = config.vision_config.hidden_size  # type: ignore[union-attr]

    @property
    def language(self) -> LlamaModel:
        language: LlamaModel = self.model.model.language_model
        return language

    @property
    def lm_head(self) -> nn.Linear:
        head: nn.Linear = self.model.lm_head
        return head

    def trained(self, goal: str) -> Iterator[nn.Parameter]:
        """Parameters that a phase with this goal trains.

        The image tower is never trained (`export` copies it).
        """
        tower: CLIPVisionModel = self.model.model.video_tower
        if goal == "patches":
            return tower.parameters()
        idle = {id(p) for p in self.model.model.image_tower.parameters()}
        return (p for p in self.parameters() if id(p) not in idle)

    @property
    def vision_end(self) -> nn.Module:
        """The layer of the vision tower whose output becomes the features."""
        layer: nn.Module = self.model.model.video_tower.encoder.layers[-2]
        return layer

    def patches(self, pixels: Tensor) -> Tensor:
        """Vision features [N, 17, vision] of pixels [N, 3, S, S].

        The hidden state after the last layer but one.
        """
        return _tower(self.model.model.video_tower, pixels, -1)

    def features(self, pixels: Tensor) -> Tensor:
        """Video tokens [B, T * 17, hidden] of pixels [B, T, 3, S, S]."""
        hidden = self.model.model.multi_modal_projector(self.patches(pixels.flatten(0, 1)))
        tokens: Tensor = hidden.unflatten(0, pixels.shape[:2]).flatten(1, 2)
        return tokens


class DrafterLearner(nn.Module):
    """EventGPT as the trainer sees it."""

    fields = "event"
    sense = "events"

    def __init__(self, config: EventGPTConfig, model: EventGPT | None = None) -> None:
        super().__init__()
        self.model = EventGPT(config) if model is None else model
        self.patch_width = config.vision_hidden_size

    @property
    def language(self) -> LlamaModel:
        return self.model.model

    @property
    def lm_head(self) -> nn.Linear:
        return self.model.lm_head

    def trained(self, goal: str) -> Iterator[nn.Parameter]:
        """Parameters that a phase with this goal trains."""
        return self.model.model.visual_tower.parameters() if goal == "patches" else self.parameters()

    @property
    def vision_end(self) -> nn.Module:
        """The layer of the vision tower whose output becomes the features."""
        return self.model.model.visual_tower.visual_tower.encoder.layers[-1]

    def patches(self, pixels: Tensor) -> Tensor:
        """Vision features [N, 17, vision] of pixels [N, 3, S, S]: the last hidden state."""
        hidden: Tensor = self.model.model.visual_tower(pixels)
        return hidden

    def features(self, pixels: Tensor) -> Tensor:
        """Event tokens [B, 22, hidden] of pixels [B, T, 3, S, S]."""
        return self.model.encode_pixels(pixels)


Learner = TargetLearner | DrafterLearner


def _tower(tower: CLIPVisionModel, pixels: Tensor, stop: int) -> Tensor:
    """Run the tower's layers up to `stop`.

    Equal to picking that hidden state, without computing what follows it.
    """
    hidden: Tensor = tower.pre_layrnorm(tower.embeddings(pixels))
    for layer in tower.encoder.layers[:stop]:
        hidden = layer(hidden, None)
    return hidden
