"""EventGPT as a torch module, restated from the original (XduSyL/EventGPT, CVPR 2025).

    event frames [T, 3, S, S]
      -> CLIP vision tower, last hidden state, class token kept    [T, P, vision hidden]
      -> visual_projector (Linear GELU Linear), feature_adaptor    [T, P, hidden]
      -> mean over tokens [T, hidden] and mean over frames [P, hidden], one after the other
      -> spliced into the prompt where its id is `EVENT_PLACEHOLDER`
      -> LLaMA

All dimensions are configurable. Parameter names are the original's keys, as transformers 5 spells them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaModel

from common.errors import InputError, PromptError
from common.quantization import Quantization
from edge.eventgpt.config import EventGPTConfig
from edge.eventgpt.inputs import EventFrames, TokenIds, as_ids, as_pixels
from edge.eventgpt.prompt import EVENT_PLACEHOLDER


class VisualTower(nn.Module):
    """The original's wrapper around CLIP; it exists for its name in the checkpoint's keys."""

    def __init__(self, config: EventGPTConfig) -> None:
        super().__init__()
        self.visual_tower = CLIPVisionModel(clip_config(config))

    def forward(self, pixels: Tensor) -> Tensor:
        """Last hidden states [n, P, vision hidden] of pixels [n, 3, S, S], class token first."""
        hidden: Tensor = self.visual_tower(pixels).last_hidden_state
        return hidden


class EventChatModel(LlamaModel):  # type: ignore[no-untyped-call]
    """LLaMA with the event path beside it, under the original's names. `forward` is plain LLaMA."""

    def __init__(self, config: EventGPTConfig) -> None:
        super().__init__(llama_config(config))
        self.visual_tower = VisualTower(config)
        self.visual_projector = build_projector(config)
        self.feature_adaptor = nn.Linear(config.hidden_size, config.hidden_size)


class EventGPT(nn.Module):
    """EventGPT: event frames and a prompt in, logits out.

    `EventGPT(config)` has fresh random weights and is trainable; `from_pretrained` reads a checkpoint.

    Attributes:
        config: its dimensions.
        vocab_size: ids from here on mean nothing: the table may be longer than the tokenizer's vocabulary.
        model: the LLaMA layers, with the vision tower, projector and adaptor as children.
        lm_head: hidden states to logits.
    """

    def __init__(self, config: EventGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.model = EventChatModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=0.02)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype | str = torch.float32,
        quantization: Quantization | None = None,
        device: str | torch.device = "cpu",
    ) -> "EventGPT":
        """Read a checkpoint: the original's layout, or what `save_pretrained` wrote.

        The original's layout may spell the vision tower's keys with or without `vision_model.`, and hold its
        weights in one or several safetensors or torch files (read without running anything they contain).

        Args:
            folder: the checkpoint's folder.
            dtype: of the weights; computation follows it.
            quantization: `4bit` (NF4) or `8bit` for LLaMA's linear layers, through bitsandbytes.
            device: where the model goes.

        Raises:
            ModelError: the folder is missing, broken, or of another kind; the message says what to do.
        """
        from edge.eventgpt.loading import load_eventgpt

        return load_eventgpt(Path(folder), dtype=dtype, quantization=quantization, device=device)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` into `folder` (created if missing)."""
        from edge.eventgpt.loading import save_eventgpt

        save_eventgpt(self, Path(folder))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of embeddings and features."""
        dtype: torch.dtype = self.model.embed_tokens.weight.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.embed_tokens.weight.device
        return device

    @torch.no_grad()
    def encode(self, frames: EventFrames) -> Tensor:
        """Event features [T + P, hidden] of T frames: RGB uint8 pictures of any size, or pixels [T, 3, S, S].

        Without gradients; training uses `encode_pixels`.

        Raises:
            InputError: the frames are of another shape or type.
        """
        return self.encode_pixels(self.preprocess(frames).unsqueeze(0))[0]

    def preprocess(self, frames: EventFrames) -> Tensor:
        """Frames of any accepted form as pixels [T, 3, S, S] in the model's dtype, on its device."""
        pixels = as_pixels(frames, self.config.vision_image_size)
        return pixels.to(device=self.device, dtype=self.dtype)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Event features [B, T + P, hidden] of preprocessed pixels [B, T, 3, S, S]; gradients flow."""
        batch, frames = pixels.shape[:2]
        hidden = self.model.visual_tower(pixels.flatten(0, 1))
        hidden = self.model.feature_adaptor(self.model.visual_projector(hidden))
        hidden = hidden.unflatten(0, (batch, frames))  # [B, T, P, hidden]
        return torch.cat([hidden.mean(dim=2), hidden.mean(dim=1)], dim=1)

    def splice(self, input_ids: TokenIds, features: Tensor | None) -> Tensor:
        """Embeddings [B, n, hidden] of prompts with `features` in place of the placeholder.

        They are cut to `config.max_length` positions, as in the original.

        Args:
            input_ids: one prompt (list, [n] or [1, n]) or a batch [B, n], at most one placeholder a row.
            features: [N, hidden] or [B, N, hidden]; None for prompts without a placeholder.

        Raises:
            PromptError: placeholders and features don't fit, or an id is outside the vocabulary.
        """
        ids = as_ids(input_ids, self.device)
        if features is not None and features.dim() == 2:
            features = features.unsqueeze(0)
        columns = _placeholder_columns(ids, None if features is None else features.shape[0])
        is_text = ids != EVENT_PLACEHOLDER
        if bool(((ids < 0) | (ids >= self.config.vocab_size))[is_text].any()):
            raise PromptError(f"the prompt has ids outside the drafter's vocabulary of {self.config.vocab_size}")
        text: Tensor = self.model.embed_tokens(ids.where(is_text, 0))
        if features is None:
            return text[:, : self.config.max_length]
        features = features.to(text.dtype)
        rows = [
            torch.cat([row[:column], event, row[column + 1 :]])
            for row, event, column in zip(text, features, columns, strict=True)
        ]
        return torch.stack(rows)[:, : self.config.max_length]

    def forward(
        self,
        input_ids: TokenIds | None = None,
        frames: EventFrames | None = None,
        *,
        features: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Logits [B, n, vocab] over the spliced sequence.

        Give either `inputs_embeds` or `input_ids`, the latter with `frames` (of one prompt) or `features` for
        the placeholders. `attention_mask` and `position_ids` belong to the spliced sequence; they and all
        further arguments go to LLaMA unchanged.

        Raises:
            PromptError: ids, placeholders and features don't fit together.
            InputError: the frames can't be used.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise PromptError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            if frames is not None and features is not None:
                raise InputError("give either frames or their features")
            if frames is not None:
                features = self.encode_pixels(self.preprocess(frames).unsqueeze(0))
            inputs_embeds = self.splice(input_ids, features)
        output = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=False,
            **kwargs,
        )
        logits: Tensor = self.lm_head(output.last_hidden_state)
        return logits


def build_projector(config: EventGPTConfig) -> nn.Sequential:
    """The visual projector: `projector_depth` linear layers with a GELU between each two."""
    layers: list[nn.Module] = [nn.Linear(config.vision_hidden_size, config.hidden_size)]
    for _ in range(config.projector_depth - 1):
        layers += [nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)]
    return nn.Sequential(*layers)


def llama_config(config: EventGPTConfig) -> LlamaConfig:
    """The LLaMA part of a configuration, as transformers takes it."""
    rope: dict[str, Any] = {
        "rope_type": "default",
        **(config.rope_scaling or {}),
        "rope_theta": config.rope_theta,
    }
    return LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        hidden_act=config.hidden_act,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters=rope,
        attention_bias=config.attention_bias,
        mlp_bias=config.mlp_bias,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        tie_word_embeddings=config.tie_word_embeddings,
        use_cache=False,
    )


def clip_config(config: EventGPTConfig) -> CLIPVisionConfig:
    """The vision tower's part of a configuration, as transformers takes it."""
    return CLIPVisionConfig(
        hidden_size=config.vision_hidden_size,
        intermediate_size=config.vision_intermediate_size,
        num_hidden_layers=config.vision_num_hidden_layers,
        num_attention_heads=config.vision_num_attention_heads,
        image_size=config.vision_image_size,
        patch_size=config.vision_patch_size,
        hidden_act=config.vision_hidden_act,
        layer_norm_eps=config.vision_layer_norm_eps,
    )


def _placeholder_columns(ids: Tensor, feature_rows: int | None) -> Sequence[int]:
    """Column of each row's placeholder; empty where there are no features."""
    found = (ids == EVENT_PLACEHOLDER).sum(dim=1)
    if feature_rows is None:
        if bool(found.any()):
            raise PromptError("the prompt has an event placeholder, but no frames were given for it")
        return []
    if bool((found != 1).any()):
        raise PromptError(
            f"each prompt needs exactly one event placeholder ({EVENT_PLACEHOLDER}) for its frames, "
            f"these have {found.tolist()}"
        )
    if feature_rows != ids.shape[0]:
        raise PromptError(f"{ids.shape[0]} prompts need as many sets of event features, not {feature_rows}")
    columns: list[int] = (ids == EVENT_PLACEHOLDER).int().argmax(dim=1).tolist()
    return columns
