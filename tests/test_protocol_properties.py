"""The theorem on simulated time: whatever drafter, network, pace and losses do, the answer is the target's."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.engine_limits import EngineLimits
from cloud.scheduler import Budget
from common.types import FinishReason, Pace, SamplingParams
from edge.session import Phase, SessionSettings
from tests.fakes import EOS, reference_answer
from tests.simulation import Network, Simulation, goodbye, guessing, noisy, right, wrong

DRAFTERS = {"right": right, "wrong": wrong, "noisy": noisy, "guessing": guessing}


def check(simulation: Simulation) -> None:
    """Every client has exactly the target's answer, and the engine leaks nothing."""
    for client in simulation.clients.values():
        opening = client.session.opening
        expected = reference_answer(opening.question, opening.sampling, opening.max_tokens)
        assert client.done is not None, f"hung in {client.session.phase}"
        assert client.done.error is None
        assert client.session.answer == expected
        ends = FinishReason.STOP if expected[-1] == EOS else FinishReason.LENGTH
        assert client.session.reason is ends
        assert not client.session.figures.alone
    goodbye(simulation)
    assert simulation.engine.sessions == 0
    simulation.engine.check_integrity()


@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("pace", list(Pace))
def test_answer_equals_target_alone(drafter: str, pace: Pace) -> None:
    simulation = Simulation()
    for index in range(6):
        simulation.ask(f"what moves {index}?", guess=DRAFTERS[drafter], pace=pace, max_tokens=10 + 7 * index)
    simulation.run()
    check(simulation)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    drafter=st.sampled_from(sorted(DRAFTERS)),
    pace=st.sampled_from(list(Pace)),
    clients=st.integers(1, 8),
    length=st.integers(0, 9),
    delay=st.floats(0, 0.1),
    jitter=st.floats(0, 0.1),
    duplicate=st.floats(0, 1),
    chunk=st.integers(16, 64),
    losses=st.lists(st.floats(0.01, 1.5), max_size=3),
    deaths=st.lists(st.floats(0.01, 1.5), max_size=2),
    temperature=st.sampled_from([0.0, 1.0]),
    branches=st.integers(0, 4),
    ahead=st.integers(2, 16),
)
def test_nothing_changes_the_answer(
    seed: int,
    drafter: str,
    pace: Pace,
    clients: int,
    length: int,
    delay: float,
    jitter: float,
    duplicate: float,
    chunk: int,
    losses: list[float],
    deaths: list[float],
    temperature: float,
    branches: int,
    ahead: int,
) -> None:
    network = Network(delay, jitter, duplicate, tuple(losses), tuple(deaths))
    limits = EngineLimits(max_draft=5, budget=Budget(prompt_chunk=chunk))
    simulation = Simulation(network=network, seed=seed, limits=limits)
    for index in range(clients):
        simulation.ask(
            f"question {seed} {index}",
            guess=DRAFTERS[drafter],
            pace=pace,
            length=length,
            max_tokens=1 + (seed + 13 * index) % 60,
            sampling=SamplingParams(temperature, seed=seed),
            start=0.03 * index,
            settings=SessionSettings(branches=branches, max_ahead=ahead),
        )
    simulation.run()
    check(simulation)


def test_right_drafter_saves_target_passes() -> None:
    simulation = Simulation(network=Network(delay=0.001))
    client = simulation.ask("a question with a long answer", guess=right, pace=Pace.PATIENT, max_tokens=40)
    simulation.run()
    check(simulation)
    figures = client.session.figures
    assert figures.accepted == figures.drafted > 0
    assert figures.target_passes < len(client.session.answer) / 2
    assert figures.rollbacks == 0


def test_wrong_drafter_is_rolled_back() -> None:
    simulation = Simulation(network=Network(delay=0.001))
    client = simulation.ask("a question", guess=wrong, max_tokens=12)
    simulation.run()
    check(simulation)
    assert client.session.figures.accepted == 0
    assert client.session.figures.rollbacks > 0


def test_branches_that_have_what_was_committed_are_gone_on_with() -> None:
    """An idle drafter that is wrong now and then: its branches are hit, and its drafts there are accepted."""
    totals = {}
    for branches in (0, 3):
        simulation = Simulation(network=Network(delay=0.05), seed=3)
        settings = SessionSettings(branches=branches, max_ahead=8)
        asked = [simulation.ask(f"what {i}?", pace=Pace.PATIENT, settings=settings, max_tokens=60) for i in range(6)]
        simulation.run()
        check(simulation)
        figures = [client.session.figures for client in asked]
        hits, misses = sum(f.branch_hits for f in figures), sum(f.branch_misses for f in figures)
        assert (hits > misses) if branches else (hits == misses == 0)
        assert sum(f.branches for f in figures) >= hits
        totals[branches] = sum(f.finished_at - f.started_at for f in figures)
    assert totals[3] < totals[0]


def test_cloud_only_needs_no_drafter() -> None:
    simulation = Simulation()
    client = simulation.ask("a question", settings=SessionSettings(drafts=False), pace=Pace.PATIENT)
    simulation.run()
    check(simulation)
    assert client.session.figures.draft_tokens_made == 0
    assert client.session.figures.uplink_bytes["drafts"] == 0


def test_edge_finishes_alone_when_the_cloud_stays_away() -> None:
    simulation = Simulation(network=Network(delay=0.001, loss_at=(0.035,), down_forever_at=0.035))
    settings = SessionSettings(give_up_after=2.0)
    client = simulation.ask("a long question", guess=right, settings=settings, max_tokens=60)
    simulation.run()
    assert client.done is not None
    assert client.done.error is None
    assert client.session.figures.alone
    # the drafter of this test is right, so even the unverified rest is the target's answer
    assert client.session.answer == reference_answer("a long question", SamplingParams(), 60)
    assert len(client.session.committed) < len(client.session.answer)


def test_without_drafter_and_cloud_there_is_an_error() -> None:
    simulation = Simulation(network=Network(down_forever_at=0.0))
    settings = SessionSettings(give_up_after=1.0, drafts=False)
    client = simulation.ask("a question", settings=settings)
    simulation.run()
    assert client.done is not None
    assert client.done.error is not None
    assert client.session.phase is Phase.DONE


def test_edge_only_answers_with_the_drafter() -> None:
    simulation = Simulation()
    client = simulation.ask("a question", guess=right, settings=SessionSettings(cloud=False), max_tokens=30)
    simulation.run()
    assert client.session.figures.alone
    assert client.session.answer == reference_answer("a question", SamplingParams(), 30)
    assert client.session.committed == []
