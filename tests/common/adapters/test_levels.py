"""Every level: its parameters, its shapes, what an untrained one does, and what each state depends on."""

from __future__ import annotations

import pytest
import torch

from common.adapters import (
    Adapter,
    AttentionAdapter,
    CausalAdapter,
    FusedAdapter,
    Level,
    Reach,
    SplitAdapter,
    TokenAdapter,
    create_adapter,
)
from common.errors import ModelError

COUNTS = {
    ("L1", 0): 2_113_537,
    ("L1S", 0): 6_569_985,
    ("L2", 0): 6_324_227,
    ("L3", 2): 16_797_698,
    ("L3", 3): 25_188_355,
    ("L4", 0): 100_714_497,
    ("L5", 0): 102_819_841,
    ("L5F", 0): 169_936_897,
    ("tokens", 0): 45_475_328,
}
PER_TOKEN = ["L1", "L1S", "L2", "L3"]
STATES = [*PER_TOKEN, "L4", "L5"]


def small(level: str, drafter: int = 16, target: int = 24, **sizes: object) -> Adapter:
    torch.manual_seed(3)
    adapter = create_adapter(level, drafter, target, **{"width": 8, **sizes})
    assert isinstance(adapter, Adapter)
    stir(adapter)
    return adapter.eval()


def stir(module: torch.nn.Module) -> None:
    """As if trained: no weight is zero or one by construction."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


@pytest.mark.parametrize(("level", "blocks"), COUNTS)
def test_counts_at_4096(level: str, blocks: int) -> None:
    with torch.device("meta"):
        adapter = create_adapter(level, 4096, 4096, **({"blocks": blocks} if blocks else {}))
    assert adapter.parameters_count == COUNTS[level, blocks]


@pytest.mark.parametrize("level", ["L1", "L2", "L3", "L4", "L5", "L5F"])
def test_counts_of_other_sizes_add_projection_and_fusion(level: str) -> None:
    with torch.device("meta"):
        same = create_adapter(level, 4096, 4096).parameters_count
        other = create_adapter(level, 2048, 4096).parameters_count
        fused = create_adapter(level, 2048, 4096, layers=3).parameters_count
    assert other - same == 2048 * 4096
    assert fused - other == 3 * 2048**2


@pytest.mark.parametrize("level", STATES)
@pytest.mark.parametrize("shape", [(5,), (2, 5), (3, 2, 5)])
@pytest.mark.parametrize("sizes", [(16, 24), (24, 16), (16, 16)])
def test_shapes(level: str, shape: tuple[int, ...], sizes: tuple[int, int]) -> None:
    adapter = small(level, *sizes, layers=2)
    assert adapter(torch.randn(*shape, 2 * sizes[0])).shape == (*shape, sizes[1])


@pytest.mark.parametrize("level", PER_TOKEN)
def test_a_state_of_these_depends_on_its_own_position_alone(level: str) -> None:
    adapter = small(level)
    assert adapter.reach is Reach.TOKEN
    states = torch.randn(6, 16)
    torch.testing.assert_close(adapter(states)[3], adapter(states[3:4])[0])


def test_causal_states_dont_see_later_ones_and_others_do() -> None:
    states = torch.randn(6, 16)
    later = states.clone()
    later[4] += 1.0
    for level, sees in (("L4", True), ("L5", False)):
        adapter = small(level)
        same = torch.allclose(adapter(states)[:4], adapter(later)[:4])
        assert same is not sees
        assert not torch.allclose(adapter(states)[5], adapter(later)[5])


def test_padding_changes_nothing() -> None:
    adapter = small("L4")
    states = torch.randn(2, 6, 16)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    torch.testing.assert_close(adapter(states, mask=mask)[1, :4], adapter(states[1, :4]))


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_untrained_they_pass_the_state_on(level: str) -> None:
    adapter = create_adapter(level, 16, 16)
    states = torch.randn(4, 16)
    torch.testing.assert_close(adapter(states), torch.nn.functional.layer_norm(states, (16,)))


def test_untrained_fusion_passes_the_last_layer_on() -> None:
    adapter = create_adapter("L1", 16, 16, layers=3)
    states = torch.randn(4, 48)
    assert isinstance(adapter, Adapter)
    torch.testing.assert_close(adapter.fuse(states), states[:, 32:])


def test_the_split_passes_through_its_waist_alone() -> None:
    adapter = small("L1S")
    assert isinstance(adapter, SplitAdapter)
    states = torch.randn(5, 16)
    waist = adapter.encode(adapter.fuse(states))
    assert waist.shape == (5, 8)
    near = adapter.decode(waist)
    torch.testing.assert_close(adapter(states), near, rtol=0.05, atol=0.05)  # rounding to bytes lies between
    assert not torch.equal(adapter(states), near)


def test_gradients_pass_the_rounding() -> None:
    adapter = small("L1S")
    assert isinstance(adapter, SplitAdapter)
    adapter(torch.randn(5, 16)).square().sum().backward()
    assert adapter.down.weight.grad is not None
    assert float(adapter.down.weight.grad.abs().sum()) > 0


def test_fused_with_the_targets_states() -> None:
    adapter = small("L5F")
    assert isinstance(adapter, FusedAdapter)
    assert adapter.needs_target
    states, previous = torch.randn(2, 6, 16), torch.randn(2, 6, 24)
    out = adapter(states, previous=previous)
    assert out.shape == (2, 6, 24)
    changed = previous.clone()
    changed[:, 4] += 1
    again = adapter(states, previous=changed)
    torch.testing.assert_close(again[:, :4], out[:, :4])
    assert not torch.allclose(again[:, 4:], out[:, 4:])


def test_token_fusion_needs_embeddings() -> None:
    adapter = small("L5", token_fusion=True)
    states = torch.randn(6, 16)
    with pytest.raises(ModelError, match="embeddings"):
        adapter(states)
    assert isinstance(adapter, CausalAdapter)
    assert adapter(states, embeddings=torch.randn(6, 24)).shape == (6, 24)


def test_tokens() -> None:
    torch.manual_seed(0)
    adapter = create_adapter("tokens", vocab_size=50, embedding=16, width=32, positions=8, blocks=2, heads=4)
    assert isinstance(adapter, TokenAdapter)
    ids = torch.randint(0, 50, (3, 7))
    logits = adapter.eval()(ids)
    assert logits.shape == (3, 7, 50)
    assert torch.equal(logits.argmax(-1), ids), "untrained, the drafter's ids stay"
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[0, 5:] = False
    torch.testing.assert_close(adapter(ids, mask=mask)[0, :5], adapter(ids[0, :5]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="chunks of 8"):
        adapter(torch.zeros(9, dtype=torch.long))


@pytest.mark.parametrize(
    ("level", "sizes", "words"),
    [
        ("L9", {}, "no adapter level"),
        ("L1", {"width": 0}, "width"),
        ("L1", {"depth": 3}, "no such size"),
        ("L4", {"heads": 7}, "don't divide"),
        ("L5", {"positions": 0}, "positions"),
        ("L1", {"token_fusion": True}, "only L5"),
        ("L1", {"width": 1.5}, "must be a number"),
    ],
)
def test_sizes_that_make_no_sense(level: str, sizes: dict[str, int], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        create_adapter(level, 16, 16, **sizes)


def test_states_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match="width 32"):
        small("L1", layers=2)(torch.randn(3, 16))


def test_every_level_is_tested() -> None:
    assert {level for level, _ in COUNTS} == {level.value for level in Level}
    assert isinstance(small("L4"), AttentionAdapter)
