"""EventGPT's checkpoints: every layout that exists, and every way in which a folder can be wrong."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.errors import MismatchError, ModelError, SettingsError
from common.tokenizer import Tokenizer
from edge.eventgpt import EventGPT
from tests.common.tokenizers import llama_like
from tests.edge.eventgpt_samples import (
    PROMPT,
    TOWER,
    event_frames,
    original_config,
    original_weights,
    small_model,
    tower_config_of,
    write_config,
    write_original,
)

State = dict[str, Tensor]


def assert_same(loaded: EventGPT, model: EventGPT) -> None:
    frames = event_frames()
    torch.testing.assert_close(loaded(PROMPT, frames), model(PROMPT, frames))


def safetensors_shards(folder: Path, state: State) -> None:
    names = sorted(state)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in shards.items():
        save_file({key: state[key] for key in keys}, folder / file)
    weight_map = {key: file for file, keys in shards.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def torch_shards(folder: Path, state: State) -> None:
    names = sorted(state)
    torch.save({key: state[key] for key in names[:9]}, folder / "1.bin")
    torch.save({key: state[key] for key in names[9:]}, folder / "2.bin", _use_new_zipfile_serialization=False)
    weight_map = {key: "1.bin" if key in names[:9] else "2.bin" for key in names}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, state: save_file(state, folder / "model.safetensors"),
        lambda folder, state: torch.save(state, folder / "pytorch_model.bin"),
        safetensors_shards,
        torch_shards,
    ],
    ids=["safetensors", "torch", "safetensors shards", "torch shards"],
)
@pytest.mark.parametrize("vision_model", [True, False])
def test_the_originals_layouts_load(tmp_path: Path, vision_model: bool, write: Callable[[Path, State], None]) -> None:
    model = small_model()
    write_config(tmp_path, original_config(model) | {"vision_config": tower_config_of(model)})
    write(tmp_path, original_weights(model, vision_model=vision_model))
    assert_same(EventGPT.from_pretrained(tmp_path), model)


def test_the_towers_config_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    model = small_model()
    write_config(tmp_path / "clip", {"model_type": "clip", "vision_config": tower_config_of(model)})
    for index, name in enumerate((str(tmp_path / "clip"), "../clip", "clip", "/gone/elsewhere/clip")):
        folder = tmp_path / f"model{index}"
        write_original(folder, model, nested_tower=False, mm_visual_tower=name)
        assert_same(EventGPT.from_pretrained(folder), model)


@pytest.mark.parametrize("key", ["vision_config", "mm_vision_config"])
def test_the_towers_config_may_be_nested_under_any_name(tmp_path: Path, key: str) -> None:
    model = small_model()
    folder = write_original(tmp_path, model, nested_tower=False, **{key: tower_config_of(model)})
    assert_same(EventGPT.from_pretrained(folder), model)


def test_a_clip_folder_inside_the_models_is_found(tmp_path: Path) -> None:
    model = small_model()
    folder = write_original(tmp_path, model, nested_tower=False)
    write_config(folder / "assets", {"anything": 1})
    write_config(folder / "tower", tower_config_of(model))
    assert_same(EventGPT.from_pretrained(folder), model)


def test_scaled_rotary_embeddings_are_read_in_both_spellings(tmp_path: Path) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0}
    model = small_model(rope_theta=500.0, rope_scaling=scaling)
    spellings: list[dict[str, Any]] = [
        {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_theta": None, "rope_parameters": {**scaling, "rope_theta": 500.0}},
    ]
    for index, spelling in enumerate(spellings):
        folder = write_original(tmp_path / str(index), model, **spelling)
        assert_same(EventGPT.from_pretrained(folder), model)
    plain = small_model(rope_theta=500.0)
    assert (plain(PROMPT, event_frames()) - model(PROMPT, event_frames())).abs().max() > 0.01


def test_the_towers_dimensions_come_from_its_weights(tmp_path: Path) -> None:
    model = small_model(vision_hidden_size=128, vision_num_attention_heads=2, vision_image_size=28, projector_depth=3)
    folder = write_original(tmp_path, model, nested_tower=False)
    loaded = EventGPT.from_pretrained(folder)
    assert loaded.config.vision_image_size == 28
    assert loaded.config.projector_depth == 3
    assert_same(loaded, model)


def test_buffers_of_older_versions_are_ignored(tmp_path: Path) -> None:
    model = small_model()
    folder = write_original(tmp_path, model)
    state = original_weights(model) | {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        f"{TOWER}vision_model.embeddings.position_ids": torch.arange(17),
    }
    save_file(state, folder / "model.safetensors")
    assert_same(EventGPT.from_pretrained(folder), model)


@pytest.mark.parametrize("tied", [True, False])
def test_our_own_layout_is_read_back(tmp_path: Path, tied: bool) -> None:
    model = small_model(tie_word_embeddings=tied, canvas="sensor", window_us=2_000_000, max_window_us=3_000_000)
    model.save_pretrained(tmp_path / "new" / "folder")
    loaded = EventGPT.from_pretrained(tmp_path / "new" / "folder")
    assert loaded.config == model.config
    assert (loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()) is tied
    assert_same(loaded, model)


def test_a_loaded_model_survives_its_files(tmp_path: Path) -> None:
    model = small_model()
    model.save_pretrained(tmp_path)
    loaded = EventGPT.from_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(100)
    assert_same(loaded, model)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantised_models_are_close_and_small(tmp_path: Path, quantization: Any) -> None:
    model = small_model()
    model.save_pretrained(tmp_path)
    loaded = EventGPT.from_pretrained(tmp_path, quantization=quantization, dtype="bfloat16")
    exact, near = (it(PROMPT, event_frames())[0].float().flatten() for it in (model, loaded))
    assert torch.corrcoef(torch.stack([exact, near]))[0, 1] > 0.9
    kinds = {type(module).__name__ for module in loaded.model.layers.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    assert type(loaded.lm_head) is torch.nn.Linear
    with pytest.raises(ModelError, match="quantised"):
        loaded.save_pretrained(tmp_path / "again")


def test_dtype_is_that_of_weights_and_features(tmp_path: Path) -> None:
    small_model().save_pretrained(tmp_path)
    loaded = EventGPT.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert loaded.encode(event_frames()).dtype == torch.bfloat16
    assert loaded.model.rotary_emb.inv_freq.dtype == torch.float32  # angles need the precision


def test_the_folders_tokenizer_limits_the_vocabulary(tmp_path: Path) -> None:
    model = small_model(vocab_size=384)
    model.save_pretrained(tmp_path / "drafter")
    assert EventGPT.from_pretrained(tmp_path / "drafter").vocab_size == 384
    llama_like().save(str(tmp_path / "tokenizer.json"))  # beside the folder, shared by a pair
    size = Tokenizer.from_folder(tmp_path).vocab_size
    assert EventGPT.from_pretrained(tmp_path / "drafter").vocab_size == size < 384
    small_model(vocab_size=384, eos_token_id=380).save_pretrained(tmp_path / "drafter")
    with pytest.raises(MismatchError, match="380"):
        EventGPT.from_pretrained(tmp_path / "drafter")


class Hostile:
    """Unpickling this runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    model, mark = small_model(), tmp_path / "it_ran"
    write_config(tmp_path, original_config(model))
    path = tmp_path / "pytorch_model.bin"
    if zipped:
        torch.save({"model.norm.weight": Hostile(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(mark)))
    with pytest.raises(ModelError, match="nothing in it was run"):
        EventGPT.from_pretrained(tmp_path)
    assert not mark.exists()


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "EventChat_llama", ')


def damage_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def change_weights(change: Callable[[State], State]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(dict(load_file(path))), path)

    return rewrite


def without(*parts: str) -> Callable[[State], State]:
    return lambda state: {key: tensor for key, tensor in state.items() if not any(part in key for part in parts)}


def index_only(folder: Path, files: dict[str, str]) -> None:
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (damage_config, "can't be read"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "instead of an object"),
        (change_config(model_type="video_llava"), "Video-LLaVA"),
        (change_config(model_type="gpt2"), "gpt2"),
        (change_config(use_event_qformer=True), "Q-Former"),
        (change_config(hidden_size="wide"), "hidden_size"),
        (change_config(rms_norm_eps="small"), "rms_norm_eps"),
        (change_config(hidden_act="magic"), "config.json"),
        (change_config(vision_config=None), "mm_visual_tower"),
        (change_config(intermediate_size=192), "another shape"),
        (change_config(num_hidden_layers=2), "unknown"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (damage_weights, "truncated"),
        (change_weights(without("feature_adaptor")), "feature_adaptor"),
        (change_weights(without("visual_tower")), "missing"),
        (change_weights(without("lm_head")), "lm_head"),
        (
            change_weights(lambda state: state | {"model.qformer.weight": torch.ones(2)}),
            "model.qformer.weight",
        ),
        (change_weights(lambda state: state | {"lm_head.weight": torch.ones(3, 2)}), "another shape"),
        (
            change_weights(lambda state: state | {"lm_head.weight": state["lm_head.weight"].to(torch.int8)}),
            "not floating point",
        ),
        (
            change_weights(lambda state: state | {f"{TOWER}pre_layrnorm.bias": torch.ones(48)}),
            "twice",
        ),
        (lambda folder: index_only(folder, {"lm_head.weight": "gone.safetensors"}), "gone.safetensors"),
        (lambda folder: index_only(folder, {"lm_head.weight": "../part.safetensors"}), "../part"),
        (lambda folder: index_only(folder, {"extra.weight": "part.safetensors"}), "extra.weight"),
    ],
)
def test_a_wrong_folder_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = write_original(tmp_path / "model", small_model())
    damage(folder)
    with pytest.raises(ModelError) as caught:
        EventGPT.from_pretrained(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    folder = write_original(tmp_path, small_model())
    with pytest.raises(ModelError, match="no model folder"):
        EventGPT.from_pretrained(tmp_path / "nowhere")
    for setting in ({"dtype": "int3"}, {"device": "warp:9"}, {"quantization": "1bit"}):
        with pytest.raises(SettingsError, match=next(iter(setting.values()))):
            EventGPT.from_pretrained(folder, **setting)  # type: ignore[arg-type]
