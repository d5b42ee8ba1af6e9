"""Fairness between clients: in the pure scheduler, for places, and for vision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import Park
from cloud.scheduler import Budget, schedule
from cloud.session import Session
from cloud.shares import Shares, may_hold
from common.types import Close, DrafterInfo, Failure, FailureCode, Open, Opened
from tests.cloud.engine_driver import pixels
from tests.fakes import FakeRunner

EOS = frozenset({2})


def answering(client: str, number: int, *, pending: int = 8) -> Session:
    """A session that always has a draft to verify."""
    opening = Open(f"{client}-{number:08}", "?", max_tokens=10_000, client=client, drafter=DrafterInfo("d", "", 50, 4))
    session = Session(opening, 10, 10_000, 16, 50, EOS, 0.0, slot=number, available=10, kv_length=10)
    session.committed, session.pending = [5], [5] * pending
    return session


def prompting(client: str, number: int, length: int, at: float = 0.0) -> Session:
    opening = Open(f"{client}-{number:08}", "?", max_tokens=10, client=client)
    return Session(opening, length, 10, 16, 50, EOS, at, slot=number, available=length)


def run(sessions: list[Session], budget: Budget, steps: int, shares: Shares) -> Iterator[Counter[str]]:
    """Tokens fed for each client, step by step; each session has its next work at once."""
    for step in range(steps):
        fed: Counter[str] = Counter()
        for one in schedule(sessions, 1.0 + step, budget, shares=shares):
            fed[one.session.client] += one.feed.count
            one.session.kv_length = min(one.session.kv_length + one.feed.known, one.session.known_length)
            if one.session.prefilled:
                one.session.kv_length = one.session.prompt_length
                one.session.waiting_since = 1.0 + step
        yield fed


def test_a_client_with_many_sessions_gets_no_more_than_one_with_few() -> None:
    """Overload: 30 sessions of one client and 2 of another want far more than a step's budget."""
    sessions = [answering("many", n) for n in range(30)] + [answering("few", 100 + n) for n in range(2)]
    total: Counter[str] = Counter()
    for fed in run(sessions, Budget(answering=36), 100, Shares()):
        total += fed
    assert total["few"] / total.total() == pytest.approx(0.5, abs=0.05)


def test_what_one_cannot_use_others_get() -> None:
    sessions = [answering("many", n) for n in range(30)] + [answering("few", 100, pending=0)]
    total: Counter[str] = Counter()
    for fed in run(sessions, Budget(answering=36), 100, Shares()):
        total += fed
        assert fed["few"] == 1, "it always comes first with its one token"
    assert total["many"] > 2_500


def test_prompts_share_chunks() -> None:
    """A newcomer's prompt doesn't wait for all the prompts that another client has queued."""
    flood = [prompting("flood", n, 512) for n in range(30)]
    newcomer = prompting("newcomer", 100, 512, at=0.9)
    shares = Shares()
    steps = 0
    for _ in run([*flood, newcomer], Budget(prompt_chunk=512), 40, shares):
        steps += 1
        if newcomer.prefilled:
            break
    assert steps <= 2


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 40)), min_size=1, max_size=30),
    st.integers(16, 200),
    st.integers(20, 60),
)
def test_no_client_is_behind_another_by_more_than_a_turn(wanted: list[tuple[str, int]], room: int, steps: int) -> None:
    """Max-min fairness: who is always backlogged and gets less than another is behind by a step's feed at most."""
    sessions = [answering(client, number, pending=pending) for number, (client, pending) in enumerate(wanted)]
    shares = Shares()
    total: Counter[str] = Counter()
    starved: Counter[str] = Counter()
    for fed in run(sessions, Budget(answering=room), steps, shares):
        total += fed
        for client in {c for c, _ in wanted}:
            demand = sum(1 + min(16, pending) for c, pending in wanted if c == client)
            starved[client] += fed[client] < demand
    for client, missed in starved.items():
        if missed == steps:
            assert all(total[client] >= total[other] - room - 17 * 30 for other in total)


def test_going_away_pays_nothing() -> None:
    shares = Shares()
    stay, leave = answering("stay", 0), answering("leave", 1)
    shares.charge("stay", 0)
    shares.charge("leave", 1_000)
    assert next(shares.turns([(0.0, stay)])) is stay
    shares.charge("stay", 10)
    assert next(shares.turns([(0.0, stay), (0.0, leave)])) is stay, "what it had isn't forgotten"
    newcomer = answering("new", 2)
    first = next(shares.turns([(0.5, newcomer), (0.0, stay), (0.0, leave)]))
    assert first is stay, "a newcomer begins where the least busy one stands, not at nothing"


def test_those_who_are_away_are_forgotten_in_the_end() -> None:
    shares = Shares()
    for number in range(1_000):
        list(shares.turns([(0.0, answering(f"c{number}", number)), (0.0, answering("stay", 0))]))
        shares.charge("stay", 10)
    assert len(shares._served) < 20


@pytest.mark.parametrize(
    ("own", "free", "limit", "named", "may"),
    [
        (0, 1, 0, True, True),
        (0, 0, 0, True, False),
        (3, 1, 0, True, True),
        (4, 1, 0, True, False),
        (7, 1, 0, True, False),
        (7, 1, 0, False, True),
        (1, 5, 1, True, False),
        (1, 5, 1, False, False),
        (0, 5, 1, False, True),
    ],
)
def test_who_may_hold_one_more(own: int, free: int, limit: int, named: bool, may: bool) -> None:
    assert may_hold(own, free, limit, named=named) is may


def opened(engine: Engine, name: str, client: str) -> Opened | Failure:
    (reply,) = engine.handle(name, Open(name, "what?", client=client), 0.0)
    assert isinstance(reply.message, Opened | Failure)
    return reply.message


def test_a_named_client_leaves_places_to_others() -> None:
    engine = Engine(FakeRunner(slots=10), EngineLimits())
    replies = [opened(engine, f"greedy-{n:04}", "=greedy") for n in range(10)]
    refused = [reply for reply in replies if isinstance(reply, Failure)]
    assert len(refused) == 2
    assert refused[0].code is FailureCode.CAPACITY
    assert refused[0].retryable
    assert refused[0].retry_after_ms > 0
    assert isinstance(opened(engine, "honest-0001", "=honest"), Opened)
    engine.check_integrity()


def test_a_limit_a_client() -> None:
    engine = Engine(FakeRunner(slots=10), EngineLimits(sessions_per_client=2))
    replies = [opened(engine, f"session-{n:04}", "@10.0.0.1") for n in range(3)]
    assert [type(reply) for reply in replies] == [Opened, Opened, Failure]
    engine.handle("session-0000", Close(), 0.0)
    assert isinstance(opened(engine, "session-0009", "@10.0.0.1"), Opened)


def test_parked_sessions_count() -> None:
    """Who opens sessions and goes away can't fill the cloud either."""
    engine = Engine(FakeRunner(slots=10), EngineLimits())
    for n in range(20):
        opened(engine, f"parked-{n:04}", "=away")
        engine.handle(f"parked-{n:04}", Park(), float(n))
    assert engine.sessions == 8
    assert isinstance(opened(engine, "honest-0001", "=honest"), Opened)
    engine.check_integrity()


def test_vision_takes_turns() -> None:
    runner = FakeRunner(slots=4)
    engine = Engine(runner, EngineLimits(vision_chunk=1))
    for name, client in (("first-000", "=a"), ("first-001", "=a"), ("other-000", "=b")):
        assert isinstance(opened(engine, name, client), Opened)
        engine.handle(name, pixels(), 0.0)
    order = []
    while engine._frames:
        before = {name: session.available for name, session in engine._sessions.items()}
        engine._encode_one(1.0)
        order += [name for name, session in engine._sessions.items() if session.available != before[name]]
    assert order.index("other-000") <= 1
