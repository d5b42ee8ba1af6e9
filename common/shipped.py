"""Where the shipped tiny pair and its clips lie: what every command takes when no model is named."""

from __future__ import annotations

from pathlib import Path

from common.errors import ModelError

_TINY = Path(__file__).parent / "tiny"


def shipped_target() -> Path:
    """Folder of the tiny target. Raises ModelError if this installation has none."""
    return _existing(_TINY / "target")


def shipped_drafter() -> Path:
    """Folder of the tiny drafter. Raises ModelError if this installation has none."""
    return _existing(_TINY / "drafter")


def shipped_other_drafter() -> Path:
    """Folder of the tiny drafter with a vocabulary of its own. Raises ModelError if this installation has none."""
    return _existing(_TINY / "other-drafter")


def shipped_clips() -> Path:
    """Folder of the shipped clips, with their `clips.json`. Raises ModelError if this installation has none."""
    return _existing(_TINY / "clips")


def adapter_folder(name: str | Path) -> Path:
    """The folder of an adapter: the shipped one of this name, such as `tiny-L5F`, or else a folder."""
    shipped = _TINY / "adapters" / name
    return shipped if shipped.is_dir() and not Path(name).is_dir() else Path(name)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelError(f"the shipped tiny pair is missing ({folder}): install again, or name a folder with --model")
    return folder
