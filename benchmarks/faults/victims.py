"""What faults strike: models that answer at length, a cloud that takes its time, and the processes of daemons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.paced import paced_profile

UNUSED_ID = 0  # <unk>: no trained model says it

# a pass takes this long at least: an answer that a good drafter knows must still last until it is struck
PACED = paced_profile("every pass of the target takes its time", [(1, 15)])


def talkative(folder: Path, into: Path) -> Path:
    """The same model, but one that never says that its answer is over; the weights are a link."""
    into.mkdir(parents=True)
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            values = json.loads((folder / name).read_text())
            (into / name).write_text(json.dumps(_without_end(values)))
    (into / "model.safetensors").symlink_to(folder.resolve() / "model.safetensors")
    for place in (folder, folder.parent):
        if (place / "tokenizer.json").is_file():
            shutil.copy(place / "tokenizer.json", into)
            break
    return into


def _without_end(values: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            changed[name] = _without_end(value)
        else:
            changed[name] = UNUSED_ID if name == "eos_token_id" else value
    return changed


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def family(*pids: int) -> list[int]:
    """Processes and all their descendants."""
    return [one for pid in pids for one in (pid, *family(*children(pid)))]


def engine_of(cloud_pid: int) -> int:
    """The engine process of a cloud daemon."""
    (engine,) = [pid for pid in children(cloud_pid) if "cloud.engine_process" in command(pid)]
    return engine


def command(pid: int) -> Sequence[str]:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
