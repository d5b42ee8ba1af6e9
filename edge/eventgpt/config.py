"""EventGPT's dimensions; the defaults are those of EventGPT-7b (Vicuna-1.5-7B, CLIP ViT-L/14-336)."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from common.errors import ModelError
from edge.eventgpt.prompt import EVENT_MARK, PROMPT_TEMPLATE, QUESTION_MARK

MODEL_TYPE = "eventspec_eventgpt"
Canvas = Literal["events", "sensor"]


@dataclass(frozen=True, kw_only=True)
class EventGPTConfig:
    """All dimensions of one EventGPT.

    Attributes:
        max_length: prompts (event features included) are cut to this many positions, as in the original.
        frames: pictures that one window of events is split into.
        window_us: length in microseconds of the windows the model was trained on.
        max_window_us: windows of this length or more are refused.
        canvas: size of the pictures: `events` takes the extent of each slice's events (the original's way),
            `sensor` the whole sensor.
        projector_depth: number of linear layers of the visual projector, with a GELU between each two.
        prompt_template: text with one `<event>` and one `{question}`.
    """

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False
    bos_token_id: int = 1
    eos_token_id: int | list[int] = 2
    pad_token_id: int | None = None
    max_length: int = 2048

    vision_hidden_size: int = 1024
    vision_intermediate_size: int = 4096
    vision_num_hidden_layers: int = 24
    vision_num_attention_heads: int = 16
    vision_image_size: int = 336
    vision_patch_size: int = 14
    vision_hidden_act: str = "quick_gelu"
    vision_layer_norm_eps: float = 1e-5
    projector_depth: int = 2

    frames: int = 5
    window_us: int = 50_000
    max_window_us: int = 100_000
    canvas: Canvas = "events"
    prompt_template: str = PROMPT_TEMPLATE

    def __post_init__(self) -> None:
        """Refuse dimensions that can't make a model, saying which."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ModelError(f"EventGPT config: {name} must be a positive integer")
        if self.canvas not in get_args(Canvas):
            raise ModelError("EventGPT config: canvas must be 'events' or 'sensor'")
        self._check_divides("num_attention_heads", "hidden_size")
        if self.num_key_value_heads is not None:
            self._check_divides("num_key_value_heads", "num_attention_heads")
        self._check_divides("vision_num_attention_heads", "vision_hidden_size")
        if self.prompt_template.count(EVENT_MARK) != 1 or self.prompt_template.count(QUESTION_MARK) != 1:
            raise ModelError(
                f"EventGPT config: prompt_template must contain {EVENT_MARK} once and {QUESTION_MARK} once"
            )

    def _check_divides(self, part: str, whole: str) -> None:
        if getattr(self, whole) % getattr(self, part):
            values = f"{whole} {getattr(self, whole)}, {part} {getattr(self, part)}"
            raise ModelError(f"EventGPT config: {part} must divide {whole} ({values})")

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one picture in the vision tower: its patches and the class token."""
        return (self.vision_image_size // self.vision_patch_size) ** 2 + 1

    def event_tokens(self, frames: int | None = None) -> int:
        """Rows of the event features for `frames` pictures (default: `self.frames`); 582 for EventGPT-7b."""
        return (self.frames if frames is None else frames) + self.tokens_per_frame

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        eos = self.eos_token_id
        return frozenset([eos] if isinstance(eos, int) else eos)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as it is written to `config.json`, `model_type` included."""
        return {"model_type": MODEL_TYPE, "architectures": ["EventGPT"], **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EventGPTConfig":
        """Read a `config.json`, the project's own or the original's (`model_type` "EventChat_llama").

        Raises:
            ModelError: the dictionary is of another kind of model, or its values make no sense.
        """
        if values.get("model_type") != MODEL_TYPE:
            from edge.eventgpt.original import config_from_original

            return config_from_original(values)
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in names})
        except TypeError as error:
            raise ModelError("EventGPT config: a value has the wrong type") from error


_POSITIVE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "max_length",
    "vision_hidden_size",
    "vision_intermediate_size",
    "vision_num_hidden_layers",
    "vision_num_attention_heads",
    "vision_image_size",
    "vision_patch_size",
    "projector_depth",
    "frames",
    "window_us",
    "max_window_us",
)
