"""Looks at the files of weights in a model folder without reading the weights. No torch in here."""

from __future__ import annotations

import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from common.errors import ModelError
from common.model_config import one_line, read_json, some

# One-piece weights and the index of sharded ones, in order of preference.
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # begins a file of torch before 1.6


def look_at_weights(folder: Path) -> list[Path]:
    """The files that a model's weights are in, whole as far as their headers and sizes tell.

    Raises:
        ModelError: there are none, one is missing, can't be read, is truncated, or lacks what an index promises.
    """
    for whole, index in WEIGHTS:
        if (folder / whole).is_file():
            _names_in(folder / whole)
            return [folder / whole]
        if (folder / index).is_file():
            return _shards(folder / index)
    names = " or ".join(whole for whole, _ in WEIGHTS)
    raise ModelError(f"{folder} has no weights ({names}, in one piece or with an index): download them as well")


def _shards(index: Path) -> list[Path]:
    promised = read_json(index).get("weight_map")
    if not isinstance(promised, dict) or not all(isinstance(name, str) for name in promised.values()):
        raise ModelError(f"{index} has no weight_map from weights to files: download it again")
    paths = []
    for name in sorted(set(promised.values())):
        path = index.parent / name
        if Path(name).name != name or not path.is_file():
            raise ModelError(
                f"{index.name} names a file {name!a:.80}, which is not in {index.parent}: download it again"
            )
        names = _names_in(path)
        wanted = {weight for weight, file in promised.items() if file == name}
        if names is not None and (lost := wanted - names):
            raise ModelError(f"{path} hasn't got {some(lost)}, which {index.name} promises: download it again")
        paths.append(path)
    return paths


def _names_in(path: Path) -> set[str] | None:
    """The names of a file's weights; None if only loading it would tell them. Raises ModelError."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:  # maps the file, reads its header, and checks its length
                return set(file.keys())
        with path.open("rb") as opened:
            old = opened.read(len(_OLD_TORCH)) == _OLD_TORCH
        if not old:
            _check_archive(path)
    except (SafetensorError, zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path} is truncated, or can't be read ({one_line(error)}): download it again") from error
    return None


def _check_archive(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        raise ValueError("it is no file of torch's")
    if any(entry.header_offset + entry.compress_size > size for entry in entries):
        raise ValueError("a part of it is missing")
