"""The project's own Prometheus configuration and dashboard at a running pair, by a real Prometheus."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.clips import load_questions
from benchmarks.processes import running_pair
from common.ask import Mode
from common.errors import EventSpecError
from tests.e2e.pairs import ask
from tests.operations.prometheus import Prometheus, prometheus
from tests.operations.scraping import metrics_url
from tests.operations.test_shipped_files import MONITORING, panels

CONFIG = MONITORING / "prometheus.yml"
FLAGS = ("--threads", "1", "--metrics", "127.0.0.1:0")
pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="there is no Prometheus here"),
    pytest.mark.timeout(300),
]


def test_promtool_takes_the_configuration() -> None:
    done = subprocess.run(["promtool", "check", "config", str(CONFIG)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_targets_are_up_and_every_query_of_the_dashboard_has_data(tmp_path: Path) -> None:
    questions = load_questions()
    with running_pair(cloud_arguments=FLAGS, edge_arguments=FLAGS) as pair:
        text = CONFIG.read_text()
        for name, daemon in (("cloud-net:9464", pair.cloud), ("edge-net:9464", pair.edge)):
            assert name in text
            text = text.replace(name, metrics_url(daemon).removeprefix("http://").removesuffix("/metrics"))
        text = text.replace("scrape_interval: 5s", "scrape_interval: 1s").replace("timeout: 4s", "timeout: 1s")
        (tmp_path / "prometheus.yml").write_text(text)
        with prometheus(tmp_path / "prometheus.yml", tmp_path / "data") as served:
            wait_for_scrapes(served, 1)
            for mode in (*[Mode.STREAM_TO_CLOUD] * 4, Mode.CLOUD_ONLY, Mode.EDGE_ONLY):
                ask(pair.edge.address, questions[0], mode=mode)
            with pytest.raises(EventSpecError):  # the cloud's refusal, and so the edge's failure
                ask(pair.edge.address, replace(questions[0], question="what? " * 10_000))
            wait_for_scrapes(served, 2, after=time.time() + 1.5)
            assert served.targets() == {"eventspec-cloud": "up", "eventspec-edge": "up"}
            empty = [
                (panel["title"], target["expr"])
                for panel in panels()
                for target in panel["targets"]
                if not any(math.isfinite(value) for value in values(served, target["expr"]))
            ]
            assert empty == []


def values(served: Prometheus, expression: str) -> list[float]:
    """What a query of the dashboard returns now, with Grafana's own variables filled in."""
    whole = expression.replace("$__rate_interval", "1m").replace("$__range", "5m")
    return [float(series["value"][1]) for series in served.query(whole)]


def wait_for_scrapes(served: Prometheus, count: int, after: float = 0.0) -> None:
    """Until each target has been scraped so often, and once after a time."""
    deadline = time.monotonic() + 60
    while True:
        found = served.query("count_over_time(up[5m])")
        newest = min((float(one["value"][1]) for one in served.query("timestamp(up)")), default=0.0)
        if len(found) == 2 and all(float(one["value"][1]) >= count for one in found) and newest > after:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
