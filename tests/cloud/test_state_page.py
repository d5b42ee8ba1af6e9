"""What the front believes of the pages that its engine writes, and when it takes an engine for one that hangs."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.engine_stats import EngineStats, EngineTotals, StatsPage
from cloud.metrics import engine_families
from cloud.pulse import Pulse
from cloud.state_page import Held, StatePage, StateReader


def pages(folder: Path) -> tuple[StateReader, StatePage]:
    """The front's end of a page, and the engine's."""
    return StateReader(folder / "page"), StatePage(folder / "page")


def test_the_page_tells_what_the_engine_does(tmp_path: Path) -> None:
    reader, writer = pages(tmp_path)
    assert (reader.count(), reader.working_on(), reader.held(8)) == (0, [], Held())
    with writer.turn():
        writer.on(["session-0", "session-1"])
        assert reader.count() == 1
        assert reader.working_on() == ["session-0", "session-1"]
    assert (reader.count(), reader.working_on()) == (2, [])
    writer.hold(Held(3, 1, 1))
    assert reader.held(8) == Held(3, 1, 1)
    writer.on([f"session-{n}" for n in range(4096)])  # as many as there is room for
    assert len(reader.working_on()) > 1_000
    assert reader.working_on()[:2] == ["session-0", "session-1"]


def test_a_turn_that_breaks_off_leaves_the_names_of_its_sessions(tmp_path: Path) -> None:
    reader, writer = pages(tmp_path)
    with suppress(RuntimeError), writer.turn():
        writer.on(["session-0"])
        raise RuntimeError
    assert (reader.count(), reader.working_on()) == (1, ["session-0"])


@settings(derandomize=True, deadline=None, max_examples=200)
@given(head=st.binary(min_size=24, max_size=24), names=st.binary(max_size=300), cut=st.integers(0, 400))
def test_a_page_may_say_anything(head: bytes, names: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        page, stats = Path(name) / "page", Path(name) / "stats"
        reader, totals = StateReader(page), EngineTotals()
        totals.begin(stats)
        for path in (page, stats):
            path.write_bytes((head + names)[:cut])  # shorter than it was, too
        held = reader.held(8)
        assert 0 <= max(held.parked, held.clips) <= held.sessions <= 8
        assert reader.count() >= 0
        assert all(0 < len(name) <= 64 for name in reader.working_on())
        assert list(engine_families(totals.now()))
        reader.close()


def test_counts_that_run_over_end_no_process(tmp_path: Path) -> None:
    totals = EngineTotals()
    totals.begin(tmp_path / "stats")
    StatsPage(tmp_path / "stats").write(EngineStats(committed=2**70, forward_us=-5, sessions_waiting=3))
    assert (totals.now().committed, totals.now().forward_us, totals.now().sessions_waiting) == (2**64 - 1, 0, 3)


def test_an_engine_is_silent_only_when_it_has_nothing_to_do() -> None:
    pulse, now = Pulse(0.0), 0.0
    for _ in range(12):  # even: it waits, and should turn
        now += 0.25
        pulse.look(4, now)
    assert pulse.silent
    assert not pulse.busy
    for _ in range(101):  # odd: a long step
        now += 0.25
        pulse.look(5, now)
    assert pulse.busy
    assert not pulse.silent
    assert pulse.stood_s == 25.0
    pulse.look(6, now)
    assert pulse.stood_s == 0.0


def test_a_machine_that_stood_still_makes_nobody_silent() -> None:
    pulse = Pulse(0.0)
    pulse.look(2, 0.25)
    pulse.look(2, 3_600.0)
    assert not pulse.silent
