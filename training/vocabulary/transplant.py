"""A drafter of another vocabulary out of one that is trained: every layer stays, the tables' rows are made anew.

A new row is the mean of the rows of those old pieces that spell the new one; rows of begin and end are the old ones.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from common.errors import ModelError
from common.tokenizer import Tokenizer
from common.vocabulary import Spelling
from edge.eventgpt import EventGPT

_TABLES = ("model.embed_tokens.weight", "lm_head.weight")


def transplant(old: EventGPT, known: Tokenizer, wanted: Tokenizer, rows: int) -> EventGPT:
    """`old`, whose vocabulary is `known`, with the vocabulary `wanted` in tables of `rows` rows.

    Raises:
        ModelError: one of the vocabularies has no begin or end.
    """
    if None in (known.bos_id, known.eos_id) or wanted.bos_id is None or wanted.eos_id is None:
        raise ModelError(
            "both vocabularies must have ids that begin and end a text: name them in tokenizer_config.json"
        )
    sources = _sources(Spelling(known), Spelling(wanted), known, wanted)
    config = replace(
        old.config, vocab_size=rows, bos_token_id=wanted.bos_id, eos_token_id=wanted.eos_id, pad_token_id=wanted.eos_id
    )
    new = EventGPT(config)
    state = dict(old.state_dict())
    for name in _TABLES:
        state[name] = _mixed(state[name], sources, rows)
    new.load_state_dict(state)
    return new


def _sources(old: Spelling, new: Spelling, known: Tokenizer, wanted: Tokenizer) -> list[list[int]]:
    """For each new id the old ids that it is made of; none where nothing spells it."""
    twins = {wanted.bos_id: known.bos_id, wanted.eos_id: known.eos_id}
    found: list[list[int]] = []
    for index, data in enumerate(new.pieces):
        twin = twins.get(index)
        found.append([twin] if twin is not None else old.spell(data) or [] if data else [])
    return found


def _mixed(table: Tensor, sources: list[list[int]], rows: int) -> Tensor:
    mean = table.mean(0)
    picked = [table[ids].mean(0) if ids else mean for ids in sources[:rows]]
    return torch.stack([*picked, *[mean] * (rows - len(picked))])
