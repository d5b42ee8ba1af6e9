"""Several clouds behind one link: who is lost loses its turn, and whatever happens the answer is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.errors import EngineDeadError, LinkError, SettingsError
from common.types import Close, Failure, FailureCode, Open, ServerInfo
from edge.config import EdgeSettings, cloud_addresses
from edge.replicas import ReplicaLink
from edge.worker import DraftingThread
from tests.edge.loopback import LoopLink
from tests.edge.test_runner import Asker, truth


@pytest.fixture
def thread() -> Iterator[DraftingThread]:
    made = DraftingThread()
    yield made
    made.close()


def homes(*links: LoopLink) -> list[int]:
    """Sessions that each cloud was asked to open."""
    return [sum(isinstance(m, Open) for _, m in link.engine.taken) for link in links]


async def test_the_first_answers_as_long_as_it_is_there(thread: DraftingThread) -> None:
    first, second = LoopLink(), LoopLink()
    assert await Asker(ReplicaLink([first, second]), thread).run() == truth()
    assert homes(first, second) == [1, 0]


async def test_one_that_isnt_there_loses_its_turn(thread: DraftingThread) -> None:
    first, second = LoopLink(), LoopLink()
    first.opens, first.for_ever = [LinkError("refused")], True
    replicas = ReplicaLink([first, second])
    assert await Asker(replicas, thread).run() == truth()
    assert await Asker(replicas, thread).run() == truth()
    assert homes(first, second) == [0, 2]


async def test_a_stream_that_broke_is_first_tried_where_it_was(thread: DraftingThread) -> None:
    first, second = LoopLink(), LoopLink()
    first.engine.hold_at = 6

    async def cut() -> None:
        await first.cut()
        first.engine.release()

    assert await Asker(ReplicaLink([first, second]), thread).run(cut, at=4) == truth()
    assert homes(first, second) == [2, 0]


async def test_when_a_cloud_dies_in_the_middle_another_goes_on(thread: DraftingThread) -> None:
    first, second = LoopLink(), LoopLink()
    first.engine.hold_at = 6
    asker = Asker(ReplicaLink([first, second]), thread)

    async def gone() -> None:
        first.opens, first.for_ever = [LinkError("refused")], True
        await first.cut()

    assert await asker.run(gone, at=4) == truth()
    assert homes(first, second) == [1, 1]
    assert asker.session.figures.resumes == 1
    resumed = next(m for _, m in second.engine.taken if isinstance(m, Open))
    assert resumed.resume
    assert list(resumed.committed) == truth()[: len(resumed.committed)]
    assert any(isinstance(m, Close) for _, m in second.engine.taken)


async def test_one_that_says_it_cant_loses_its_turn(thread: DraftingThread) -> None:
    first, second = LoopLink(), LoopLink()
    first.engine.dead = True  # as one that is being restarted
    assert await Asker(ReplicaLink([first, second]), thread).run() == truth()
    assert homes(second) == [1]


async def test_info_is_the_first_ones_that_answers() -> None:
    class Silent(LoopLink):
        async def info(self, timeout: float) -> ServerInfo:
            raise EngineDeadError("not now")

    with pytest.raises(EngineDeadError):
        await ReplicaLink([Silent(), Silent()]).info(1.0)


def test_addresses() -> None:
    assert cloud_addresses("a:1, b:2,") == ["a:1", "b:2"]
    assert EdgeSettings(cloud="127.0.0.1:1,127.0.0.1:2").cloud
    for wrong in ("", ",", "a:1,b", "a:1 b:2:x"):
        with pytest.raises(SettingsError):
            EdgeSettings(cloud=wrong)


async def test_when_to_come_back_counts_once_nobody_is_left_to_ask() -> None:
    replicas = ReplicaLink([LoopLink(), LoopLink()])
    later = Failure(FailureCode.UNAVAILABLE, "going down", retryable=True, retry_after_ms=900)
    assert replicas.refused(0, later).retry_after_ms == 0
    assert replicas.refused(0, later).retry_after_ms == 0  # the other one hasn't said anything yet
    assert replicas.refused(1, later).retry_after_ms == 900
    assert replicas.refused(1, later).retry_after_ms == 0
    replicas.taken_in()
    assert replicas.refused(0, later).retry_after_ms == 0
