"""Asking running daemons, looking at their processes, and pairs that answer at length."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.clips import ClipQuestion
from common.ask import Answer, AskRequest, Mode, Notice, Report
from common.types import Pace, SamplingParams
from edge.asking import ask_daemon

UNUSED_ID = 0  # <unk>: no trained model says it


@dataclass
class Asked:
    """What an asker saw. `values` is the report."""

    values: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def token_ids(self) -> list[int]:
        ids: list[int] = self.values["token_ids"]
        return ids


def ask(
    address: str,
    clip: ClipQuestion,
    *,
    mode: Mode = Mode.STREAM_TO_CLOUD,
    sampling: SamplingParams | None = None,
    pace: Pace = Pace.EAGER,
    max_tokens: int = 64,
    draft_length: int = 0,
    on_first_commit: Callable[[], None] | None = None,
) -> Asked:
    """Ask a daemon about a clip; `on_first_commit` runs once, as soon as there is committed text."""
    request = AskRequest(
        question=clip.question,
        events_path=str(clip.events),
        video_path=str(clip.video),
        mode=mode,
        sampling=sampling or SamplingParams(),
        max_tokens=max_tokens,
        pace=pace,
        draft_length=draft_length,
    )
    asked = Asked()
    for event in ask_daemon(address, request):
        if isinstance(event, Report):
            asked.values = event.values
        elif isinstance(event, Notice):
            asked.notices.append(event.text)
        else:
            asked.answers.append(event)
            if event.committed_text and on_first_commit is not None:
                react, on_first_commit = on_first_commit, None
                react()
    return asked


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
