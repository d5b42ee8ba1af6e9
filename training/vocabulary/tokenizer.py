"""The other drafter's tokenizer: GPT-2's kind in small, unlike the pair's in everything but the language.

Pieces are made of bytes, spaces belong to the word behind them (`Ġ`), punctuation to the word before it (`Ġstill.` is
one piece, the target's are two), the special ids are others, and rarer words that the target has whole are split.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from training.tokenizer import corpus

VOCABULARY = 448
"""Ids, and rows of the tables: a multiple of 64."""
END, BEGIN = "<|end|>", "<|begin|>"
EOS, BOS = 0, 1

_WORDS = Regex(r" ?[^ \n]+|[ \n]")


def build_other_tokenizer() -> Tokenizer:
    """Train it on the world as it is now; a pure function (fixed scenes, fixed size)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, BEGIN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json`, and the names of its special tokens into `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": BEGIN, "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(names, indent=2) + "\n")
