"""The target's vision side alone: the same features as inside the target, from a part of its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cloud.target import VideoLlavaTarget
from common.errors import InputError, ModelError
from common.shipped import shipped_drafter, shipped_target
from common.vision import TargetVision
from tests.cloud.target_samples import late_weights, small_video_llava, video_frames, write_config


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_are_the_targets_bit_by_bit(dtype: torch.dtype) -> None:
    alone = TargetVision.from_pretrained(shipped_target(), dtype=dtype)
    target = VideoLlavaTarget.from_pretrained(shipped_target(), dtype=dtype)
    frames = video_frames(count=4)
    features = alone.encode_frames(frames)
    assert features.dtype == target.dtype == dtype
    assert torch.equal(features, target.encode_frames(frames))
    pixels = alone.preprocess(frames)
    theirs = target.reference_model.model.get_video_features(pixels.unsqueeze(0).to(dtype)).pooler_output
    torch.testing.assert_close(features, theirs.flatten(0, -2))
    assert alone.fingerprint == target.vision.fingerprint
    assert (alone.tokens_per_frame, alone.hidden_size) == (target.tokens_per_frame, target.hidden_size)


def test_the_language_model_isnt_held() -> None:
    alone = TargetVision.from_pretrained(shipped_target())
    held = [*alone._tower.parameters(), *alone._projector.parameters()]
    whole = (shipped_target() / "model.safetensors").stat().st_size / 2  # float16
    assert sum(parameter.numel() for parameter in held) < whole / 4


def test_fingerprints_differ_where_features_do(tmp_path: Path) -> None:
    def saved(name: str, seed: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        model = small_video_llava(seed)
        write_config(folder, model)
        torch.save(late_weights(model), folder / "pytorch_model.bin")
        return folder

    one, other = saved("one", 0), saved("other", 1)
    marks = {
        TargetVision.from_pretrained(one).fingerprint,
        TargetVision.from_pretrained(other).fingerprint,
        TargetVision.from_pretrained(one, dtype="bfloat16").fingerprint,
    }
    assert len(marks) == 3
    assert TargetVision.from_pretrained(one).fingerprint in marks
    quantised = VideoLlavaTarget.from_pretrained(one, quantization="8bit")
    assert quantised.vision.fingerprint in marks, "quantisation leaves the vision side as it is"


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        TargetVision.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="edge's drafter"):
        TargetVision.from_pretrained(shipped_drafter())
    model = small_video_llava()
    write_config(tmp_path, model)
    weights = {key: value for key, value in late_weights(model).items() if "projector" not in key}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="4 weights are missing"):
        TargetVision.from_pretrained(tmp_path)


def test_pixels_of_another_size_are_refused() -> None:
    alone = TargetVision.from_pretrained(shipped_target())
    with pytest.raises(InputError, match="pixels must be"):
        alone.encode_frames(torch.zeros(1, 3, 8, 8))
