"""One answer in the cloud: what becomes of a draft, pass by pass, whatever it continues."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.session import Session
from common.prefix_hash import prefix_hash
from common.types import (
    Commit,
    Draft,
    DrafterInfo,
    FinishReason,
    Open,
    Pace,
    SamplingParams,
    Stage,
    Tensor,
)

PROMPT = 10
VOCAB = 50
EOS = 2
INFO = DrafterInfo("drafter", "hash", VOCAB, 8)


def make(
    *,
    committed: Sequence[int] = (),
    max_tokens: int = 20,
    max_draft: int = 4,
    pace: Pace = Pace.EAGER,
    drafter: DrafterInfo = INFO,
    epoch: int = 0,
) -> Session:
    """A session whose prompt and committed tokens have their KV, apart from the last one."""
    epoch = max(epoch, int(bool(committed)))
    opening = Open("session-0", "what?", SamplingParams(), max_tokens, pace, 100, drafter, epoch, tuple(committed))
    session = Session(opening, PROMPT, max_tokens, max_draft, VOCAB, frozenset({EOS}), opened_at=1.0, slot=0)
    session.available = PROMPT
    session.kv_length = session.known_length - 1
    return session


def draft(
    session: Session,
    ids: Sequence[int],
    *,
    base: int | None = None,
    prefix: Sequence[int] | None = None,
    draft_id: int = 1,
    epoch: int | None = None,
) -> Draft:
    """A draft that continues the session's answer, unless told otherwise."""
    prefix = session.committed if prefix is None else prefix
    base = len(prefix) if base is None else base
    epoch = session.epoch if epoch is None else epoch
    return Draft(draft_id, epoch, base, prefix_hash(list(prefix)), tuple(ids))


def run(session: Session, choices: Sequence[int], *, now: float = 2.0) -> Commit:
    """One pass whose choices are the first of `choices` that it asks for."""
    feed = session.feed(100)
    assert feed.chooses
    commit = session.settle(feed, choices[: len(feed.draft) + 1], now, 500, 3)
    assert commit is not None
    return commit


def test_a_right_draft_is_accepted_with_its_bonus() -> None:
    session = make(committed=[5, 6])
    assert session.offer(draft(session, [7, 8, 9]))
    commit = run(session, [7, 8, 9, 10])
    assert commit == Commit(2, (7, 8, 9, 10), 3, 3, 1, 3, commit.timings, draft_limit=6 + 16)
    assert session.committed == [5, 6, 7, 8, 9, 10]
    assert session.kv_length == session.known_length - 1
    assert commit.timings.queue_us == 1_000_000
    assert commit.timings.forward_us == 500


def test_a_wrong_draft_is_cut_at_its_first_mismatch() -> None:
    session = make(committed=[5, 6])
    session.offer(draft(session, [7, 8, 9]))
    commit = run(session, [7, 30, 9, 10])
    assert (commit.token_ids, commit.drafted, commit.accepted) == ((7, 30), 3, 1)
    assert session.pending == []
    assert session.kv_length == PROMPT + 3  # the accepted one counts, the correction is fed next
    assert session.feed(100).known == 1


def test_a_draft_that_is_wrong_at_once_still_brings_a_token() -> None:
    session = make(committed=[5])
    session.offer(draft(session, [7, 8]))
    commit = run(session, [9, 8, 3])
    assert (commit.token_ids, commit.accepted) == ((9,), 0)


def test_a_late_draft_keeps_its_unverified_tail() -> None:
    session = make(committed=[5, 6])
    late = draft(session, [7, 8, 9, 10])
    run(session, [7])
    run(session, [8])
    assert session.offer(late)
    assert session.pending == [9, 10]


@pytest.mark.parametrize("ids", [[7, 9, 10], [8], [7]])
def test_a_late_draft_that_the_answer_has_overtaken_is_dropped(ids: list[int]) -> None:
    session = make(committed=[5, 6])
    late = draft(session, ids)
    run(session, [7])
    run(session, [8])
    assert not session.offer(late)
    assert session.pending == []
    assert session.stale_drafts == 1


def test_a_draft_that_comes_twice_is_dropped_once() -> None:
    session = make()
    same = draft(session, [7, 8])
    assert session.offer(same)
    assert not session.offer(same)
    assert session.pending == [7, 8]
    assert session.stale_drafts == 1
    run(session, [7, 8, 9])
    assert not session.offer(same)


def test_drafts_out_of_order_join_up() -> None:
    session = make(max_draft=8)
    second = draft(session, [9, 10], prefix=[7, 8], draft_id=2)
    third = draft(session, [11], prefix=[7, 8, 9, 10], draft_id=3)
    assert not session.offer(third)
    assert not session.offer(second)
    assert session.pending == []
    assert session.offer(draft(session, [7, 8]))
    assert session.pending == [7, 8, 9, 10, 11]
    assert session.stale_drafts == 0


def test_a_draft_ahead_of_the_commits_joins_after_them() -> None:
    session = make()
    assert not session.offer(draft(session, [9, 10], prefix=[7, 8], draft_id=2))
    run(session, [7])
    assert session.pending == []
    run(session, [8])
    assert session.pending == [9, 10]


def test_a_draft_ahead_on_another_prefix_is_dropped() -> None:
    session = make()
    session.offer(draft(session, [9, 10], prefix=[7, 30], draft_id=2))
    run(session, [7])
    run(session, [8])
    assert session.pending == []
    assert session.stale_drafts == 1


def test_a_new_continuation_replaces_the_old_one() -> None:
    session = make()
    session.offer(draft(session, [7, 8, 9]))
    assert session.offer(draft(session, [20, 21], prefix=[7], draft_id=2))
    assert session.pending == [7, 20, 21]


def test_a_draft_that_repeats_what_waits_shortens_nothing() -> None:
    session = make()
    session.offer(draft(session, [7, 8, 9]))
    assert session.offer(draft(session, [7, 8], draft_id=2))
    assert session.pending == [7, 8, 9]


@pytest.mark.parametrize(
    "alien",
    [
        Draft(1, 1, 2, prefix_hash([5, 6]), (7,)),  # a later epoch
        Draft(1, 0, 2, prefix_hash([5, 6]) ^ 1, (7,)),  # another hash
        Draft(1, 0, 1, prefix_hash([5, 6]), (6, 7)),  # another base
        Draft(1, 0, 0, 0, (9, 7)),  # another answer
        Draft(1, 0, 2, prefix_hash([5, 6]), (VOCAB,)),  # outside the vocabulary
        Draft(1, 0, 2, prefix_hash([5, 6]), (2**32 - 1,)),
        Draft(1, 0, 2, prefix_hash([5, 6]), (7, VOCAB)),
        Draft(1, 0, 2, prefix_hash([5, 6])),  # no ids
        Draft(1, 0, 2, prefix_hash([5, 6]), (), Tensor("float16", (1, 2), bytes(4))),
    ],
)
def test_alien_drafts_are_counted_and_dropped(alien: Draft) -> None:
    session = make(committed=[5, 6])
    session.epoch = 0
    assert not session.offer(alien)
    assert session.pending == []
    assert session.stale_drafts == 1


def test_a_draft_far_ahead_takes_no_room() -> None:
    session = make()
    for draft_id in range(1, 100):
        session.offer(Draft(draft_id, 0, 2**32 - draft_id, 0, (7,)))
    assert len(session._stash) <= 8
    assert session.pending == []
    run(session, [7])
    assert session.committed == [7]


def test_an_oversized_draft_is_cut() -> None:
    session = make(max_tokens=500)
    session.offer(draft(session, [7] * 100_000))
    assert len(session.pending) == 16
    assert session.feed(100).draft == (7,) * 4


def test_memory_of_draft_ids_is_bounded() -> None:
    session = make()
    for draft_id in range(1, 5_000):
        session.offer(Draft(draft_id, 0, 0, 99, (7,)))
    assert len(session._seen) <= 1024
    assert session.stale_drafts == 4_999


def test_a_stop_token_inside_an_accepted_run_cuts_it() -> None:
    session = make(committed=[5])
    session.offer(draft(session, [7, EOS, 8, 9]))
    commit = run(session, [7, EOS, 8, 9, 10])
    assert (commit.token_ids, commit.accepted) == ((7, EOS), 2)
    assert session.reason is FinishReason.STOP
    assert session.due_at() is None
    assert session.finished().length == 3
    assert not session.offer(draft(session, [3], draft_id=2))


def test_the_length_limit_cuts_a_run() -> None:
    session = make(committed=[5], max_tokens=4)
    session.offer(draft(session, [7, 8, 9, 10]))
    feed = session.feed(100)
    assert feed.draft == (7, 8)  # with the bonus that makes four
    commit = run(session, [7, 8, 9])
    assert commit.token_ids == (7, 8, 9)
    assert session.reason is FinishReason.LENGTH


def test_a_resumed_answer_that_is_complete_finishes_at_once() -> None:
    assert make(committed=[5, EOS]).reason is FinishReason.STOP
    assert make(committed=[5] * 4, max_tokens=4).reason is FinishReason.LENGTH
    assert make(committed=[5] * 9, max_tokens=4).reason is FinishReason.LENGTH


def test_patience_has_a_deadline() -> None:
    session = make(committed=[5], pace=Pace.PATIENT)
    session.waiting_since = 7.0
    assert session.due_at() == pytest.approx(7.1)
    session.offer(draft(session, [6]))
    assert session.due_at() == 7.0
    run(session, [6, 7], now=9.0)
    assert session.due_at() == pytest.approx(9.1)


def test_nobody_waits_for_a_drafter_that_isnt_there() -> None:
    session = make(committed=[5], pace=Pace.PATIENT, drafter=DrafterInfo())
    assert session.due_at() == 1.0


def test_a_prompt_goes_in_pieces_as_its_video_comes() -> None:
    session = make()
    session.kv_length, session.available, session.available_since = 0, 4, 1.0
    due = session.due_at()
    assert due is not None
    assert 1.0 < due < 1.1  # a moment, in which more of the video may come
    feed = session.feed(3)
    assert (feed.start, feed.known, feed.chooses) == (0, 3, False)
    assert session.settle(feed, [], 2.0, 1, 1) is None
    assert session.feed(3).known == 1
    session.settle(session.feed(3), [], 2.0, 1, 1)
    assert session.due_at() is None  # waits for the video
    session.available = PROMPT
    session.offer(draft(session, [7, 8]))
    feed = session.feed(100)
    assert (feed.start, feed.known, feed.draft, feed.chooses) == (4, 6, (7, 8), True)  # drafts ride on the last piece
    commit = session.settle(feed, [7, 8, 9], 3.0, 1, 1)
    assert commit is not None
    assert commit.accepted == 2


def test_drafts_wait_for_the_last_piece_of_the_prompt() -> None:
    session = make()
    session.kv_length = 0
    session.offer(draft(session, [7]))
    assert session.feed(PROMPT - 1).draft == ()
    assert session.pending == [7]


def test_parked_sessions_do_nothing_and_keep_their_answer() -> None:
    session = make(committed=[5, 6])
    session.offer(draft(session, [7]))
    session.park(3.0)
    assert session.due_at() is None
    assert session.pending == []
    again = Open("session-0", "what?", SamplingParams(), 20, Pace.EAGER, 100, INFO, 2, (5,))
    assert session.can_resume(again)
    assert session.resume(again, 4.0) == Commit(1, (6,))
    assert session.due_at() == 4.0
    stale = draft(session, [7], epoch=1)
    assert not session.offer(stale)
    assert session.offer(draft(session, [7], epoch=2))


@pytest.mark.parametrize(
    "other",
    [
        Open("session-0", "what?", epoch=1, committed=(5,)),  # not later
        Open("session-0", "who?", epoch=2, committed=(5,)),  # another question
        Open("session-0", "what?", SamplingParams(1.0), epoch=2, committed=(5,)),
        Open("session-0", "what?", epoch=2, committed=(6,)),  # another answer
        Open("session-0", "what?", epoch=2, committed=(5, 6, 7)),  # further than the cloud ever was
    ],
)
def test_another_answer_is_no_resume(other: Open) -> None:
    assert not make(committed=[5, 6]).can_resume(other)


def test_spans_reach_from_first_to_last() -> None:
    session = make()
    session.span(Stage.PREFILL, 50, 70)
    session.span(Stage.PREFILL, 100, 130)
    progress = session.progress(Stage.PREFILL)
    assert (progress.start_us, progress.duration_us) == (50, 80)
    assert session.progress(Stage.VISION_ENCODE).duration_us == 0


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    truth=st.lists(st.integers(3, 9), min_size=25, max_size=25),
    drafts=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 6), st.lists(st.integers(0, 55), max_size=7)),
        max_size=30,
    ),
)
def test_no_draft_changes_the_answer(truth: list[int], drafts: list[tuple[int, int, int, list[int]]]) -> None:
    """Drafts of any epoch, base and prefix; each pass chooses what the target would."""
    session = make(max_tokens=20)
    for draft_id, (epoch, base, right, junk) in enumerate(drafts, start=1):
        ids = (*truth[base : base + right], *junk)
        session.offer(Draft(draft_id % 20, epoch, base, prefix_hash(truth[:base]), ids))
        if session.reason is None:
            feed = session.feed(100)
            first = len(session.committed)
            session.settle(feed, truth[first : first + len(feed.draft) + 1], 2.0, 1, 1)
        assert session.committed == truth[: len(session.committed)]
        assert session.kv_length <= session.known_length
        assert len(session.pending) <= 16
