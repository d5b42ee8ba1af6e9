"""One running pair of daemons for all tests that leave it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.processes import Pair, running_pair, wait_gone
from tests.e2e.pairs import family

# this process starts others while its own gRPC channels are open
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


@pytest.fixture(scope="session")
def clips() -> list[ClipQuestion]:
    """The shipped clips and their questions."""
    return load_questions()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """The shipped pair; when the session ends, nothing of it may be left."""
    with running_pair(cloud_arguments=["--threads", "1"], edge_arguments=["--threads", "1"]) as running:
        processes = family(running.cloud.process.pid, running.edge.process.pid)
        yield running
    assert [running.cloud.process.returncode, running.edge.process.returncode] == [0, 0]
    assert wait_gone(processes, 10.0) == []
