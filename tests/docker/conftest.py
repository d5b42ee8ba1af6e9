"""The stack is started once, and only where it is asked for (`make test-docker`): it takes minutes and an engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.stack import ROOT, Stack, running

WANTED = "EVENTSPEC_TEST_DOCKER"  # 1: build and test; built: test the images that are there
PROFILES = ("lan", "5g", "transatlantic")
_said: list[str] = []


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where logs, results and the report stay."""
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def stack(artifacts: Path) -> Iterator[Stack]:
    """The running pair behind its router; when the session ends, nothing of it may be left."""
    if os.environ.get(WANTED) not in ("1", "built"):
        pytest.skip("needs a Docker engine, and minutes: run `make test-docker`")
    with running(artifacts, PROFILES[0], build=os.environ[WANTED] == "1") as started:
        yield started


@pytest.fixture(scope="session")
def said() -> list[str]:
    """Lines that are printed when all tests are done, whatever pytest captures."""
    return _said


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _said:
        terminalreporter.section("over the emulated links")
        terminalreporter.write("\n".join(_said) + "\n")
