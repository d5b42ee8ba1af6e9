"""What an adapter is made of: its level and its sizes, as `config.json` keeps them. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from common.errors import ModelError

MODEL_TYPE = "eventspec_adapter"


class Level(Enum):
    """The forms of adapters; `common/adapters/__init__.py` says what each computes."""

    L1 = "L1"
    L1S = "L1S"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"
    L5 = "L5"
    L5F = "L5F"
    TOKENS = "tokens"


class Reach(Enum):
    """Which positions an adapted state depends on."""

    TOKEN = "token"  # its own alone
    CAUSAL = "causal"  # all before it
    CHUNK = "chunk"  # all of the chunk: later ones too


REACH = {
    Level.L1: Reach.TOKEN,
    Level.L1S: Reach.TOKEN,
    Level.L2: Reach.TOKEN,
    Level.L3: Reach.TOKEN,
    Level.L4: Reach.CHUNK,
    Level.L5: Reach.CAUSAL,
    Level.L5F: Reach.CAUSAL,
    Level.TOKENS: Reach.CHUNK,
}
_ATTENDS = (Level.L4, Level.L5, Level.L5F, Level.TOKENS)


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Sizes of an adapter.

    Attributes:
        level: its form.
        drafter_hidden: width of the drafter's states (0 for tokens).
        target_hidden: width of the target's states (0 for tokens).
        layers: the drafter's last layers whose states are read, the last one's after the final norm.
        width: of the bottleneck (L1, L1S, L2), the inner layer (L3), the feed-forward layer (L4, L5, L5F, tokens).
        blocks: blocks of L2 and L3; encoder layers of tokens.
        heads: attention heads.
        positions: learned positions: the longest answer (L5, L5F) or chunk (tokens) that is read.
        token_fusion: the embedding of the token before enters too (L5).
        vocab_size: ids (tokens).
        embedding: width of the encoder (tokens).
    """

    level: Level
    drafter_hidden: int
    target_hidden: int
    layers: int = 1
    width: int = 256
    blocks: int = 1
    heads: int = 8
    positions: int = 0
    token_fusion: bool = False
    vocab_size: int = 0
    embedding: int = 0

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in asdict(self).items() if name not in ("level", "token_fusion")}
        for name, value in sizes.items():
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**24:
                raise ModelError(f"an adapter's {name} must be a number from 0 on")
        tokens = self.level is Level.TOKENS
        needed = ["width", "blocks", "heads", "layers"]
        needed += ["vocab_size", "embedding", "positions"] if tokens else ["drafter_hidden", "target_hidden"]
        needed += ["positions"] if self.level in (Level.L5, Level.L5F) else []
        for name in needed:
            if getattr(self, name) < 1:
                raise ModelError(f"an adapter of level {self.level.value} needs a {name} of at least 1")
        inner = self.embedding if tokens else self.target_hidden
        if self.level in _ATTENDS and inner % self.heads:
            raise ModelError(f"{self.heads} heads don't divide the width {inner}: choose another number of heads")
        if self.token_fusion and self.level is not Level.L5:
            raise ModelError(f"only L5 fuses tokens, not {self.level.value}")

    @property
    def reach(self) -> Reach:
        """Which positions an adapted state depends on."""
        return REACH[self.level]

    @property
    def input_width(self) -> int:
        """Width of what goes in: the states of all layers read, side by side, the last layer's last."""
        return self.layers * self.drafter_hidden

    def to_json(self) -> dict[str, Any]:
        """For `config.json`."""
        return {"model_type": MODEL_TYPE, **asdict(self), "level": self.level.value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AdapterConfig:
        """What `to_json` made.

        Raises:
            ModelError: it is another model's, or makes no sense.
        """
        if values.get("model_type") != MODEL_TYPE:
            raise ModelError("this is not an adapter but another model: check the path")
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        levels = {level.value: level for level in Level}
        named = known.get("level")
        level = levels.get(named) if isinstance(named, str) else None
        if level is None:
            raise ModelError(f"there is no adapter level of the name in its config.json; there are {', '.join(levels)}")
        if not isinstance(known.get("token_fusion", False), bool):
            raise ModelError("an adapter's token_fusion must be true or false")
        try:
            return cls(**{**known, "level": level})
        except TypeError as error:
            raise ModelError("the adapter's config.json is incomplete: copy it again") from error
