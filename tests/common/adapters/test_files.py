"""Folders: what is written is read again, whatever its level; what is broken is refused with a word that helps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from common.adapters import create_adapter, from_int8, load_adapter, save_adapter, to_int8
from common.errors import ModelError, SettingsError
from tests.common.adapters.test_levels import STATES, small, stir


@pytest.mark.parametrize("level", [*STATES, "L5F"])
def test_round_trip(level: str, tmp_path: Path) -> None:
    adapter = small(level, layers=2)
    mark = save_adapter(adapter, tmp_path / "new" / "folder")
    loaded = load_adapter(tmp_path / "new" / "folder")
    assert loaded.fingerprint == mark
    assert type(loaded.adapter) is type(adapter)
    assert loaded.adapter.config == adapter.config
    assert not any(p.requires_grad for p in loaded.adapter.parameters())
    states = torch.randn(5, 32)
    more = {"previous": torch.randn(5, 24)} if level == "L5F" else {}
    torch.testing.assert_close(loaded.adapter(states, **more), adapter(states, **more))


def test_round_trip_of_tokens_in_half_precision(tmp_path: Path) -> None:
    adapter = create_adapter("tokens", vocab_size=50, embedding=16, width=32, blocks=1)
    stir(adapter)
    save_adapter(adapter, tmp_path, dtype="float16")
    loaded = load_adapter(tmp_path).adapter.eval()
    ids = torch.randint(0, 50, (7,))
    torch.testing.assert_close(loaded(ids), adapter.eval()(ids), rtol=0.05, atol=0.05)


def test_fingerprints_tell_adapters_apart(tmp_path: Path) -> None:
    one = small("L1")
    marks = {save_adapter(one, tmp_path)}
    with torch.no_grad():
        one.blocks[0].weight += 0.5  # type: ignore[index, union-attr]
    marks.add(save_adapter(one, tmp_path))
    marks.add(save_adapter(small("L1", width=9), tmp_path))
    assert len(marks) == 3


def broken_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def test_broken_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="check the path"):
        load_adapter(tmp_path / "nowhere")
    cases: dict[str, tuple[dict[str, object], str]] = {
        "another model": ({"model_type": "llama"}, "not an adapter"),
        "no such level": ({"level": "L7"}, "no adapter level"),
        "another size": ({"width": 9}, "don't fit"),
        "no number": ({"width": "many"}, "must be a number"),
        "huge": ({"width": 2**40}, "must be a number"),
    }
    for name, (values, words) in cases.items():
        save_adapter(small("L1"), tmp_path / name)
        broken_config(tmp_path / name, **values)
        with pytest.raises(ModelError, match=words):
            load_adapter(tmp_path / name)
    save_adapter(small("L1"), tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="truncated"):
        load_adapter(tmp_path / "cut")
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match="safetensors alone"):
        load_adapter(tmp_path / "cut")


def test_settings_that_dont_exist(tmp_path: Path) -> None:
    save_adapter(small("L1"), tmp_path)
    with pytest.raises(SettingsError):
        load_adapter(tmp_path, dtype="float3")
    with pytest.raises(SettingsError):
        load_adapter(tmp_path, device="nowhere")


def test_bytes_are_near_what_they_stand_for() -> None:
    rows = torch.randn(7, 64) * torch.tensor([1e-6, 1e-3, 1, 10, 1e3, 1e5, 0]).unsqueeze(1)
    codes, scales = to_int8(rows)
    assert codes.dtype is torch.int8
    assert scales.dtype is torch.float16
    again = from_int8(codes, scales)
    assert torch.all((again - rows).abs() <= rows.abs().amax(1, keepdim=True) / 127 * 0.6 + 1e-5)


def test_nothing_that_is_sent_can_be_more_than_a_number() -> None:
    codes, scales = to_int8(torch.tensor([[float("nan"), 1.0], [float("inf"), 2.0], [1e38, -1e38]]))
    assert bool(from_int8(codes, scales).isfinite().all())
