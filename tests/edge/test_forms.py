"""The book of an answer's states: what travels, once or again."""

from __future__ import annotations

import pytest

from edge.forms import DraftForm, StateBook, StateForm, StateRow, StateRows


def row(number: int) -> StateRow:
    return StateRow(bytes([number] * 3), bytes([number] * 2))


def book(*, causal: bool = False, form: DraftForm = DraftForm.INT8) -> StateBook:
    made = StateBook(StateForm(form, 3, "adapter", causal))
    made.take(StateRows(0, tuple(row(n) for n in range(6))))
    return made


def sent(made: StateBook, start: int, stop: int) -> list[int]:
    draft = made.draft(start, stop)
    assert draft is not None and draft.scales is not None
    assert draft.hidden_states.shape == (len(draft.hidden_states.data) // 3, 3)
    assert draft.scales.shape == draft.hidden_states.shape[:1]
    assert draft.context == draft.hidden_states.shape[0] - (stop - start)
    return list(draft.hidden_states.data[::3])


def test_states_of_a_draft() -> None:
    made = book()
    assert sent(made, 2, 4) == [2, 3]
    assert sent(made, 5, 6) == [5]


def test_a_causal_adapter_gets_every_state_once() -> None:
    made = book(causal=True)
    assert sent(made, 2, 4) == [0, 1, 2, 3]
    assert sent(made, 4, 6) == [4, 5]
    made.take(StateRows(3, (row(13), row(14), row(15), row(16))))  # rolled back: from 3 on they are others
    assert sent(made, 5, 7) == [13, 14, 15, 16]
    assert sent(made, 5, 7) == [15, 16]
    made.forget()
    assert sent(made, 5, 6) == [0, 1, 2, 13, 14, 15]


def test_a_state_that_is_missing() -> None:
    made = book()
    assert made.draft(5, 7) is None
    made.take(StateRows(4, ()))
    assert made.draft(3, 5) is None
    assert sent(made, 3, 4) == [3]


@pytest.mark.parametrize("form", [DraftForm.HIDDEN, DraftForm.INT8, DraftForm.CODES])
def test_element_types(form: DraftForm) -> None:
    draft = book(form=form).draft(0, 1)
    assert draft is not None
    assert draft.hidden_states.dtype == ("float16" if form is DraftForm.HIDDEN else "int8")
