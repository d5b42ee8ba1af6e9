"""One answer at the edge, action by action: drafting ahead, rolling back, losing the link, finishing alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

from common.errors import EngineError, EventSpecError, InputError, LinkError, ModelError
from common.prefix_hash import prefix_hash
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    DrafterInfo,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    Open,
    Opened,
    Pace,
    Progress,
    Stage,
    StepTimings,
)
from edge.actions import Action, Connect, Done, DraftJob, Send, SendVideo, Show, Tell
from edge.controller import DraftLength
from edge.session import EdgeSession, Phase, SessionSettings

A = TypeVar("A", bound=Action)
EOS = 2


class Shell:
    """Stands where the runner does: feeds a session and collects its actions."""

    def __init__(self, *, max_tokens: int = 20, length: int = 4, pace: Pace = Pace.PATIENT, **settings: Any) -> None:
        self.now = 100.0
        drafter = DrafterInfo("d", "h", 50, 8)
        opening = Open("session-0", "what?", max_tokens=max_tokens, pace=pace, drafter=drafter)
        self.session = EdgeSession(
            opening, SessionSettings(**settings), frozenset({EOS}), DraftLength(length), started_at=self.now
        )
        self.actions: list[Action] = self.session.drain()

    def tell(self, event: str, *arguments: Any) -> list[Action]:
        """Call the session a moment later; returns what it wants done."""
        self.now += 0.01
        getattr(self.session, event)(*arguments, self.now)
        fresh = self.session.drain()
        self.actions += fresh
        return fresh

    def phase(self) -> Phase:
        """Where the answer stands now (a call, so that type checkers don't believe that it stays)."""
        return self.session.phase

    def hear(self, message: CloudMessage) -> list[Action]:
        return self.tell("received", message)

    def commit(self, ids: Sequence[int], *, drafted: int = 0, accepted: int = 0, draft_id: int = 0) -> list[Action]:
        start = len(self.session.committed)
        return self.hear(Commit(start, tuple(ids), drafted, accepted, draft_id, 1, StepTimings(100, 200)))

    def stream(self) -> None:
        """Up to the point where drafts may flow."""
        self.tell("connected")
        self.hear(Opened("session-0", 20, 16))
        self.tell("drafter_ready")


def only(actions: list[Action], kind: type[A]) -> list[A]:
    return [a for a in actions if isinstance(a, kind)]


def drafts(actions: list[Action]) -> list[Draft]:
    return [s.message for s in only(actions, Send) if isinstance(s.message, Draft)]


@pytest.fixture
def shell() -> Shell:
    made = Shell()
    made.stream()
    return made


def test_it_connects_introduces_itself_and_sends_the_video() -> None:
    shell = Shell()
    assert shell.actions == [Connect(100.0)]
    assert shell.tell("connected") == [Send(shell.session.opening), SendVideo()]
    assert shell.phase() is Phase.CONNECTING
    shell.hear(Opened("session-0", 20, 16))
    assert shell.phase() is Phase.STREAMING
    assert shell.tell("drafter_ready") == [DraftJob(0, (), 4, ())]


def test_what_is_drafted_before_the_cloud_answers_goes_up_at_once() -> None:
    shell = Shell()
    shell.tell("drafter_ready")
    actions = shell.tell("drafted", [5, 6, 7, 8])
    assert drafts(actions) == []
    assert only(actions, Show) == [Show((), (5, 6, 7, 8))]
    introduced = shell.tell("connected")
    assert introduced[0] == Send(shell.session.opening)
    assert drafts(introduced) == [Draft(1, 0, 0, prefix_hash([]), (5, 6, 7, 8))]  # no round trip in between
    assert drafts(shell.tell("drafted", [9])) == [Draft(2, 0, 4, prefix_hash([5, 6, 7, 8]), (9,))]
    assert drafts(shell.hear(Opened("session-0", 20, 16))) == []


def test_drafts_of_a_resume_wait_for_the_cloud_to_say_where_it_is() -> None:
    shell = Shell()
    shell.tell("connected")
    shell.tell("link_lost", LinkError("gone"))
    shell.tell("drafter_ready")
    shell.tell("drafted", [5, 6, 7, 8])
    assert drafts(shell.tell("connected")) == []
    assert drafts(shell.hear(Opened("session-0", 20, 16))) == [Draft(1, 1, 0, prefix_hash([]), (5, 6, 7, 8))]


def test_what_a_lost_stream_still_brings_opens_nothing() -> None:
    shell = Shell()
    shell.stream()
    shell.tell("link_lost", LinkError("gone"))
    assert shell.hear(Opened("session-0", 20, 16)) == []
    assert shell.phase() is Phase.LOST
    assert drafts(shell.tell("drafted", [5, 6, 7, 8])) == []  # it would be the next stream's first message
    assert isinstance(only(shell.tell("connected"), Send)[0].message, Open)


def test_a_drafter_with_nothing_to_say_is_asked_again_after_the_next_commit(shell: Shell) -> None:
    assert only(shell.tell("drafted", []), DraftJob) == []  # it would be asked for ever
    assert only(shell.commit([5]), DraftJob) == [DraftJob(0, (5,), 4, (5,))]
    shell.tell("drafted", [6])
    assert only(shell.tell("drafted", []), DraftJob) == []
    assert only(shell.commit([6], drafted=1, accepted=1), DraftJob) == []  # it said so itself
    assert only(shell.commit([7]), DraftJob) == [DraftJob(2, (7,), 4, (5, 6, 7))]


def test_a_drafter_with_nothing_to_say_ends_the_answer_when_it_is_alone(shell: Shell) -> None:
    shell.tell("drafted", [])
    fail_twice(shell, "broken")
    assert only(shell.actions, DraftJob)[-1].base == ()
    (done,) = only(shell.tell("drafted", []), Done)
    assert done.error is None
    assert shell.session.reason is FinishReason.LENGTH


def test_it_drafts_on_while_drafts_are_under_way(shell: Shell) -> None:
    first = shell.tell("drafted", [5, 6, 7, 8])
    assert drafts(first) == [Draft(1, 0, 0, prefix_hash([]), (5, 6, 7, 8))]
    assert only(first, DraftJob) == [DraftJob(4, (), 4, (5, 6, 7, 8))]
    second = shell.tell("drafted", [9, 10])
    assert drafts(second) == [Draft(2, 0, 4, prefix_hash([5, 6, 7, 8]), (9, 10))]  # the new ones only


def test_it_stays_within_its_lead() -> None:
    shell = Shell(max_ahead=6, max_tokens=50)
    shell.stream()
    assert only(shell.tell("drafted", [5, 6, 7, 8]), DraftJob)[0].count == 2
    assert only(shell.tell("drafted", [9, 10]), DraftJob) == []
    assert only(shell.commit([5, 6, 7], drafted=4, accepted=3), DraftJob)[0].count == 3


def test_a_commit_that_agrees_changes_nothing_for_the_drafter(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    actions = shell.commit([5, 6, 7, 8, 9], drafted=4, accepted=4)
    assert only(actions, DraftJob) == []  # one is running
    assert only(actions, Show) == [Show((5, 6, 7, 8, 9), ())]
    assert shell.session.figures.rollbacks == 0
    actions = shell.tell("drafted", [9, 10, 11])
    assert drafts(actions) == [Draft(2, 0, 5, prefix_hash([5, 6, 7, 8, 9]), (10, 11))]


def test_a_commit_that_disagrees_rolls_the_drafter_back(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    shell.tell("drafted", [9, 10])
    actions = shell.commit([5, 30], drafted=4, accepted=1)
    assert only(actions, Show) == [Show((5, 30), ())]
    actions = shell.tell("drafted", [11])  # the job that ran meanwhile is about another answer
    assert drafts(actions) == []
    assert only(actions, DraftJob) == [DraftJob(1, (30,), 4, (5, 30))]
    assert shell.session.figures.rollbacks == 1
    actions = shell.tell("drafted", [31, 32])
    assert drafts(actions) == [Draft(3, 0, 2, prefix_hash([5, 30]), (31, 32))]


def test_a_late_draft_of_which_the_rest_is_checked_is_salvaged(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])  # draft 1, from 0 on
    shell.commit([5])  # the cloud didn't wait for it
    shell.commit([6, 7], drafted=3, accepted=1, draft_id=1)
    assert shell.session.figures.report(3)["salvaged_drafts"] == 1
    shell.commit([8], drafted=1, accepted=1, draft_id=1)  # what was left of it: told once
    shell.tell("drafted", [9, 10])
    shell.commit([9, 10], drafted=2, accepted=2, draft_id=2)
    assert shell.session.figures.salvaged_drafts == 1


# --------------------------------------------------------------------------------------------- what it learns


def test_what_was_drafted_ahead_stays_valid_or_not(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    shell.commit([5, 6, 7, 8, 9], drafted=4, accepted=4)  # whether 9 was guessed isn't known yet
    figures = shell.session.figures
    assert (figures.ahead_hits, figures.ahead_misses) == (0, 0)
    shell.tell("drafted", [9, 10, 11, 12])
    shell.commit([10, 11], drafted=1, accepted=1)
    assert (figures.ahead_hits, figures.ahead_misses) == (1, 0)
    shell.commit([30])
    assert (figures.ahead_hits, figures.ahead_misses) == (1, 1)
    shell.commit([31])  # the drafter is still on the wrong way: nothing more to miss
    assert (figures.ahead_hits, figures.ahead_misses) == (1, 1)


def test_every_token_that_it_drafted_is_held_against_the_answer_once(shell: Shell) -> None:
    estimates = shell.session.length.estimates
    shell.tell("drafted", [5, 6, 7, 8])
    assert estimates.checked == 0
    shell.commit([5])  # decoded by the cloud itself: it counts as well
    assert estimates.checked == 1
    shell.commit([6, 30, 31], drafted=3, accepted=1)
    assert estimates.checked == 3  # 5 and 6 were right, 7 was wrong, 8 was about another answer
    shell.tell("drafted", [9, 10, 11, 12])  # on the wrong way
    assert estimates.checked == 3
    shell.tell("drafted", [32, 33, 34, 35])
    shell.commit([32, 40])
    assert estimates.checked == 5
    rates = estimates.rates()
    assert rates[1] > rates[0] > rates[2]  # by place since the last mistake: twice right, once right, twice wrong


def test_a_late_draft_teaches_too(shell: Shell) -> None:
    shell.commit([5, 6, 7])
    shell.tell("drafted", [5, 6])
    assert shell.session.length.estimates.checked == 2
    shell.commit([8])
    assert shell.session.length.estimates.checked == 2  # it was told about 7, and has said nothing of 8


def test_round_trips_jobs_and_passes_are_told(shell: Shell) -> None:
    estimates = shell.session.length.estimates
    assert estimates.round_trip_s == pytest.approx(0.01)  # of Open
    shell.tell("drafted", [5, 6, 7, 8])
    shell.tell("drafted", [9, 10, 11, 12])
    shell.commit([5, 6], drafted=4, accepted=1, draft_id=1)
    assert estimates.pass_s is None  # the first pass took the prompt in
    shell.commit([7, 8, 9], drafted=2, accepted=2, draft_id=2)
    assert estimates.pass_s == pytest.approx(200e-6, rel=0.1)
    assert estimates.known is False  # one job alone was timed: the first one's first token is free


class Silent(DraftLength):
    """Drafting is off."""

    off = True

    def count(self, ahead: int, committed: int, pace: Pace) -> int:
        return 2 if committed == 0 else 0


def test_while_drafting_is_off_the_cloud_goes_on_alone() -> None:
    shell = Shell()
    shell.session.length = Silent()
    shell.session.length.off = True
    shell.stream()
    assert only(shell.tell("drafted", [5, 6]), DraftJob)[0].count == 2
    shell.tell("drafted", [7, 8])
    for token in (5, 30, 31, 32):
        assert only(shell.commit([token]), DraftJob) == []
    shell.hear(Finished(FinishReason.STOP, 4))
    report = shell.session.figures.report(4)
    assert report["drafting_off_share"] == 1.0
    assert report["draft_length_mean"] == 2.0


def test_the_report_says_whether_it_paid(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    shell.commit([5, 6, 7, 8, 9], drafted=4, accepted=4)
    shell.now += 1.0
    shell.hear(Commit(5, (10, 11), 1, 1, 0, 1, StepTimings(100, 500_000)))
    shell.hear(Finished(FinishReason.STOP, 7))
    report = shell.session.figures.report(7)
    # seven tokens by passes of half a second each, the first at hand; it took one second and a bit
    assert report["speculation_gain"] == pytest.approx((6 * 0.5 + 0.07) / 1.08, rel=0.02)
    assert report["speculation_pays"] is True


def test_a_cloud_that_is_ahead_takes_the_drafter_along(shell: Shell) -> None:
    shell.commit([5, 6, 7])
    actions = shell.tell("drafted", [5, 6])
    assert drafts(actions) == []
    assert only(actions, DraftJob) == [DraftJob(2, (7,), 4, (5, 6, 7))]
    assert shell.session.figures.rollbacks == 0


@pytest.mark.parametrize(("drafted", "jobs"), [([5, EOS], 0), ([5, 6], 1)])
def test_nothing_is_drafted_behind_the_end(shell: Shell, drafted: list[int], jobs: int) -> None:
    assert len(only(shell.tell("drafted", drafted), DraftJob)) == jobs


def test_drafts_end_at_the_length_limit() -> None:
    shell = Shell(max_tokens=6)
    shell.stream()
    assert only(shell.tell("drafted", [5, 6, 7, 8]), DraftJob)[0].count == 2
    assert only(shell.tell("drafted", [9, 10]), DraftJob) == []


def test_the_clouds_draft_limit_is_obeyed() -> None:
    shell = Shell(length=9)
    shell.tell("connected")
    shell.hear(Opened("session-0", 20, 3))
    assert only(shell.tell("drafter_ready"), DraftJob)[0].count == 3


def test_an_eager_cloud_gets_its_first_drafts_soon() -> None:
    """Nobody waits for them, so a long first draft after a rollback would come too late: they grow from two on."""
    shell = Shell(length=8, pace=Pace.EAGER)
    shell.tell("connected")
    shell.hear(Opened("session-0", 20, 16))
    assert only(shell.tell("drafter_ready"), DraftJob)[0].count == 2
    assert only(shell.tell("drafted", [5, 6]), DraftJob)[0].count == 2
    assert only(shell.tell("drafted", [7, 8]), DraftJob)[0].count == 4
    shell.commit([5, 9])
    assert only(shell.tell("drafted", [1, 2, 3, 4]), DraftJob) == [DraftJob(1, (9,), 2, (5, 9))]


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_the_end(shell: Shell, reason: FinishReason) -> None:
    shell.commit([5, 6, 7])
    actions = shell.hear(Finished(reason, 3, 2, 1))
    assert actions == [Send(Close()), Show((5, 6, 7), ()), Done(None)]
    assert (shell.session.answer, shell.session.reason) == ([5, 6, 7], reason)
    assert (shell.session.figures.target_passes, shell.session.figures.stale_drafts) == (2, 1)
    for event, argument in (("received", Commit(3, (9,))), ("drafted", [9]), ("link_lost", LinkError("x"))):
        assert shell.tell(event, argument) == []
    assert shell.tell("cancel") == []
    assert shell.session.answer == [5, 6, 7]


def test_commits_may_overlap_but_never_change_or_leave_a_hole(shell: Shell) -> None:
    shell.commit([5, 6, 7])
    shell.hear(Commit(1, (6, 7, 8)))
    assert shell.session.committed == [5, 6, 7, 8]
    assert only(shell.hear(Commit(0, (5, 6))), Show) == []
    for wrong in (Commit(6, (9,)), Commit(2, (30, 9))):
        shell = Shell()
        shell.stream()
        shell.commit([5, 6, 7])
        actions = shell.hear(wrong)
        assert shell.phase() is Phase.LOST
        assert "don't continue the answer" in only(actions, Tell)[0].text
        assert shell.session.committed == [5, 6, 7]


def test_a_cloud_that_says_more_than_was_asked_for_is_a_lost_link(shell: Shell) -> None:
    most = shell.session.opening.max_tokens
    shell.hear(Commit(0, (5,) * most))
    assert len(shell.session.committed) == most
    other = Shell()
    other.stream()
    other.hear(Commit(0, (5,) * (most + 1)))
    assert (other.phase(), other.session.committed) == (Phase.LOST, [])


def test_an_end_at_another_length_is_a_lost_link(shell: Shell) -> None:
    shell.commit([5, 6])
    actions = shell.hear(Finished(FinishReason.STOP, 3))
    assert shell.phase() is Phase.LOST
    assert len(only(actions, Connect)) == 1


# ------------------------------------------------------------------------------------------------ loss and resume


def test_an_edge_comes_back_when_it_is_told_to(shell: Shell) -> None:
    actions = shell.hear(Failure(FailureCode.CAPACITY, "full", retryable=True, retry_after_ms=3_000))
    (connect,) = only(actions, Connect)
    assert connect.at == pytest.approx(shell.now + 3.0)
    shell.tell("connected")
    actions = shell.hear(Failure(FailureCode.CAPACITY, "full", retryable=True))
    assert only(actions, Connect)[0].at < shell.now + 1.0, "without a hint, its own backoff counts"


def test_a_lost_stream_is_resumed_with_what_is_committed(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    shell.commit([5, 6], drafted=2, accepted=2)
    actions = shell.tell("link_lost", LinkError("cut"))
    assert [a.text for a in only(actions, Tell)] == ["link lost (cut); reconnecting"]
    (connect,) = only(actions, Connect)
    assert connect.at == pytest.approx(shell.now + 0.05)
    assert shell.tell("link_lost", LinkError("cut")) == []  # its second report
    (opening,) = [s.message for s in only(shell.tell("connected"), Send)]
    assert isinstance(opening, Open)
    assert (opening.epoch, opening.committed) == (1, (5, 6))
    actions = shell.hear(Opened("session-0", 20, 16, 2, video_needed=False))
    assert only(actions, SendVideo) == []
    assert drafts(actions) == [Draft(2, 1, 2, prefix_hash([5, 6]), (7, 8))]  # still unverified: sent again
    assert shell.session.figures.resumes == 1


def test_another_replica_gets_the_video_again(shell: Shell) -> None:
    shell.tell("link_lost", LinkError("cut"))
    shell.tell("connected")
    assert len(only(shell.hear(Opened("session-0", 20, 16, 0, video_needed=True)), SendVideo)) == 1


def test_every_stream_is_an_epoch_of_its_own(shell: Shell) -> None:
    for epoch in range(1, 5):
        shell.tell("link_lost", LinkError("cut"))
        (sent,) = only(shell.tell("connected"), Send)
        assert isinstance(sent.message, Open)
        assert sent.message.epoch == epoch
        shell.hear(Opened("session-0", 20, 16))
        shell.commit([5])


def test_backoff_grows_and_progress_resets_it(shell: Shell) -> None:
    delays = []
    for _ in range(4):
        (connect,) = only(shell.tell("link_lost", LinkError("down")), Connect)
        delays.append(connect.at - shell.now)
        shell.tell("connected")
    assert delays == pytest.approx([0.05, 0.1, 0.2, 0.4])
    shell.hear(Opened("session-0", 20, 16))
    shell.commit([5])
    (connect,) = only(shell.tell("link_lost", LinkError("down")), Connect)
    assert connect.at - shell.now == pytest.approx(0.05)


def test_a_failed_connect_is_tried_again() -> None:
    shell = Shell()
    (connect,) = only(shell.tell("connect_failed", LinkError("refused")), Connect)
    assert connect.at > shell.now
    assert len(only(shell.tell("connect_failed", LinkError("refused")), Connect)) == 1
    (sent,) = only(shell.tell("connected"), Send)
    assert isinstance(sent.message, Open)
    assert sent.message.committed == ()


def give_up(shell: Shell, attempts: int = 1_000) -> list[Action]:
    """Refuse every connection until the session stops trying."""
    shell.tell("link_lost", LinkError("down"))
    for _ in range(attempts):
        if shell.phase() is not Phase.LOST:
            return shell.actions
        shell.now = max(shell.now, only(shell.actions, Connect)[-1].at)
        shell.tell("connect_failed", LinkError("down"))
    raise AssertionError("it never gives up")


def test_without_a_link_the_edge_finishes_alone(shell: Shell) -> None:
    shell.tell("drafted", [5, 6, 7, 8])
    shell.commit([5, 30], drafted=4, accepted=1)
    shell.tell("drafted", [9])
    give_up(shell)
    assert shell.phase() is Phase.ALONE
    assert "finishes alone" in only(shell.actions, Tell)[-1].text
    actions = shell.tell("drafted", [31, 32])
    while shell.phase() is not Phase.DONE:
        job = only(actions, DraftJob)[-1]
        actions = shell.tell("drafted", [33] * (job.count - 1) + [EOS])
    assert shell.session.answer == [5, 30, 31, 32, 33, 33, 33, EOS]
    assert shell.session.committed == [5, 30]
    assert shell.session.figures.alone
    assert shell.session.reason is FinishReason.STOP
    assert only(actions, Show)[-1] == Show((5, 30), (31, 32, 33, 33, 33, EOS))


def test_an_answer_that_was_complete_when_the_link_broke_is_the_clouds(shell: Shell) -> None:
    shell.commit([5, EOS])
    actions = shell.tell("link_lost", LinkError("cut"))
    assert Done(None) in actions
    assert not shell.session.figures.alone
    assert shell.session.reason is FinishReason.STOP


def test_cloud_only_without_a_cloud_is_an_error() -> None:
    shell = Shell(drafts=False)
    shell.tell("connected")
    give_up(shell)
    (done,) = only(shell.actions, Done)
    assert isinstance(done.error, LinkError)


def test_the_time_to_give_up_is_the_users() -> None:
    shell = Shell(give_up_after=4_000.0)
    shell.stream()
    started = shell.now
    give_up(shell, 12_000)
    assert shell.phase() is Phase.ALONE
    assert 4_000 <= shell.now - started < 4_010


def test_streams_that_bring_nothing_are_given_up_too() -> None:
    shell = Shell(give_up_after=1e9)
    for _ in range(100):
        if shell.phase() is Phase.ALONE:
            break
        shell.tell("connected")
        shell.hear(Opened("session-0", 20, 16))
        shell.tell("link_lost", LinkError("cut"))
    assert shell.phase() is Phase.ALONE


def fail_twice(shell: Shell, why: str) -> list[Action]:
    shell.hear(Failure(FailureCode.ENGINE, why))
    shell.tell("connected")
    return shell.hear(Failure(FailureCode.ENGINE, why))


@pytest.mark.parametrize(
    ("code", "retryable", "phase", "error"),
    [
        (FailureCode.CAPACITY, True, Phase.LOST, None),
        (FailureCode.UNAVAILABLE, True, Phase.LOST, None),
        (FailureCode.ENGINE, False, Phase.LOST, None),
        (FailureCode.INVALID, False, Phase.DONE, InputError),
        (FailureCode.VIDEO, False, Phase.DONE, InputError),
        (FailureCode.MISMATCH, False, Phase.DONE, ModelError),
    ],
)
def test_failures(
    shell: Shell, code: FailureCode, retryable: bool, phase: Phase, error: type[EventSpecError] | None
) -> None:
    actions = shell.hear(Failure(code, "because", retryable))
    assert shell.phase() is phase
    if error is not None:
        (done,) = only(actions, Done)
        assert isinstance(done.error, error)
        assert str(done.error) == "because"
        assert [s.message for s in only(actions, Send)] == [Close()]


def test_a_failed_engine_is_an_error_where_nobody_drafts() -> None:
    shell = Shell(drafts=False)
    shell.tell("connected")
    (done,) = only(fail_twice(shell, "NaN"), Done)
    assert isinstance(done.error, EngineError)


def test_what_an_engine_failed_over_is_computed_once_more(shell: Shell) -> None:
    shell.commit([5])
    actions = shell.hear(Failure(FailureCode.ENGINE, "NaN"))
    assert shell.phase() is Phase.LOST
    assert [a.text for a in only(actions, Tell)] == ["the cloud failed (NaN); reconnecting"]
    again = only(shell.tell("connected"), Send)[0].message
    assert isinstance(again, Open)
    assert (again.epoch, again.committed) == (1, (5,))
    shell.hear(Opened("session-0", 20, 16, committed_length=1))
    shell.commit([6])
    shell.hear(Failure(FailureCode.ENGINE, "NaN"))  # at another place
    assert shell.phase() is Phase.LOST
    shell.tell("connected")
    shell.hear(Failure(FailureCode.ENGINE, "NaN"))  # at the same
    assert shell.phase() is Phase.ALONE


def test_an_engine_that_fails_at_one_place_after_another_is_given_up(shell: Shell) -> None:
    for token in range(5, 9):
        shell.commit([token])
        shell.hear(Failure(FailureCode.ENGINE, "NaN"))
        if token < 8:
            assert shell.phase() is Phase.LOST
            shell.tell("connected")
            shell.hear(Opened("session-0", 20, 16, committed_length=len(shell.session.committed)))
    assert shell.phase() is Phase.ALONE


def test_no_room_is_tried_again_for_a_while() -> None:
    shell = Shell()
    shell.tell("connected")
    shell.hear(Failure(FailureCode.CAPACITY, "full", True))
    assert shell.phase() is Phase.LOST
    shell.tell("connected")
    shell.hear(Opened("session-0", 20, 16))
    assert shell.phase() is Phase.STREAMING


# --------------------------------------------------------------------------------------------- cancel, drafter's end


def test_cancel_says_goodbye(shell: Shell) -> None:
    shell.commit([5])
    actions = shell.tell("cancel")
    assert [s.message for s in only(actions, Send)] == [Cancel(), Close()]
    assert Done(None) in actions
    assert shell.session.reason is FinishReason.CANCELLED


def test_cancel_says_goodbye_to_a_cloud_that_has_not_answered_yet() -> None:
    shell = Shell()
    assert only(shell.tell("cancel"), Send) == []  # nobody was told anything
    shell = Shell()
    shell.tell("connected")
    assert [s.message for s in only(shell.tell("cancel"), Send)] == [Cancel(), Close()]


def test_without_its_drafter_the_cloud_decodes_alone(shell: Shell) -> None:
    actions = shell.tell("drafter_failed", ModelError("no memory"))
    assert [a.text for a in only(actions, Tell)] == ["drafting stopped: no memory"]
    actions = shell.commit([5, 6])
    assert only(actions, DraftJob) == []
    assert Done(None) in shell.hear(Finished(FinishReason.STOP, 2))


def test_without_drafter_and_cloud_there_is_an_end(shell: Shell) -> None:
    shell.tell("drafter_failed", ModelError("no memory"))
    give_up(shell)
    (done,) = only(shell.actions, Done)
    assert isinstance(done.error, EngineError)
    assert "no memory" in str(done.error)


def test_alone_without_a_drafter_is_an_error() -> None:
    shell = Shell(cloud=False)
    assert shell.phase() is Phase.ALONE
    (done,) = only(shell.tell("drafter_failed", ModelError("broken")), Done)
    assert isinstance(done.error, ModelError)


def test_edge_only_never_connects() -> None:
    shell = Shell(cloud=False, max_tokens=6)
    assert shell.actions == []
    shell.tell("drafter_ready")
    shell.tell("drafted", [5, 6, 7, 8])
    actions = shell.tell("drafted", [9, 10])
    assert Done(None) in actions
    assert shell.session.reason is FinishReason.LENGTH
    assert shell.session.answer == [5, 6, 7, 8, 9, 10]
    assert only(shell.actions, Send) == []


def test_progress_is_measured_only(shell: Shell) -> None:
    assert shell.hear(Progress(Stage.PREFILL, 1_000, 2_000)) == []
    assert shell.session.figures.report(0)["stages"][-1]["name"] == "prefill"


def test_a_line_that_mixes_messages_up_for_a_while_ends_no_answer() -> None:
    shell = Shell(drafts=False)
    shell.tell("connected")
    for _ in range(20):
        shell.commit([5])  # before the session was taken in
        assert shell.phase() is Phase.LOST
        shell.now += 0.1
        shell.tell("connected")
    shell.hear(Opened("session-0", 20, 16))
    shell.commit([5])
    assert shell.session.committed == [5]


def test_a_cloud_that_keeps_lying_is_given_up() -> None:
    shell = Shell(drafts=False)
    shell.tell("connected")
    began = shell.now
    while shell.phase() is not Phase.DONE:
        shell.commit([5])
        shell.now += 0.5
        shell.tell("connected")
        assert shell.now - began < 5.0
    (done,) = only(shell.actions, Done)
    assert "isn't believed" in str(done.error)
