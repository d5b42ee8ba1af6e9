"""An answer at the edge keeps to the cloud's credit: how far drafts may reach."""

from __future__ import annotations

from common.errors import LinkError
from common.types import Commit, Draft, Opened, StepTimings
from edge.actions import DraftJob, Send
from tests.edge.test_session import Shell, only


def drafts(shell: Shell) -> list[Draft]:
    return [send.message for send in only(shell.actions, Send) if isinstance(send.message, Draft)]


def test_nothing_is_drafted_beyond_the_credit_and_it_goes_on_as_that_grows() -> None:
    shell = Shell(length=4, max_ahead=16)
    shell.tell("connected")
    shell.hear(Opened("session-0", 20, 16, draft_limit=6))
    shell.tell("drafter_ready")
    (job,) = only(shell.tell("drafted", [5, 6, 7, 8]), DraftJob)
    assert job.count == 2
    assert only(shell.tell("drafted", [9, 10]), DraftJob) == []  # it waits
    assert [(d.base_position, d.token_ids) for d in drafts(shell)] == [(0, (5, 6, 7, 8)), (4, (9, 10))]
    (job,) = only(shell.hear(Commit(0, (5, 6), 6, 2, 2, 1, StepTimings(), 9)), DraftJob)
    assert (job.position, job.count) == (6, 3)


def test_a_limit_never_moves_back() -> None:
    shell = Shell(length=4, max_ahead=16)
    shell.tell("connected")
    shell.hear(Opened("session-0", 20, 16, draft_limit=10))
    shell.tell("drafter_ready")
    shell.hear(Commit(0, (5,), draft_limit=3))
    shell.hear(Commit(1, (6,)))  # an older cloud says nothing
    shell.tell("drafted", [5, 6, 7, 8])
    assert shell.session._draft_limit == 10


def test_what_was_sent_too_far_before_anything_was_told_is_sent_again() -> None:
    shell = Shell(length=4, max_ahead=16)
    shell.tell("connected")
    shell.tell("drafter_ready")
    shell.tell("drafted", [5, 6, 7, 8])
    shell.tell("drafted", [9, 10, 11, 12])
    shell.hear(Opened("session-0", 20, 16, draft_limit=6))
    assert shell.session.sent == [5, 6, 7, 8, 9, 10]
    shell.hear(Commit(0, (5, 6, 7), 4, 3, 2, 1, StepTimings(), 9))
    assert drafts(shell)[-1].base_position == 6
    assert drafts(shell)[-1].token_ids == (11, 12)


def test_a_new_stream_begins_without_the_old_ones_credit() -> None:
    shell = Shell(length=4, max_ahead=16)
    shell.stream()
    shell.hear(Commit(0, (5,), draft_limit=9))
    shell.tell("link_lost", LinkError("gone"))
    shell.tell("connected")
    assert shell.session._draft_limit is None
