"""A session whose drafts are states: what travels, what follows what, and when it falls back to ids."""

from __future__ import annotations

import pytest

from common.errors import LinkError
from common.types import Draft, Opened, StateEncoding
from edge.actions import DraftJob, Tell
from edge.forms import DraftForm, StateBook, StateForm, StateRow, StateRows
from tests.edge.test_session import Shell, drafts, only


class StatesShell(Shell):
    """Its drafter's state of a position is (position, ids before it), in two bytes."""

    def __init__(self, *, causal: bool = False) -> None:
        super().__init__()
        self.session.book = StateBook(StateForm(DraftForm.INT8, 2, "adapter", causal))
        self.tell("connected")
        self.told = 0

    def opened(self, adapter: str = "adapter") -> list[Draft]:
        return drafts(self.hear(Opened("session-0", 20, 16, adapter=adapter)))

    def job(self) -> DraftJob:
        return only(self.actions, DraftJob)[-1]

    def drafted(self, *ids: int) -> list[Draft]:
        job = self.job()
        answer = [*job.base, *ids]
        if job.tokens:
            self.told = min(self.told, job.position + 1)
        first, self.told = self.told, len(answer)
        rows = tuple(StateRow(bytes([p, sum(answer[:p]) % 256]), b"\0\0") for p in range(first, len(answer)))
        self.now += 0.01
        self.session.drafted(ids, self.now, StateRows(first, rows))
        fresh = self.session.drain()
        self.actions += fresh
        return drafts(fresh)


def positions(draft: Draft) -> list[int]:
    assert draft.hidden_states is not None
    return list(draft.hidden_states.data[::2])


def test_states_wait_for_the_clouds_word() -> None:
    shell = StatesShell()
    shell.tell("drafter_ready")
    assert shell.drafted(5, 6) == []
    (draft,) = shell.opened()
    assert draft.token_ids == ()
    assert draft.encoding is StateEncoding.INT8
    assert (draft.base_position, draft.follows, draft.context, draft.count) == (0, 0, 0, 2)
    assert positions(draft) == [0, 1]


def test_drafts_ahead_name_what_they_follow() -> None:
    shell = StatesShell()
    shell.opened()
    shell.tell("drafter_ready")
    (first,) = shell.drafted(5, 6)
    (second,) = shell.drafted(7)
    (third,) = shell.drafted(8)
    assert [d.follows for d in (first, second, third)] == [0, first.draft_id, second.draft_id]
    assert [d.base_position for d in (first, second, third)] == [0, 2, 3]


def test_after_a_disagreement_of_its_own_the_next_follows_nothing() -> None:
    shell = StatesShell()
    shell.opened()
    shell.tell("drafter_ready")
    shell.drafted(5, 6, 7, 8)
    shell.drafted(9)
    shell.commit([5, 9], drafted=4, accepted=2, draft_id=1)  # the adapter was right where the drafter wasn't
    shell.drafted(1)  # a job that was under way
    assert shell.job().tokens == (9,)
    (draft,) = shell.drafted(3, 4)
    assert (draft.base_position, draft.follows) == (2, 0)
    assert positions(draft) == [2, 3]


def test_what_the_cloud_dropped_is_sent_again() -> None:
    """The drafter is right and the adapter wrong: the cloud has dropped what was pending, the belief still holds."""
    shell = StatesShell()
    shell.opened()
    shell.tell("drafter_ready")
    shell.drafted(5, 6, 7, 8)
    (again,) = drafts(shell.commit([5], drafted=4, accepted=0, draft_id=1))
    assert (again.base_position, again.follows) == (1, 0)
    assert positions(again) == [1, 2, 3]


def test_a_causal_adapter_is_told_what_it_missed() -> None:
    shell = StatesShell(causal=True)
    shell.opened()
    shell.tell("drafter_ready")
    shell.drafted(5, 6)
    shell.commit([9, 9, 9], drafted=2, accepted=0, draft_id=1)
    shell.drafted(1)
    (draft,) = shell.drafted(3, 4)
    assert (draft.base_position, draft.context, draft.count) == (3, 2, 2)
    assert positions(draft) == [1, 2, 3, 4]  # the state of position 0 still holds


def test_another_adapter_means_ids() -> None:
    for adapter in ("", "another"):
        shell = StatesShell()
        shell.tell("drafter_ready")
        shell.drafted(5, 6)
        (draft,) = shell.opened(adapter)
        assert draft.token_ids == (5, 6)
        assert draft.hidden_states is None
        assert any("drafts go as ids" in tell.text for tell in only(shell.actions, Tell))
        assert shell.session.figures.report(0)["draft_form"] == "ids"


def test_after_a_loss_the_cloud_knows_nothing() -> None:
    shell = StatesShell(causal=True)
    shell.opened()
    shell.tell("drafter_ready")
    shell.drafted(5, 6)
    shell.commit([5], draft_id=0)
    shell.tell("link_lost", LinkError("gone"))
    shell.tell("connected")
    (draft,) = shell.opened()
    assert (draft.epoch, draft.base_position, draft.context) == (1, 1, 1)
    assert positions(draft) == [0, 1]


def test_what_is_learned_is_what_the_cloud_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = StatesShell()
    shell.opened()
    shell.tell("drafter_ready")
    shell.drafted(5, 6)
    told: list[tuple[int, bool, str]] = []

    def checked(place: int, right: bool, form: str = "ids") -> None:
        told.append((place, right, form))

    monkeypatch.setattr(shell.session.length.estimates, "checked_token", checked)
    shell.commit([7, 8, 9], drafted=4, accepted=2, draft_id=1)
    own = [(0, False, "ids")]  # the drafter's own ids meet the commit, too, though they didn't travel
    assert told == [*own, (0, True, "int8"), (1, True, "int8"), (2, False, "int8")]
