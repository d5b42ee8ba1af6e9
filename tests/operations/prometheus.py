"""A real Prometheus over running daemons: what it says of its targets, and of queries."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **query: str) -> Any:
        """The data of a reply."""
        with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as reply:
            return json.load(reply)["data"]

    def targets(self) -> dict[str, str]:
        """Health of each target, by its job."""
        return {target["labels"]["job"]: target["health"] for target in self.get("/api/v1/targets")["activeTargets"]}

    def query(self, expression: str) -> list[Any]:
        """The series that a query returns now. Raises HTTPError for one that makes no sense."""
        found: list[Any] = self.get("/api/v1/query", query=expression)["result"]
        return found


@contextmanager
def prometheus(config: Path, storage: Path) -> Iterator[Prometheus]:
    """One that runs by this file; it is gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={storage}"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        served = Prometheus(f"http://{address}")
        deadline = time.monotonic() + 60
        while True:
            try:
                served.get("/api/v1/targets")
                break
            except (OSError, ValueError):
                assert process.poll() is None, "it ended"
                assert time.monotonic() < deadline, "it doesn't answer"
                time.sleep(0.2)
        yield served
    finally:
        process.terminate()
        process.wait(20)
