"""The tiny pair's tokenizer: Llama's layout in small, trained on the world's language.

Ids 0, 1, 2 are `<unk>`, `<s>`, `</s>`; 3 to 258 the bytes; then pieces. Text that the world never says
falls back to bytes. The target's image, video and padding ids lie just above the vocabulary, and its tables
are padded to a multiple of 64 rows, as in Video-LLaVA.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import common
from training.world.questions import sample_questions
from training.world.scenes import sample_scene

VOCABULARY = 576
"""Ids of the tokenizer; tables have more rows."""
BOS, EOS = 1, 2
TABLE_ROWS = -(-(VOCABULARY + 3) // 64) * 64
"""Rows of the embedding tables: the vocabulary, the target's three extra ids, and padding."""

SHIPPED = Path(common.__file__).parent / "tiny" / "tokenizer.json"
"""Where the pair's tokenizer lies."""

_SPECIAL = ("<unk>", "<s>", "</s>")
_SCENES, _SEED = 1500, 7
_WORDS = Regex(r"▁?\p{L}+|▁?[^\p{L}▁]|▁")


def build_tokenizer() -> Tokenizer:
    """Train a tokenizer on the world as it is now; a pure function (fixed scenes, fixed sizes)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_WORDS, "isolated")
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    pieces = VOCABULARY - len(_SPECIAL) - len(byte_tokens)
    trainer = trainers.BpeTrainer(vocab_size=pieces, special_tokens=[], show_progress=False, min_frequency=1)
    tokenizer.train_from_iterator(corpus(), trainer)
    learned = tokenizer.get_vocab()
    order = sorted(learned, key=lambda piece: learned[piece])
    vocabulary = {piece: index for index, piece in enumerate([*_SPECIAL, *byte_tokens, *order])}
    merges = _merges(tokenizer)
    tokenizer.model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def pair_tokenizer() -> Tokenizer:
    """The tiny pair's tokenizer: the shipped file, so that weights stay valid when the world's wording changes.

    Where nothing is shipped yet, a new one is trained.
    """
    return Tokenizer.from_file(str(SHIPPED)) if SHIPPED.exists() else build_tokenizer()


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def corpus() -> Iterator[str]:
    """What tokenizers are trained on: questions and answers of fixed scenes."""
    rng = np.random.default_rng(_SEED)
    for seed in range(_SCENES):
        for question in sample_questions(sample_scene(seed), 6, rng):
            yield f"\n{question.text} ASSISTANT: {question.answer}"
        yield "USER: <ev_start> <ev_end>"
