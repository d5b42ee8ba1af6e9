"""Reads benchmark results from files and folders, and refuses what makes no sense before it becomes a number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Record, Run, load_record
from common.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """One file of results. `name` is what the page calls it."""

    name: str
    record: Record

    @property
    def command(self) -> str:
        """The command that made it."""
        return str(self.record.meta.get("command", "unknown"))


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was read, and what was left aside and why."""

    items: tuple[Source, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """The runs of all files."""
        return [run for item in self.items for run in item.record.runs]


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read files, and every result in folders (`*.json`, also in folders within); the same run given twice counts once.

    Raises:
        InputError: a path is missing, a file isn't benchmark results of this schema, or there are none at all.
    """
    found: list[Source] = []
    aside: list[str] = []
    for path in paths:
        for file in _files(path):
            if path.is_dir() and not _looks_like_results(file):
                aside.append(f"{file.relative_to(path.parent)} isn't benchmark results and was left aside.")
                continue
            name = str(file.relative_to(path)) if path.is_dir() else file.name
            found.append(Source(name, _checked(load_record(file), file)))
    if not any(source.record.runs for source in found):
        raise InputError(f"no run in {', '.join(map(str, paths))}: give files or folders that --json or sweep wrote")
    kept, twice = _without_repeats(found)
    if twice:
        aside.append(f"{twice} runs were in more than one file; each was counted once.")
    return Sources(tuple(kept), tuple(aside))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.json"))
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder")
    return [path]


def _looks_like_results(path: Path) -> bool:
    """False for JSON of another kind; what isn't JSON at all is left to `load_record`'s error."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return isinstance(values, dict) and "runs" in values and "meta" in values


def _without_repeats(sources: Iterable[Source]) -> tuple[list[Source], int]:
    seen: set[str] = set()
    kept: list[Source] = []
    twice = 0
    for source in sources:
        fresh = []
        for run in source.record.runs:
            key = json.dumps(asdict(run), sort_keys=True, default=str)
            twice += key in seen
            if key not in seen:
                fresh.append(run)
            seen.add(key)
        if fresh:
            kept.append(Source(source.name, Record(source.record.meta, fresh)))
    return kept, twice


def _checked(record: Record, path: Path) -> Record:
    if not isinstance(record.meta, Mapping):
        raise InputError(f"{path} can't be read as benchmark results: its meta isn't an object")
    for number, run in enumerate(record.runs):
        fault = _fault(run)
        if fault:
            raise InputError(f"{path}, run {number}: {fault}")
    return record


def _fault(run: Run) -> str:
    """What makes no sense about a run; empty if nothing does."""
    if not all(isinstance(text, str) for text in (run.paradigm, run.mode, run.backend, run.replayed, run.question)):
        return "paradigm, mode, backend, replayed and question must be text"
    if not _number(run.total_ms):
        return f"total_ms is {run.total_ms!r}, not a time"
    if not all(value is None or _number(value) for value in (run.ttft_ms, run.tpot_ms)):
        return "ttft_ms and tpot_ms must be times or null"
    counts = (run.tokens, run.drafted, run.accepted, run.verifications, run.target_passes, run.downlink_bytes)
    lists = (run.drafted_by_position, run.accepted_by_position, run.token_ids)
    if not all(_count(value) for value in (*counts, *(v for values in lists for v in _listed(values)))):
        return "tokens, counts and bytes must be whole numbers from 0 on"
    if not all(isinstance(value, Mapping) for value in (run.link, run.uplink_bytes, run.extra)):
        return "link, uplink_bytes and extra must be objects"
    if not all(_count(value) for value in run.uplink_bytes.values()):
        return "uplink_bytes must be whole numbers from 0 on"
    if not all(_span(stage) for stage in _listed(run.stages)):
        return "a stage needs a name, and end_ms after start_ms"
    return ""


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, Sequence) and not isinstance(values, str) else (None,)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _span(stage: Any) -> bool:
    if not (isinstance(stage, Mapping) and isinstance(stage.get("name"), str)):
        return False
    start, end = stage.get("start_ms"), stage.get("end_ms")
    if not (isinstance(start, int | float) and isinstance(end, int | float)):
        return False
    return math.isfinite(start) and math.isfinite(end) and start <= end
