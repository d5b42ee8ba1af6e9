"""EventGPT against its definition, restated here slowly and without any of its code."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, silu

from common.errors import InputError, ModelError, PromptError
from common.frames import clip_pixels
from edge.eventgpt import EventGPT, EventGPTConfig, build_prompt, prompt_ids
from tests.edge.eventgpt_samples import PROMPT, SMALL, TOWER, event_frames, small_model

State = dict[str, Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool) -> Tensor:
    """Multi-head attention of [n, width] tensors, one head and one query at a time."""
    size = q.shape[1] // heads
    out = torch.zeros_like(q)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for row in range(q.shape[0]):
            seen = slice(0, row + 1 if causal else q.shape[0])
            weights = torch.softmax(k[seen, part] @ q[row, part] / size**0.5, dim=0)
            out[row, part] = weights @ v[seen, part]
    return out


def clip_tower(state: State, pixels: Tensor, heads: int, layers: int) -> Tensor:
    """CLIP's last hidden state [P, width] of one picture [3, S, S]."""
    kernel = state[f"{TOWER}embeddings.patch_embedding.weight"]
    size = kernel.shape[-1]
    rows = [state[f"{TOWER}embeddings.class_embedding"]]
    for top in range(0, pixels.shape[1] - size + 1, size):
        for left in range(0, pixels.shape[2] - size + 1, size):
            patch = pixels[:, top : top + size, left : left + size]
            rows.append((kernel * patch).sum(dim=(1, 2, 3)))

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], state[f"{TOWER}{name}.weight"], state[f"{TOWER}{name}.bias"], 1e-5)

    hidden = torch.stack(rows) + state[f"{TOWER}embeddings.position_embedding.weight"]
    hidden = norm(hidden, "pre_layrnorm")
    for layer in range(layers):
        at = f"encoder.layers.{layer}"

        def project(x: Tensor, name: str, at: str = at) -> Tensor:
            return linear(x, state[f"{TOWER}{at}.{name}.weight"], state[f"{TOWER}{at}.{name}.bias"])

        x = norm(hidden, f"{at}.layer_norm1")
        q, k, v = (project(x, f"self_attn.{name}_proj") for name in "qkv")
        hidden = hidden + project(attend(q, k, v, heads, causal=False), "self_attn.out_proj")
        x = project(norm(hidden, f"{at}.layer_norm2"), "mlp.fc1")
        hidden = hidden + project(x * torch.sigmoid(1.702 * x), "mlp.fc2")
    return hidden


def event_features(state: State, pixels: Tensor, config: EventGPTConfig) -> Tensor:
    """The definition's event features [T + P, hidden]."""
    tokens = []
    for picture in pixels:
        x = clip_tower(state, picture, config.vision_num_attention_heads, config.vision_num_hidden_layers)
        for index in (0, 2):
            name = f"model.visual_projector.{index}"
            x = linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
            x = gelu(x) if index == 0 else x
        tokens.append(linear(x, state["model.feature_adaptor.weight"], state["model.feature_adaptor.bias"]))
    every = torch.stack(tokens)
    temporal = [frame.mean(dim=0) for frame in every]
    spatial = [every[:, place].mean(dim=0) for place in range(every.shape[1])]
    return torch.stack(temporal + spatial)


def rotate(x: Tensor, heads: int, theta: float) -> Tensor:
    """Rotary embedding of [n, heads * size]: each pair (i, i + size / 2) turns by its own angle."""
    size = x.shape[1] // heads
    out = x.clone()
    for head in range(heads):
        for i in range(size // 2):
            angle = torch.arange(x.shape[0]) * theta ** (-2 * i / size)
            a, b = head * size + i, head * size + i + size // 2
            out[:, a] = x[:, a] * angle.cos() - x[:, b] * angle.sin()
            out[:, b] = x[:, b] * angle.cos() + x[:, a] * angle.sin()
    return out


def llama_logits(state: State, hidden: Tensor, config: EventGPTConfig) -> Tensor:
    """LLaMA's logits [n, vocab] for embeddings [n, hidden]."""
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    size = config.hidden_size // heads

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * state[f"model.{name}.weight"]

    def spread(x: Tensor) -> Tensor:  # each key-value head serves several heads
        return x.view(-1, kv_heads, size).repeat_interleave(heads // kv_heads, dim=1).flatten(1)

    for layer in range(config.num_hidden_layers):
        at = f"layers.{layer}"

        def project(x: Tensor, name: str, at: str = at) -> Tensor:
            return linear(x, state[f"model.{at}.{name}.weight"])

        x = norm(hidden, f"{at}.input_layernorm")
        q = rotate(project(x, "self_attn.q_proj"), heads, config.rope_theta)
        k = spread(rotate(project(x, "self_attn.k_proj"), kv_heads, config.rope_theta))
        v = spread(project(x, "self_attn.v_proj"))
        hidden = hidden + project(attend(q, k, v, heads, causal=True), "self_attn.o_proj")
        x = norm(hidden, f"{at}.post_attention_layernorm")
        x = silu(project(x, "mlp.gate_proj")) * project(x, "mlp.up_proj")
        hidden = hidden + project(x, "mlp.down_proj")
    return linear(norm(hidden, "norm"), state["lm_head.weight"])


def defined_logits(model: EventGPT, ids: list[int], frames: list[NDArray[np.uint8]]) -> Tensor:
    """Logits by the definition alone, in double precision."""
    state = {key: tensor.double() for key, tensor in model.state_dict().items()}
    pixels = torch.from_numpy(clip_pixels(frames, model.config.vision_image_size)).double()
    at = ids.index(-200)
    table = state["model.embed_tokens.weight"]
    features = event_features(state, pixels, model.config)
    rows = torch.cat([table[ids[:at]], features, table[ids[at + 1 :]]])
    return llama_logits(state, rows[: model.config.max_length], model.config)


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": None, "rope_theta": 500.0, "rms_norm_eps": 1e-3}])
def test_logits_are_those_of_the_definition(changes: dict[str, Any]) -> None:
    model, frames = small_model(**changes), event_frames()
    expected = defined_logits(model, PROMPT, frames)
    logits = model(PROMPT, frames)[0]
    assert logits.shape == (len(PROMPT) - 1 + 5 + 17, 128)
    assert (logits - expected).abs().max() < 1e-4
    assert expected.std() > 0.3  # a model that says something


def test_features_are_those_of_the_definition_for_any_number_of_frames() -> None:
    model = small_model()
    for count in (1, 5):
        frames = event_frames(count, count)
        state = {key: tensor.double() for key, tensor in model.state_dict().items()}
        pixels = torch.from_numpy(clip_pixels(frames, 30))
        features = model.encode(frames)
        assert features.shape == (count + 17, 64)
        expected = event_features(state, pixels.double(), model.config)
        torch.testing.assert_close(features.double(), expected, rtol=1e-5, atol=1e-5)
        assert 0.3 < expected.std() < 3


def test_every_form_of_frames_and_ids_is_taken() -> None:
    model, frames = small_model(), [frame[:20, :20] for frame in event_frames()]
    pixels = clip_pixels(frames, 30)
    expected = model.encode(frames)
    for form in (
        np.stack(frames),
        torch.from_numpy(np.stack(frames)),
        pixels,
        torch.from_numpy(pixels),
        list(pixels),
    ):
        torch.testing.assert_close(model.encode(form), expected)
    logits = model(PROMPT, frames)
    for ids in (torch.tensor(PROMPT), torch.tensor([PROMPT]), np.array(PROMPT), [PROMPT]):
        torch.testing.assert_close(model(ids, frames), logits)
    torch.testing.assert_close(model(PROMPT, features=expected), logits)
    torch.testing.assert_close(model(inputs_embeds=model.splice(PROMPT, expected)), logits)


def test_long_prompts_are_cut_as_in_the_original() -> None:
    model, frames = small_model(max_length=20), event_frames()
    logits = model([1, *range(10), -200, *range(10)], frames)
    assert logits.shape[1] == 20
    untruncated = small_model()([1, *range(10), -200, *range(10)], frames)
    torch.testing.assert_close(logits, untruncated[:, :20])


def test_a_batch_is_its_rows_and_gradients_reach_the_first_pixel() -> None:
    model = small_model().requires_grad_(True)
    ids = torch.tensor([[1, 5, -200, 7], [1, -200, 8, 7]])
    pixels = torch.randn(2, 5, 3, 30, 30)
    logits = model(ids, features=model.encode_pixels(pixels))
    for row in range(2):
        torch.testing.assert_close(logits[row], model(ids[row], pixels[row])[0], rtol=1e-4, atol=1e-4)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        if "post_layernorm" not in name:  # CLIP's pooled output is not used
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("ids", "frames", "error"),
    [
        ([1, 2, 3], event_frames(), PromptError),  # nowhere to put the events
        (PROMPT, None, PromptError),  # nothing to put there
        ([1, -200, 5, -200], event_frames(), PromptError),
        ([1, -200, 128], event_frames(), PromptError),  # outside the vocabulary
        ([1, -200, -7], event_frames(), PromptError),
        ([], event_frames(), PromptError),
        ([1.5, -200], event_frames(), PromptError),
        (PROMPT, [], InputError),
        (PROMPT, torch.zeros(5, 3, 28, 28), InputError),
        (PROMPT, [np.zeros((9, 9), np.uint8)], InputError),
        (PROMPT, [np.zeros((9, 9, 3), np.int64)], InputError),
    ],
)
def test_what_does_not_fit_is_refused(ids: list[int], frames: list[NDArray[np.uint8]], error: type[Exception]) -> None:
    with pytest.raises(error):
        small_model()(ids, frames)


class Letters:
    """A tokenizer of single letters whose beginning-of-sequence id is 1."""

    def encode(self, text: str, *, bos: bool) -> list[int]:
        return [1] * bos + [ord(letter) for letter in text]


def test_prompt_is_split_at_the_event_and_has_one_beginning() -> None:
    text = build_prompt("What moves?")
    assert text == (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the human's questions. "
        "USER: <ev_start><event><ev_end>\nWhat moves? ASSISTANT:"
    )
    ids = prompt_ids("What moves?", Letters())
    assert ids.count(1) == 1
    assert ids.count(-200) == 1
    before, after = text.split("<event>")
    assert ids == [1, *map(ord, before), -200, *map(ord, after)]
    assert prompt_ids("Is <event> text?", Letters()).count(-200) == 1
    with pytest.raises(PromptError, match="empty"):
        prompt_ids("  \n", Letters())


def test_config_and_prompt_need_no_torch() -> None:
    code = "import sys, edge.eventgpt as e; e.EventGPTConfig().to_dict(); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_config_survives_json_and_refuses_nonsense() -> None:
    config = EventGPTConfig(**SMALL, eos_token_id=[2, 7])
    assert EventGPTConfig.from_dict(config.to_dict()) == config
    assert config.eos_token_ids == {2, 7}
    assert EventGPTConfig().event_tokens() == 582
    for changes in ({"hidden_size": 0}, {"hidden_size": 65}, {"num_key_value_heads": 3}, {"canvas": "paper"}):
        with pytest.raises(ModelError, match=next(iter(changes))):
            EventGPTConfig(**{**SMALL, **changes})
    with pytest.raises(ModelError, match="prompt_template"):
        EventGPTConfig(**SMALL, prompt_template="no place for events")
