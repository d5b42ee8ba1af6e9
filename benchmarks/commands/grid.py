"""A grid of links and the files of its points: a sweep that was stopped goes on where it was. Pure but for files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.results import SCHEMA, Record, Run, load_record
from common.errors import InputError, SettingsError

RTTS_MS = (5.0, 20.0, 50.0, 100.0)
UPLINKS_MBPS = (2.0, 5.0, 20.0, 100.0)
_SAME = ("command", "plan", "layout", "models", "backend")


@dataclass(frozen=True, slots=True)
class Point:
    """A link of the grid and the file of its results."""

    profile: LinkProfile
    file: Path


def parse_values(name: str, texts: Sequence[str] | None, default: Sequence[float]) -> list[float]:
    """Numbers from repeated or comma-separated options, in ascending order, each once.

    Raises:
        SettingsError: one isn't a positive number.
    """
    if not texts:
        return list(default)
    values = set()
    for word in (word.strip() for text in texts for word in text.split(",")):
        try:
            value = float(word)
        except ValueError as error:
            raise SettingsError(f"{name} takes numbers, such as 5,20,50, not {word!r}") from error
        if not 0 < value < 1e6:
            raise SettingsError(f"{name} must be positive and finite, not {word}")
        values.add(value)
    return sorted(values)


def grid(
    base: LinkProfile, rtts: Sequence[float], uplinks: Sequence[float], downlink: float | None
) -> list[LinkProfile]:
    """A profile for every pair; the downlink is as fast as the uplink unless it is given. All else is `base`'s."""
    return [
        replace(
            base,
            name=f"{rtt:g}ms-{uplink:g}M",
            rtt_ms=rtt,
            uplink_mbps=uplink,
            downlink_mbps=uplink if downlink is None else downlink,
            source="a point of a sweep",
        )
        for rtt in rtts
        for uplink in uplinks
    ]


def points(profiles: Sequence[LinkProfile], folder: Path) -> list[Point]:
    """Where each profile's results lie."""
    return [Point(profile, folder / f"point-{profile.name}.json") for profile in profiles]


def finished(point: Point, expected: Mapping[str, Any]) -> Record | None:
    """The point's results, if it was measured in the way that `expected` (a `meta`) says; None if it wasn't yet.

    Results that a failed check of losslessness left behind are none.

    Raises:
        InputError: the file is damaged, or was measured in another way: nothing is mixed, nothing is overwritten.
    """
    if not point.file.is_file():
        return None
    record = load_record(point.file)
    if not record.meta.get("lossless"):
        return None
    ours = {**expected, "link": point.profile.as_dict()}
    for key in (*_SAME, "link"):
        if key in ours and record.meta.get(key) != ours[key]:
            raise InputError(
                f"{point.file} was measured with another {key} ({record.meta.get(key)}, now {ours[key]}): "
                "take another --out folder, or delete it"
            )
    return record


def merged(records: Sequence[Record]) -> Record:
    """One record of all points: the facts of the first, the runs of all, each point's own facts under `points`."""
    first = dict(records[0].meta)
    per_point = ("created", "link", "measured", "choices", "notes", "machine")
    facts = [{key: record.meta.get(key) for key in per_point} for record in records]
    notes = list(dict.fromkeys(note for record in records for note in record.meta.get("notes", ())))
    meta = {**first, "schema": SCHEMA, "link": {}, "measured": {}, "choices": {}, "notes": notes, "points": facts}
    return Record(meta, list(_runs(records)))


def _runs(records: Sequence[Record]) -> Iterator[Run]:
    for record in records:
        yield from record.runs
