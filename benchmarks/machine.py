"""What a benchmark ran on, for the `meta` of its results."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from common.errors import ModelError

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_WHOLE = 1 << 30
_PIECE = 1 << 20


def machine_facts() -> dict[str, Any]:
    """CPU, cores, memory, kernel, Python, torch and GPU, as far as this system tells. Doesn't import torch."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "memory_gb": _memory_gb(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "eventspec": _version("eventspec"),
        "gpu": _gpu(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def model_facts(folder: Path) -> dict[str, Any]:
    """Name and fingerprint of a model folder.

    The fingerprint is a SHA-256 over the names, sizes and bytes of `config.json` and the weights; of weights of more
    than 1 GiB, the first and last MiB of each file stand for the rest, and `sampled` says so.

    Raises:
        ModelError: there is no such folder.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} isn't a model folder: it has no config.json")
    files = sorted(f for f in folder.iterdir() if f.name == "config.json" or f.suffix in _WEIGHTS)
    sampled = sum(f.stat().st_size for f in files) > _WHOLE
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{file.stat().st_size}\n".encode())
        _update(digest, file, sampled)
    return {"name": folder.resolve().name, "fingerprint": digest.hexdigest(), "sampled": sampled}


def _update(digest: Any, file: Path, sampled: bool) -> None:
    size = file.stat().st_size
    with file.open("rb") as data:
        if sampled and size > 2 * _PIECE:
            digest.update(data.read(_PIECE))
            data.seek(-_PIECE, os.SEEK_END)
            digest.update(data.read(_PIECE))
            return
        while piece := data.read(_PIECE):
            digest.update(piece)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """Names of NVIDIA GPUs; None without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return ", ".join(output.split("\n")).strip(", ") or None
