"""Scraping a daemon's metrics, as Prometheus would."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import DaemonProcess

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = re.compile(r"metrics on (http://[\w.:\[\]/]+)")


@dataclass(frozen=True)
class Scrape:
    """Samples by name and labels; `kinds` by the family's name."""

    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    kinds: dict[str, str]

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def positions(self, name: str) -> list[float]:
        """Of a metric by position, up to the last that isn't 0."""
        found = {dict(labels)["position"]: value for (n, labels), value in self.samples.items() if n == name}
        reached = max((int(place) for place, value in found.items() if value), default=-1)
        return [found[str(place)] for place in range(reached + 1)]


def metrics_url(daemon: DaemonProcess) -> str:
    """Where a daemon said that its metrics are."""
    found = [match[1] for line in daemon.log if (match := _ADDRESS.search(line))]
    assert len(found) == 1, daemon.log
    return found[0]


def scrape(url: str) -> Scrape:
    with urllib.request.urlopen(url, timeout=10) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}
    return Scrape(samples, {family.name: family.type for family in families})


def scrape_until(url: str, condition: Callable[[Scrape], bool], timeout: float = 10.0) -> Scrape:
    """Scrape until it holds: the engine's counters come a moment later."""
    deadline = time.monotonic() + timeout
    while True:
        found = scrape(url)
        if condition(found):
            return found
        assert time.monotonic() < deadline, found.samples
        time.sleep(0.1)
