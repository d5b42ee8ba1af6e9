"""The target: Video-LLaVA, taken apart so that an engine can run it.

Frames are encoded as they arrive, prompts are embedded, the language model's layers run in packed rows, and
logits are taken where a choice is due. The whole model stays reachable as `reference_model`, to compare with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import VideoLlavaForConditionalGeneration

from cloud.prompt import TargetPrompt, target_prompt
from cloud.target_loading import load_video_llava
from common.errors import MismatchError, ModelError
from common.frames import Frame
from common.quantization import Quantization
from common.tokenizer import Tokenizer
from common.vision import TargetVision


class VideoLlavaTarget:
    """Video-LLaVA in the parts that an engine needs.

    Attributes:
        reference_model: transformers' model; its `generate` is what answers are compared with.
        tokenizer: the folder's; None if it has none.
        vision: the tower and projector, which an edge may run in the cloud's place.
        fingerprint: hash of dimensions, weights and precision; equal where answers are.
        image_size: side of a preprocessed frame.
        tokens_per_frame: video features of one frame, class token included.
        hidden_size: width of features and hidden states.
        table_size: rows of the embedding table, and width of `logits`.
        vocab_size: ids from here on are never chosen (image, video, padding).
        video_token_id: the id that stands for one video feature in a prompt.
        eos_token_ids: ids that end an answer.
        max_positions: longest sequence the language model was made for.
    """

    def __init__(
        self,
        model: VideoLlavaForConditionalGeneration,
        *,
        tokenizer: Tokenizer | None = None,
        fingerprint: str = "",
    ) -> None:
        """Wrap a model.

        Raises:
            MismatchError: the model ends its answers with an id that is no text.
        """
        config: Any = model.config
        text = config.text_config
        self.reference_model: Any = model
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.vision = TargetVision(model.model.video_tower, model.model.multi_modal_projector, config)
        self.image_size: int = self.vision.image_size
        self.tokens_per_frame: int = self.vision.tokens_per_frame
        self.hidden_size: int = text.hidden_size
        self.table_size: int = text.vocab_size
        self.video_token_id: int = config.video_token_index
        own = (config.image_token_index, config.video_token_index, text.vocab_size)
        self.vocab_size: int = min(*own, tokenizer.vocab_size if tokenizer else text.vocab_size)
        self.max_positions: int = text.max_position_embeddings
        self.eos_token_ids = _eos_token_ids(model)
        if lost := {token for token in self.eos_token_ids if not 0 <= token < self.vocab_size}:
            raise MismatchError(
                f"the target ends its answers with {sorted(lost)}, which its vocabulary of {self.vocab_size} "
                "doesn't have: put the model's own tokenizer.json and generation_config.json into its folder"
            )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype | str = torch.float32,
        quantization: Quantization | None = None,
        device: str | torch.device = "cpu",
    ) -> "VideoLlavaTarget":
        """Read a `VideoLlavaForConditionalGeneration` checkpoint, written by transformers 4 or 5.

        Args:
            folder: the checkpoint's folder; weights in safetensors or torch files, in one piece or in shards.
            dtype: of the weights; computation follows it.
            quantization: `4bit` (NF4) or `8bit` for the language model's linear layers, through bitsandbytes.
            device: where the model goes.

        Raises:
            ModelError: the folder is missing, broken, or of another kind; the message says what to do.
            SettingsError: dtype, quantization or device don't exist here.
        """
        folder = Path(folder)
        model, mark = load_video_llava(folder, dtype=dtype, quantization=quantization, device=device)
        places = (folder / "tokenizer.json", folder.resolve().parent / "tokenizer.json")
        tokenizer = Tokenizer.from_folder(folder) if any(path.is_file() for path in places) else None
        return cls(model, tokenizer=tokenizer, fingerprint=mark)

    @property
    def language_model(self) -> nn.Module:
        """The LLaMA model under the head: what `common.packed.packed_forward` runs."""
        module: nn.Module = self.reference_model.model.language_model
        return module

    @property
    def lm_head(self) -> nn.Module:
        """Hidden states to raw logits, placeholders included; see `logits`."""
        module: nn.Module = self.reference_model.lm_head
        return module

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of embeddings and features."""
        return self._table.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._table.device

    @property
    def _table(self) -> Tensor:
        table: Tensor = self.reference_model.model.language_model.embed_tokens.weight
        return table

    def preprocess(self, frames: Sequence[Frame] | Frame) -> Tensor:
        """Pixels [n, 3, S, S], float32 on the CPU, of RGB frames, uint8 [height, width, 3] each.

        Raises:
            InputError: a frame isn't a picture.
        """
        return self.vision.preprocess(frames)

    def encode_frames(self, frames: Sequence[Frame] | NDArray[Any] | Tensor) -> Tensor:
        """Video features [n * tokens_per_frame, hidden] of any number of frames.

        Frames don't see each other, so encoding them one by one or together gives the same.

        Args:
            frames: uint8 RGB pictures, or preprocessed pixels [n, 3, S, S].

        Raises:
            InputError: the frames are of another shape or type.
        """
        return self.vision.encode_frames(frames)

    def prompt(self, question: str) -> TargetPrompt:
        """The prompt for `question`, as ids before and after the video.

        Raises:
            PromptError: the question is empty or contains the model's own marks.
            ModelError: the model's folder has no tokenizer.
        """
        if self.tokenizer is None:
            raise ModelError("the target's folder has no tokenizer.json: copy the model's there")
        return target_prompt(question, self.tokenizer, vocab_size=self.vocab_size)

    def prompt_ids(self, question: str, *, frames: int = 8) -> list[int]:
        """Ids of the whole prompt for `question`, with a video token for each feature of `frames` frames."""
        return self.prompt(question).ids(self.video_token_id, frames * self.tokens_per_frame)

    def embed(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Embeddings [n, hidden] of text ids; a video token's row is to be replaced by its feature."""
        rows: Tensor = self.reference_model.model.language_model.embed_tokens(
            torch.as_tensor(ids, dtype=torch.long, device=self.device)
        )
        return rows

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [n, table_size] of final hidden states [n, hidden]; -inf from `vocab_size` on."""
        logits: Tensor = self.reference_model.lm_head(hidden)
        logits[..., self.vocab_size :] = -torch.inf
        return logits


def _eos_token_ids(model: VideoLlavaForConditionalGeneration) -> frozenset[int]:
    """Where an answer ends: the generation config's word, else the text config's."""
    for config in (model.generation_config, model.config.text_config):
        eos = getattr(config, "eos_token_id", None)
        if eos is not None:
            return frozenset([eos] if isinstance(eos, int) else eos)
    raise ModelError("the target has no eos_token_id in generation_config.json or config.json: add it")
