"""What grows is told, what only breathes isn't."""

from __future__ import annotations

import os
import threading

from benchmarks.soak.growth import Growth, Sample, Usage, growths, read_usage


def samples(
    memory: list[float], descriptors: list[int] | None = None, threads: list[int] | None = None
) -> list[Sample]:
    count = len(memory)
    fds, tasks = descriptors or [20] * count, threads or [10] * count
    return [Sample(float(i), {"cloud": Usage(memory[i], fds[i], tasks[i])}) for i in range(count)]


def grew(found: list[Growth]) -> list[str]:
    return [g.what for g in found if g.grew]


def test_flat_lines_and_noise_are_fine() -> None:
    assert grew(growths(samples([200.0] * 80))) == []
    assert grew(growths(samples([200.0 + (i % 7) for i in range(80)]))) == []


def test_a_warm_up_is_no_growth() -> None:
    assert grew(growths(samples([100.0 + min(i, 15) * 10 for i in range(80)]))) == []


def test_leaks_are_told() -> None:
    assert grew(growths(samples([200.0 + i for i in range(80)]))) == ["memory_mb"]
    assert grew(growths(samples([200.0] * 80, descriptors=[20 + i for i in range(80)]))) == ["descriptors"]
    assert grew(growths(samples([200.0] * 80, threads=[10 + i // 4 for i in range(80)]))) == ["threads"]


def test_a_process_that_came_late_or_left_is_no_reason_to_fail() -> None:
    some = samples([200.0] * 80)
    some[70].usages["engine"] = Usage(1.0, 1, 1)
    assert {g.process for g in growths(some)} == {"cloud"}
    assert growths([]) == []


def test_this_process() -> None:
    usage = read_usage(os.getpid(), held=3)
    assert usage.memory_mb > 5
    assert usage.descriptors >= 3
    assert usage.threads >= threading.active_count() >= 1
    assert usage.held == 3
