"""What goes into a packed forward: running answers first, prompts share a chunk, the longest waiting goes first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.scheduler import Budget, next_due, schedule
from cloud.session import Session
from common.types import DrafterInfo, Open, Pace, SamplingParams

INFO = DrafterInfo("drafter", "hash", 50, 8)


def session(
    slot: int,
    *,
    prompt: int = 20,
    available: int | None = None,
    kv: int = 0,
    committed: int = 0,
    pending: int = 0,
    since: float = 0.0,
    pace: Pace = Pace.EAGER,
) -> Session:
    opening = Open(f"session-{slot}", "what?", SamplingParams(), 200, pace, 100, INFO, 1, (5,) * committed)
    made = Session(opening, prompt, 200, 16, 50, frozenset({2}), opened_at=since, slot=slot)
    made.available = prompt if available is None else available
    made.kv_length = kv
    made.pending = [7] * pending
    return made


def answering(slot: int, *, pending: int = 0, since: float = 0.0, pace: Pace = Pace.EAGER) -> Session:
    """A session whose prompt and all committed tokens but the last have their KV."""
    return session(slot, kv=22, committed=3, pending=pending, since=since, pace=pace)


def test_answers_and_one_chunk_of_prompts() -> None:
    sessions = [session(0, since=1), session(1, since=0), answering(2), answering(3, pending=4), session(4, since=2)]
    chosen = schedule(sessions, 5.0, Budget(prompt_chunk=30))
    assert [(s.session.slot, s.feed.known, len(s.feed.draft)) for s in chosen] == [
        (0, 10, 0),  # what the chunk leaves
        (1, 20, 0),  # waits longest
        (2, 1, 0),
        (3, 1, 4),
    ]


def test_a_prompt_larger_than_the_chunk_doesnt_hold_up_answers() -> None:
    sessions = [session(0, prompt=1000), answering(1)]
    chosen = schedule(sessions, 0.0, Budget(prompt_chunk=16))
    assert [s.feed.count for s in chosen] == [16, 1]


def test_after_a_chunk_of_vision_prompts_wait_if_anybody_answers() -> None:
    sessions = [session(0), answering(1)]
    assert [s.session.slot for s in schedule(sessions, 0.0, Budget(), spent=True)] == [1]
    assert [s.session.slot for s in schedule(sessions[:1], 0.0, Budget(), spent=True)] == [0]


def test_only_what_is_due_now() -> None:
    patient = answering(0, pace=Pace.PATIENT, since=1.0)
    parked = answering(1)
    parked.park(0.0)
    waiting_for_video = session(2, available=5, kv=5)
    sessions = [patient, parked, waiting_for_video]
    assert schedule(sessions, 1.05, Budget()) == []
    assert next_due(sessions) == 1.1
    assert [s.session for s in schedule(sessions, 1.1, Budget())] == [patient]
    assert next_due([parked, waiting_for_video]) is None
    assert next_due([]) is None


def test_the_longest_waiting_answers_go_first_where_not_all_fit() -> None:
    sessions = [answering(i, pending=3, since=10.0 - i) for i in range(6)]
    chosen = schedule(sessions, 20.0, Budget(answering=9))
    assert [s.session.slot for s in chosen] == [4, 5]


def test_an_answer_larger_than_the_whole_budget_still_goes() -> None:
    resumed = session(0, kv=20, committed=90)  # its committed tokens must be fed again
    assert [s.feed.count for s in schedule([resumed], 1.0, Budget(answering=8))] == [90]


@st.composite
def crowds(draw: st.DrawFn) -> list[Session]:
    crowd = []
    for slot in range(draw(st.integers(0, 8))):
        prompt = draw(st.integers(1, 60))
        committed = draw(st.integers(0, 20))
        kv = draw(st.integers(0, prompt + max(0, committed - 1)))
        available = prompt if kv > prompt else draw(st.integers(kv, prompt))
        crowd.append(
            session(
                slot,
                prompt=prompt,
                available=available,
                kv=kv if committed else min(kv, prompt - 1),
                committed=committed,
                pending=draw(st.integers(0, 20)),
                since=draw(st.floats(0, 10)),
                pace=draw(st.sampled_from(Pace)),
            )
        )
    return crowd


@settings(derandomize=True, deadline=None, max_examples=300)
@given(crowd=crowds(), now=st.floats(0, 11), chunk=st.integers(1, 80), budget=st.integers(1, 80))
def test_whatever_is_due_gets_on(crowd: list[Session], now: float, chunk: int, budget: int) -> None:
    chosen = schedule(crowd, now, Budget(chunk, budget))
    slots = [s.session.slot for s in chosen]
    assert slots == sorted(set(slots))
    due = [s for s in crowd if (at := s.due_at()) is not None and at <= now]
    assert all(s.session in due for s in chosen)
    assert bool(chosen) == bool(due), "nothing may be due for ever"
    assert all(s.feed.count >= 1 for s in chosen)
    prompts = [s for s in chosen if not s.session.prefilled]
    assert sum(s.feed.known for s in prompts) <= chunk
    answers = [s for s in chosen if s.session.prefilled]
    assert len(answers) <= 1 or sum(s.feed.count for s in answers) <= budget
    earliest = min(due, key=lambda s: s.waiting_since, default=None)
    if earliest is not None and earliest.due_at() == min(s.due_at() or 0.0 for s in due):
        ahead = [s for s in due if s.due_at() == earliest.due_at()]
        assert any(s.session in ahead for s in chosen)
