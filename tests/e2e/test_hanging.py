"""An engine that is stopped (SIGSTOP) while it has nothing to do: it is noticed, told, and replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair, running_pair
from common.errors import EventSpecError
from tests.e2e.pairs import ask, engine_of

STEP_TIMEOUT_S = 8.0
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def short() -> Iterator[Pair]:
    """A pair whose engine may hang for a few seconds only, and whose edge doesn't wait for its cloud."""
    with running_pair(
        cloud_arguments=["--threads", "1", "--step-timeout-s", f"{STEP_TIMEOUT_S:g}"],
        edge_arguments=["--threads", "1", "--give-up-after-s", "1"],
    ) as running:
        yield running


def readiness(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        asked = health_pb2.HealthCheckRequest(service="readiness")
        return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5.0).status)


def seconds_until(condition: Callable[[], bool], timeout: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, "it never happened"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.timeout(240)
def test_a_stopped_engine_is_noticed_told_and_replaced(short: Pair, clips: list[ClipQuestion]) -> None:
    cloud, edge = short.cloud.address, short.edge.address
    before = ask(edge, clips[0]).token_ids
    assert readiness(cloud) == SERVING
    engine = engine_of(short.cloud.process.pid)
    os.kill(engine, signal.SIGSTOP)
    try:
        noticed_s = seconds_until(lambda: readiness(cloud) == NOT_SERVING, 10.0)
        began = time.monotonic()
        _ask_anyhow(edge, clips[0])
        asked_s = time.monotonic() - began
        replaced_s = seconds_until(lambda: readiness(cloud) == SERVING, 90.0)
    finally:
        if engine in _engines(short):
            os.kill(engine, signal.SIGCONT)
    assert noticed_s < 5.0  # two, and what a machine that is busy adds
    assert asked_s < 10.0  # it took 42
    assert replaced_s > 0.0
    assert engine_of(short.cloud.process.pid) != engine
    assert ask(edge, clips[0]).token_ids == before


@pytest.mark.timeout(120)
def test_one_that_goes_on_in_time_keeps_its_place(short: Pair, clips: list[ClipQuestion]) -> None:
    engine = engine_of(short.cloud.process.pid)
    os.kill(engine, signal.SIGSTOP)
    seconds_until(lambda: readiness(short.cloud.address) == NOT_SERVING, 10.0)
    os.kill(engine, signal.SIGCONT)
    seconds_until(lambda: readiness(short.cloud.address) == SERVING, 10.0)
    assert engine_of(short.cloud.process.pid) == engine
    assert ask(short.edge.address, clips[0]).values["mode"] == "stream_to_cloud"


def _ask_anyhow(edge: str, clip: ClipQuestion) -> None:
    """The answer may come from the edge alone, or be refused in one line."""
    said, mode = "", "edge_only"
    try:
        mode = ask(edge, clip).values["mode"]
    except EventSpecError as error:
        said = str(error)
    assert "\n" not in said
    assert mode == "edge_only"


def _engines(pair: Pair) -> list[int]:
    try:
        return [engine_of(pair.cloud.process.pid)]
    except ValueError:  # it is being replaced
        return []
