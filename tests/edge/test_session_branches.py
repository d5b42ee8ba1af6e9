"""Outcome branches in a session: when they are drafted, what commits make of them, that nothing waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from common.prefix_hash import prefix_hash
from common.types import Draft, Opened
from edge.actions import BranchJob, DraftJob, Show
from edge.branches import Branched, Choice
from edge.config import EdgeSettings
from tests.edge.test_session import EOS, Shell, drafts, only


class Idle(Shell):
    """A drafter that is as far ahead as it may be, four tokens, and has told of them: 5 6 7 8, sure of all but 6."""

    def __init__(self, branches: int = 2) -> None:
        super().__init__(max_ahead=4, branches=branches)
        self.stream()
        (look,) = only(self.tell("drafted", [5, 6, 7, 8]), BranchJob)
        assert look == BranchJob(4, (), 0, (5, 6, 7, 8), 0, 4, branches)
        choices = {place: Choice((token, 40), (0.9999, 0.0001)) for place, token in enumerate((5, 6, 7, 8))}
        choices[1] = Choice((6, 30, 31), (0.5, 0.3, 0.1))
        (self.job,) = only(self.branched(choices=choices), BranchJob)

    def branched(self, *ids: int, choices: dict[int, Choice] | None = None) -> list:  # type: ignore[type-arg]
        """The running branch job is done."""
        return self.tell("branched", Branched(ids, choices or {}))

    def grow(self, token: int) -> BranchJob | None:
        """It drafted this, and is sure of it; what it is asked for next."""
        place = self.job.first
        jobs = only(self.branched(token, choices={place: Choice((token, 40), (0.9999, 0.0001))}), BranchJob)
        self.job = jobs[0] if jobs else self.job
        return jobs[0] if jobs else None


def test_without_the_setting_an_idle_drafter_idles() -> None:
    shell = Shell(max_ahead=4)
    shell.stream()
    assert only(shell.tell("drafted", [5, 6, 7, 8]), BranchJob) == []
    shell.commit([5, 30], drafted=4, accepted=1)
    report = shell.session.figures.report(2)
    assert (report["branches"], report["branch_hits"], report["branch_misses"]) == (0, 0, 0)


def test_the_likeliest_other_word_goes_first_token_by_token() -> None:
    shell = Idle()
    assert shell.job == BranchJob(1, (30,), 1, (5, 30), 2, 3, 2)
    assert shell.grow(50) == BranchJob(3, (), 1, (5, 30, 50), 3, 4, 2)
    assert shell.grow(51) == BranchJob(4, (), 1, (5, 30, 50, 51), 4, 5, 2)
    shell.grow(52)
    assert shell.grow(53) == BranchJob(1, (31,), 1, (5, 31), 2, 3, 2)  # a draft is four tokens: the next word


def test_a_hit_sends_the_branch_at_once() -> None:
    shell = Idle()
    shell.grow(50)
    shell.grow(51)
    actions = shell.commit([5, 30], drafted=4, accepted=1, draft_id=1)  # the drafter is still at the third token
    assert drafts(actions) == [Draft(2, 0, 2, prefix_hash([5, 30]), (50, 51))]
    assert only(actions, Show) == [Show((5, 30), (50, 51))]
    figures = shell.session.figures
    assert (figures.branch_hits, figures.branch_misses, figures.rollbacks) == (1, 0, 1)
    actions = shell.branched(52, choices={4: Choice((52, 40), (0.9999, 0.0001))})  # it was at this very branch
    assert drafts(actions) == [Draft(3, 0, 4, prefix_hash([5, 30, 50, 51]), (52,))]
    assert only(actions, DraftJob) == [DraftJob(5, (), 1, (5, 30, 50, 51, 52))]
    actions = shell.commit([50, 51, 52], drafted=3, accepted=3, draft_id=3)
    assert drafts(actions) == []
    assert figures.draft_tokens_made == 4 + 3


def test_a_hit_while_the_drafter_is_elsewhere_takes_it_back() -> None:
    shell = Idle()
    for token in (50, 51, 52, 53):
        shell.grow(token)
    assert shell.job.base == (5, 31)
    assert drafts(shell.commit([5, 30], drafted=4, accepted=1))[0].token_ids == (50, 51, 52, 53)
    actions = shell.branched(60)
    assert drafts(actions) == []
    assert only(actions, DraftJob) == []  # as far ahead as it may be
    (job,) = only(shell.commit([50], drafted=4, accepted=1), DraftJob)
    assert job == DraftJob(1, (30, 50, 51, 52, 53), 1, (5, 30, 50, 51, 52, 53))


def test_a_branch_that_has_only_begun_is_gone_on_with() -> None:
    shell = Idle()
    actions = shell.commit([5, 30], drafted=4, accepted=1)
    assert not drafts(actions)
    assert not only(actions, DraftJob)
    assert drafts(shell.branched(50)) == [Draft(2, 0, 2, prefix_hash([5, 30]), (50,))]
    assert shell.session.figures.branch_hits == 1


def test_a_miss_is_as_without_branches() -> None:
    shell = Idle()
    shell.grow(50)
    actions = shell.commit([5, 33], drafted=4, accepted=1)
    assert drafts(actions) == []
    assert (shell.session.figures.branch_hits, shell.session.figures.branch_misses) == (0, 1)
    assert only(shell.branched(51), DraftJob) == [DraftJob(1, (33,), 4, (5, 33))]  # one token at most was waited for
    assert drafts(shell.tell("drafted", [34, 35])) == [Draft(2, 0, 2, prefix_hash([5, 33]), (34, 35))]


def test_a_commit_that_agrees_takes_the_drafter_back_to_the_line() -> None:
    shell = Idle()
    shell.commit([5, 6], drafted=4, accepted=1)
    (job,) = only(shell.branched(50), DraftJob)
    assert job == DraftJob(1, (6, 7, 8), 2, (5, 6, 7, 8))
    assert shell.session.figures.rollbacks == 0
    assert drafts(shell.tell("drafted", [9, 10]))[0].token_ids == (9, 10)
    assert only(shell.actions, BranchJob)[-1].first == 4  # only what is new is asked about


def test_a_correction_with_more_behind_it_hits_if_the_branch_has_more_still() -> None:
    shell = Idle()
    shell.grow(50)
    shell.grow(51)
    assert drafts(shell.commit([5, 30, 50]))[0].token_ids == (51,)
    shell = Idle()
    shell.grow(50)
    shell.grow(51)
    assert drafts(shell.commit([5, 30, 60])) == []  # the branch went wrong, too
    assert shell.session.figures.branch_misses == 1


def test_a_busy_thread_is_asked_again_after_the_next_commit() -> None:
    shell = Shell(max_ahead=4, branches=2)
    shell.stream()
    shell.tell("drafted", [5, 6, 7, 8])
    assert shell.tell("branched", None) == []
    (job,) = only(shell.commit([5], drafted=1, accepted=1), DraftJob)
    assert job.position == 4
    assert only(shell.tell("drafted", [9]), BranchJob)[0].first == 1


def test_a_drafter_that_has_said_all_branches_off() -> None:
    shell = Shell(branches=2)
    shell.stream()
    (look,) = only(shell.tell("drafted", [5, EOS]), BranchJob)
    choices = {0: Choice((5, 40), (0.9999, 0.0001)), 1: Choice((EOS, 30), (0.6, 0.3))}
    assert only(shell.tell("branched", Branched((), choices)), BranchJob)[0].base == (5, 30)
    assert look.until == 2


def test_nothing_follows_an_end_and_nothing_is_drafted_that_hardly_helps() -> None:
    shell = Shell(max_ahead=4, branches=2)
    shell.stream()
    shell.tell("drafted", [5, 6, 7, 8])
    choices = {place: Choice((token, EOS), (0.6, 0.3)) for place, token in enumerate((5, 6))}
    choices |= {place: Choice((token, 40), (0.9999, 0.0001)) for place, token in ((2, 7), (3, 8))}
    assert only(shell.tell("branched", Branched((), choices)), BranchJob) == []


def test_no_branches_while_drafting_is_off_alone_or_with_states() -> None:
    shell = Shell(max_ahead=4, branches=2)
    shell.stream()
    shell.session.length.off = True
    assert only(shell.tell("drafted", [5, 6, 7, 8]), BranchJob) == []
    alone = Shell(cloud=False, branches=2)
    alone.tell("drafter_ready")
    alone.tell("drafted", [5, 6, EOS])
    assert only(alone.actions, BranchJob) == []


def test_what_branches_cost_switches_them_off_for_a_while() -> None:
    shell = Shell(max_ahead=4, branches=2)
    worth = shell.session.length.estimates.branching
    for _ in range(20):
        worth.held_up()
    worth.answered()
    assert not worth.pays
    worth.hit(20)
    assert worth.pays
    for _ in range(60):
        worth.held_up()
    assert not worth.pays
    for _ in range(7):
        worth.answered()
    assert worth.pays  # time to look again


@pytest.mark.parametrize(("room", "spent"), [(True, 1), (False, 0)])
def test_only_commits_that_the_drafter_is_wanted_for_are_held_up(room: bool, spent: int) -> None:
    shell = Idle()
    if not room:
        shell.hear(Opened("session-0", 20, 16, draft_limit=4))
    worth = shell.session.length.estimates.branching
    before = worth._spent
    shell.commit([5], drafted=4, accepted=0)
    assert (worth._spent > before) is bool(spent)


@pytest.mark.parametrize(
    ("settings", "tried"),
    [
        ({}, 0),
        ({"device": "cuda:0"}, 3),
        ({"replay": "7b-bf16"}, 3),
        ({"device": "cuda:0", "branches": 0}, 0),
        ({"branches": 5}, 5),
    ],
)
def test_left_open_branches_are_for_drafters_with_a_device_of_their_own(settings: dict[str, Any], tried: int) -> None:
    assert EdgeSettings(**settings).branches_tried == tried
