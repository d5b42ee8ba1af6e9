"""The target's checkpoints: every layout, quantised loads, and folders that are wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import VideoLlavaForConditionalGeneration

from cloud.target import VideoLlavaTarget
from common.errors import ModelError, SettingsError
from tests.cloud.target_samples import (
    MARKS,
    VOCABULARY,
    early_weights,
    late_weights,
    modern_weights,
    small_video_llava,
    video_frames,
    write_config,
)
from tests.common.tokenizers import llama_like

PROMPT = [1, 5, *[VOCABULARY + 1] * 34, 9, 270]


def logits(model: VideoLlavaForConditionalGeneration, target: VideoLlavaTarget) -> Tensor:
    pixels = target.preprocess(video_frames(count=2)).unsqueeze(0).to(target.dtype)
    out: Tensor = model(input_ids=torch.tensor([PROMPT]), pixel_values_videos=pixels).logits
    return out.float()


def assert_same(target: VideoLlavaTarget, model: VideoLlavaForConditionalGeneration) -> None:
    torch.testing.assert_close(logits(target.reference_model, target), logits(model, target))


@pytest.mark.parametrize("layout", [modern_weights, late_weights, early_weights])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_layouts_of_every_version_load(tmp_path: Path, layout: Callable[..., dict[str, Tensor]], file: str) -> None:
    model = small_video_llava()
    write_config(tmp_path, model)
    save = save_file if file.endswith("safetensors") else torch.save
    save(layout(model), tmp_path / file)
    target = VideoLlavaTarget.from_pretrained(tmp_path)
    assert_same(target, model)
    # transformers itself reads the same from this folder: the layout is what it is said to be
    theirs = VideoLlavaForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    assert_same(target, theirs)


def test_what_transformers_saves_loads_whole_and_in_shards(tmp_path: Path) -> None:
    model = small_video_llava()
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    whole = VideoLlavaTarget.from_pretrained(tmp_path / "whole")
    shards = VideoLlavaTarget.from_pretrained(tmp_path / "shards")
    assert_same(whole, model)
    assert_same(shards, model)


def test_fingerprint_follows_weights_and_precision_but_not_the_layout(tmp_path: Path) -> None:
    model = small_video_llava()
    for name, layout in (("early", early_weights), ("modern", modern_weights)):
        save_file(layout(model), write_config(tmp_path / name, model) / "model.safetensors")
    changed = modern_weights(model)
    changed["lm_head.weight"][0, 0] += 1
    save_file(changed, write_config(tmp_path / "changed", model) / "model.safetensors")
    marks = [VideoLlavaTarget.from_pretrained(tmp_path / name).fingerprint for name in ("early", "modern", "changed")]
    assert marks[0] == marks[1] != marks[2]
    halved = VideoLlavaTarget.from_pretrained(tmp_path / "early", dtype="bfloat16")
    assert halved.fingerprint not in marks
    assert halved.encode_frames(video_frames()).dtype == torch.bfloat16


def test_tied_tables_stay_tied(tmp_path: Path) -> None:
    model = small_video_llava(tie_word_embeddings=True)
    state = modern_weights(model)
    del state["lm_head.weight"]
    save_file(state, write_config(tmp_path, model, tie_word_embeddings=True) / "model.safetensors")
    target = VideoLlavaTarget.from_pretrained(tmp_path)
    assert target.reference_model.lm_head.weight is target.reference_model.model.language_model.embed_tokens.weight
    torch.testing.assert_close(target.reference_model.lm_head.weight.data, state[EMBEDDING])


EMBEDDING = "model.language_model.embed_tokens.weight"


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantised_targets_are_close(tmp_path: Path, quantization: Any) -> None:
    model = small_video_llava()
    model.save_pretrained(tmp_path)
    target = VideoLlavaTarget.from_pretrained(tmp_path, quantization=quantization, dtype="bfloat16")
    near, exact = logits(target.reference_model, target), logits(model.bfloat16(), target)
    assert torch.corrcoef(torch.stack([near.flatten(), exact.flatten()]))[0, 1] > 0.9
    kinds = {type(module).__name__ for module in target.language_model.modules()}
    assert kinds & {"Linear4bit", "Linear8bitLt"}
    assert type(target.lm_head) is torch.nn.Linear


def test_the_generation_config_says_where_answers_end(tmp_path: Path) -> None:
    model = small_video_llava()
    model.save_pretrained(tmp_path)
    llama_like(added=MARKS).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    target = VideoLlavaTarget.from_pretrained(tmp_path)
    assert target.eos_token_ids == {2, 7}
    assert target.tokenizer is not None
    assert target.prompt_ids("as?", frames=1).count(target.video_token_id) == 17


def change_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (change_config(model_type="EventChat_llama"), "eventspec-edge"),
        (change_config(model_type="eventspec_eventgpt"), "eventspec-edge"),
        (change_config(model_type="llava"), "Video-LLaVA"),
        (change_config(text_config={"model_type": "gpt2"}), "gpt2"),
        (change_config(text_config={"model_type": "llama", "hidden_size": "wide"}), "config.json"),
        (change_config(text_config={"model_type": "llama", "hidden_size": 32, "vocab_size": 99}), "another shape"),
        (truncate, "truncated"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"{}"), "not safetensors"),
        (lambda folder: (folder / "generation_config.json").write_text("{"), "generation_config.json"),
    ],
)
def test_a_wrong_folder_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    model = small_video_llava()
    save_file(modern_weights(model), write_config(tmp_path, model) / "model.safetensors")
    damage(tmp_path)
    with pytest.raises(ModelError) as caught:
        VideoLlavaTarget.from_pretrained(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    write_config(tmp_path, small_video_llava())
    with pytest.raises(ModelError, match="no model folder"):
        VideoLlavaTarget.from_pretrained(tmp_path / "nowhere")
    for setting in ({"dtype": "int3"}, {"device": "warp:9"}, {"quantization": "1bit"}):
        with pytest.raises(SettingsError, match=next(iter(setting.values()))):
            VideoLlavaTarget.from_pretrained(tmp_path, **setting)  # type: ignore[arg-type]
