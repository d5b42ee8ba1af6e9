"""The target's vision side: frames to the features that its language model reads.

The cloud runs it inside the target; an edge in `edge_vision` mode runs it alone, from the same checkpoint. Both run
this very code.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPVisionModel, VideoLlavaConfig
from transformers.models.video_llava.modeling_video_llava import VideoLlavaMultiModalProjector

from common.devices import as_device
from common.errors import InputError
from common.frames import Frame, clip_pixels
from common.model_loading import as_dtype, build_empty, fill, finish
from common.video_llava import hash_weights, read_target_config, read_target_weights

_PREFIX = "model."
_PARTS = ("model.video_tower.", "model.multi_modal_projector.")


class _Parts(nn.Module):
    """Vision tower and projector under the names of their weights."""

    def __init__(self, config: VideoLlavaConfig) -> None:
        super().__init__()
        self.video_tower = CLIPVisionModel(config.vision_config)  # type: ignore[arg-type]
        self.multi_modal_projector = VideoLlavaMultiModalProjector(config)


class TargetVision:
    """Vision tower and projector of a Video-LLaVA.

    Attributes:
        image_size: side of a preprocessed frame.
        tokens_per_frame: features of one frame, class token included.
        hidden_size: width of a feature.
    """

    def __init__(self, tower: nn.Module, projector: nn.Module, config: VideoLlavaConfig) -> None:
        text: Any = config.text_config
        vision: Any = config.vision_config
        layers: Any = config.vision_feature_layer
        self.image_size: int = vision.image_size
        self.tokens_per_frame: int = (vision.image_size // vision.patch_size) ** 2 + 1
        self.hidden_size: int = text.hidden_size
        self._tower = tower
        self._projector = projector
        self._layers: list[int] = [layers] if isinstance(layers, int) else list(layers)
        self._config = config

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, dtype: torch.dtype | str = torch.float32, device: str | torch.device = "cpu"
    ) -> "TargetVision":
        """The vision side alone of a Video-LLaVA checkpoint: the language model's weights are never held in memory.

        Args:
            folder: the target's folder.
            dtype: of the weights; features come in it.
            device: where they go.

        Raises:
            ModelError: the folder is missing, broken, or of another kind; the message says what to do.
            SettingsError: dtype or device don't exist here.
        """
        folder, dtype, device = Path(folder), as_dtype(dtype), as_device(device)
        config = read_target_config(folder)
        state = read_target_weights(folder, lambda key: key.startswith(_PARTS))
        parts = build_empty(lambda: _Parts(config))
        fill(parts, {key.removeprefix(_PREFIX): value for key, value in state.items()}, folder)
        finish(parts, parts, dtype=dtype, quantization=None, device=device)
        return cls(parts.video_tower, parts.multi_modal_projector, config)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of features."""
        return next(self._projector.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._projector.parameters()).device

    @cached_property
    def fingerprint(self) -> str:
        """Hash of dimensions, weights and precision: features of equal ones are interchangeable.

        The language model doesn't enter, so that a quantised target takes an edge's features.
        """
        state = {f"tower.{key}": value for key, value in self._tower.state_dict().items()}
        state |= {f"projector.{key}": value for key, value in self._projector.state_dict().items()}
        vision: Any = self._config.vision_config
        about = {
            "heads": vision.num_attention_heads,
            "act": vision.hidden_act,
            "eps": vision.layer_norm_eps,
            "layers": self._layers,
            "projector_act": self._config.projector_hidden_act,
            "size": [vision.image_size, vision.patch_size],
        }
        return hash_weights(state, str(self.dtype), json.dumps(about, sort_keys=True))

    def preprocess(self, frames: Sequence[Frame] | Frame) -> Tensor:
        """Pixels [n, 3, S, S], float32 on the CPU, of RGB frames, uint8 [height, width, 3] each.

        Raises:
            InputError: a frame isn't a picture.
        """
        return torch.from_numpy(clip_pixels(frames, self.image_size))

    @torch.inference_mode()
    def encode_frames(self, frames: Sequence[Frame] | NDArray[Any] | Tensor) -> Tensor:
        """Video features [n * tokens_per_frame, hidden] of any number of frames.

        Frames don't see each other, so encoding them one by one or together gives the same.

        Args:
            frames: uint8 RGB pictures, or preprocessed pixels [n, 3, S, S].

        Raises:
            InputError: the frames are of another shape or type.
        """
        pixels = self._pixels(frames).to(device=self.device, dtype=self.dtype)
        states = self._tower(pixels, output_hidden_states=True, return_dict=True).hidden_states
        features: Tensor = self._projector(torch.cat([states[layer] for layer in self._layers], dim=-1))
        return features.flatten(0, -2)

    def _pixels(self, frames: Sequence[Frame] | NDArray[Any] | Tensor) -> Tensor:
        if isinstance(frames, np.ndarray) and np.issubdtype(frames.dtype, np.floating):
            frames = torch.from_numpy(np.array(frames))
        if not isinstance(frames, Tensor) or not frames.is_floating_point():
            return self.preprocess([np.asarray(frame) for frame in frames])
        if frames.shape[1:] != (3, self.image_size, self.image_size) or not len(frames):
            size = self.image_size
            raise InputError(f"pixels must be [frames, 3, {size}, {size}], they are {list(frames.shape)}")
        return frames
