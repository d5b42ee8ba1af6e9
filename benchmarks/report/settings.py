"""Sorts runs into settings: what was measured under the same circumstances and may be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.report.sources import Source
from benchmarks.report.wording import link_name
from benchmarks.results import Run

ABSOLUTE_ONLY = frozenset({"capacity", "simulate"})
"""Commands whose runs compete for the cloud, so that an answer isn't compared with one of another paradigm."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Runs of one record over one link. Runs that cross no link (`in_process`) belong to each of the record's links.

    Attributes:
        source: the file's name.
        models: what `meta` says about the models, as one text: settings of other models aren't drawn together.
    """

    source: str
    command: str
    link: Mapping[str, Any]
    backend: str
    replayed: str
    models: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Link, backend and replay in a few words."""
        text = f"{link_name(self.link)} ({self.backend})" if self.link else f"no link ({self.backend})"
        return f"{text}, replayed {self.replayed}" if self.replayed else text

    @property
    def family(self) -> tuple[str, str, str, str]:
        """Settings of one family differ in the link (and the file) only."""
        return (self.command, self.backend, self.replayed, self.models)

    def of(self, label: str) -> list[Run]:
        """The runs with that label."""
        return [run for run in self.runs if run.label == label]

    @property
    def labels(self) -> list[str]:
        """The labels of its runs: `cloud_only` first, then `stream_to_cloud`, then the others as they come."""
        found = list(dict.fromkeys(run.label for run in self.runs))
        return sorted(found, key=lambda label: (_rank(label), found.index(label)))


def _rank(label: str) -> int:
    return {"cloud_only": 0, "stream_to_cloud": 1}.get(label.partition("/")[0], 2)


def settings_of(sources: Iterable[Source]) -> list[Setting]:
    """The settings of comparable runs, in the order of the files."""
    found: list[Setting] = []
    for source in sources:
        if source.command not in ABSOLUTE_ONLY:
            found.extend(_of_source(source))
    return found


def _of_source(source: Source) -> list[Setting]:
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in source.record.runs:
        link = json.dumps(run.link, sort_keys=True, default=str)
        groups.setdefault((link, run.backend if run.link else "", run.replayed), []).append(run)
    linked = {key: runs for key, runs in groups.items() if runs[0].link}
    unlinked = {key: runs for key, runs in groups.items() if not runs[0].link}
    if not linked:
        return [_setting(source, runs) for runs in unlinked.values()]
    homeless = []
    for (_, _, replayed), runs in unlinked.items():
        homes = [others for key, others in linked.items() if key[2] == replayed]
        for home in homes:
            home.extend(runs)
        if not homes:
            homeless.append(_setting(source, runs))
    return [*(_setting(source, runs) for runs in linked.values()), *homeless]


def _setting(source: Source, runs: list[Run]) -> Setting:
    first = next((run for run in runs if run.link), runs[0])
    models = json.dumps(source.record.meta.get("models"), sort_keys=True, default=str)
    return Setting(source.name, source.command, first.link, first.backend, first.replayed, models, tuple(runs))
