"""Quantised layers run at every number of rows, one included, whatever the layer's sizes."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from common.quantization import Quantization, quantize_linears


@pytest.mark.parametrize("quantization", get_args(Quantization))
@pytest.mark.parametrize("inputs", [64, 352, 100])
@pytest.mark.parametrize("rows", [1, 5])
def test_every_shape_runs_near_the_original(quantization: Quantization, inputs: int, rows: int) -> None:
    torch.manual_seed(0)
    original = nn.Linear(inputs, 128, bias=False)
    holder = nn.Sequential(nn.Linear(inputs, 128, bias=False))
    holder.load_state_dict({"0.weight": original.weight.detach().clone()})
    quantize_linears(holder, quantization, dtype=torch.float32, device=torch.device("cpu"))
    x = torch.randn(rows, inputs)
    with torch.inference_mode():
        got, expected = holder(x), original(x)
    assert torch.nn.functional.cosine_similarity(got, expected).min() > 0.98
