"""Credits: what a pass can check is shared out, told, kept to; none of it changes an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.credits import share_out
from cloud.engine_limits import EngineLimits
from common.types import Close, Commit, Opened, SamplingParams
from edge.session import SessionSettings
from tests.cloud.engine_driver import Bench, truth
from tests.fakes import FakeRunner, reference_answer
from tests.simulation import Network, Simulation, noisy, right

LIMITS = EngineLimits(max_draft=4, drafts_per_pass=8)


def test_a_pass_is_shared_by_clients_and_then_by_sessions() -> None:
    shared = share_out(["=greedy"] * 10 + ["=a", "=b"], 120, 64)
    assert {c: shared.of(c) for c in ("=greedy", "=a", "=b", "=new")} == {
        "=greedy": 4,
        "=a": 40,
        "=b": 40,
        "=new": 64,
    }
    assert shared.least == 4


def test_what_one_cant_use_the_others_get() -> None:
    shared = share_out(["=a", *["=b"] * 10], 100, 16)
    assert (shared.of("=a"), shared.of("=b")) == (16, 8)
    assert share_out([], 100, 16).least == 16


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(1, 300), st.integers(1, 64))
def test_shares_keep_to_the_budget(clients: list[str], budget: int, most: int) -> None:
    shared = share_out(clients, budget, most)
    assert all(1 <= shared.of(client) <= most for client in clients)
    given_out = [shared.of(client) for client in clients]
    assert sum(given_out) <= budget + given_out.count(1)  # nobody has nothing
    left = budget - sum(given_out)
    assert left < len(clients) or shared.least == most  # but for what doesn't divide, nothing is kept back


def test_credit_shrinks_as_more_come_and_recovers_as_they_go() -> None:
    bench = Bench(FakeRunner(slots=5), LIMITS)
    told = [limit_of(bench, f"session-{number}") for number in range(4)]
    assert told == [8, 4, 2, 2]  # of a nameless host all together, so by sessions alone
    bench.prefill()
    assert bench.heard(Commit, "session-0")[-1].draft_limit == 8  # what was granted stays, until it is used up
    for _ in range(6):
        bench.step()
    crowded = bench.heard(Commit, "session-0")[-1]
    assert crowded.draft_limit - crowded.start_position - len(crowded.token_ids) == 2
    for number in range(1, 4):
        bench.give(Close(), f"session-{number}")
    bench.step()
    alone = bench.heard(Commit, "session-0")[-1]
    assert alone.draft_limit - alone.start_position - len(alone.token_ids) == 8


def limit_of(bench: Bench, session_id: str) -> int:
    (opened,) = bench.open(session_id)
    assert isinstance(opened, Opened)
    return opened.draft_limit


def test_a_pass_checks_no_more_than_its_budget() -> None:
    bench = Bench(FakeRunner(slots=4), LIMITS)
    for number in range(4):
        bench.open(f"session-{number}")
    bench.prefill()
    answer = truth()
    for number in range(4):
        have = bench.answer(f"session-{number}")
        bench.draft(answer[len(have) : len(have) + 8], f"session-{number}")
    bench.step()
    checked = [bench.heard(Commit, f"session-{number}")[-1].drafted for number in range(4)]
    assert max(checked) == 2
    assert sum(checked) <= LIMITS.drafts_per_pass


def test_what_is_beyond_the_limit_is_dropped_counted_and_told() -> None:
    bench = Bench(limits=LIMITS)
    assert limit_of(bench, "session-0") == 8
    bench.draft(truth()[:11])
    bench.draft(truth()[9:12], prefix=truth()[:9])
    session = bench.engine._sessions["session-0"]
    assert (len(session.pending), session.over_credit, session.stale_drafts) == (8, 6, 0)
    bench.run()
    assert bench.answer() == truth()
    assert bench.finished().over_credit == 6
    bench.give(Close())
    bench.engine.gauge(bench.now)
    assert (bench.engine.stats.over_credit, bench.engine.stats.draft_credit) == (6, 16)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    budget=st.integers(1, 30),
    clients=st.integers(1, 8),
    ahead=st.integers(1, 64),
    losses=st.lists(st.floats(0.01, 1.5), max_size=3),
)
def test_no_credit_changes_an_answer(seed: int, budget: int, clients: int, ahead: int, losses: list[float]) -> None:
    limits = EngineLimits(max_draft=5, drafts_per_pass=budget)
    simulation = Simulation(network=Network(0.02, 0.02, 0.2, tuple(losses)), seed=seed, limits=limits)
    for index in range(clients):
        simulation.ask(
            f"question {seed} {index}",
            guess=right if index % 2 else noisy,
            length=7,
            max_tokens=1 + (seed + 13 * index) % 60,
            settings=SessionSettings(max_ahead=ahead),
            start=0.03 * index,
        )
    simulation.run()
    for client in simulation.clients.values():
        opening = client.session.opening
        assert client.done is not None
        assert client.done.error is None
        assert client.session.answer == reference_answer(opening.question, SamplingParams(), opening.max_tokens)
