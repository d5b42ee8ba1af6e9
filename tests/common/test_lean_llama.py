"""The lean layers compute what transformers' own do, and leave the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from common.lean_llama import LeanLlama, is_plain
from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention


def llama(kv_heads: int, bias: bool) -> Any:
    torch.manual_seed(kv_heads + 10 * bias)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=kv_heads,
        attention_bias=bias,
    )
    model: Any = LlamaModel(config)
    model.eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # norms of one and biases of zero would hide mistakes
    return model


@pytest.mark.parametrize("kv_heads", [6, 2])
@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_packed_rows_equal_the_models_own_layers(kv_heads: int, bias: bool) -> None:
    model = llama(kv_heads, bias)
    rows = [torch.randn(n, 48) for n in (9, 14)]
    expected = [model(inputs_embeds=row[None]).last_hidden_state[0] for row in rows]
    use_packed_attention(model)
    assert is_plain(model)
    storage = KVStorage.for_model(model, slots=2, capacity=20)
    for slot, row in enumerate(rows):
        at = 0
        for count in (5, 1, len(row) - 6):  # a prompt, one token, a draft
            plan = PackedPlan([Segment(slot, at, count)], storage)
            found = packed_forward(model, row[at : at + count], plan)
            torch.testing.assert_close(found, expected[slot][at : at + count], rtol=1e-4, atol=1e-5)
            at += count
    both = PackedPlan([Segment(0, 8, 1), Segment(1, 10, 4)], storage)
    found = packed_forward(model, torch.cat([rows[0][8:], rows[1][10:]]), both)
    torch.testing.assert_close(found, torch.cat([expected[0][8:], expected[1][10:]]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_model_goes_on_working_and_nothing_is_held_twice() -> None:
    model = llama(2, bias=True)
    before = model(inputs_embeds=torch.ones(1, 4, 48)).last_hidden_state
    LeanLlama(model)
    assert torch.equal(model(inputs_embeds=torch.ones(1, 4, 48)).last_hidden_state, before)
    attention = model.layers[0].self_attn
    shared = {matrix.weight.untyped_storage().data_ptr() for matrix in (attention.q_proj, attention.v_proj)}
    assert len(shared) == 1


def test_other_layers_are_left_to_transformers() -> None:
    class Quantised(nn.Linear):
        pass

    model = llama(2, bias=False)
    model.layers[1].mlp.up_proj = Quantised(48, 80, bias=False)
    assert not is_plain(model)
    model = llama(2, bias=False)
    model.config.hidden_act = "gelu"
    assert not is_plain(model)
