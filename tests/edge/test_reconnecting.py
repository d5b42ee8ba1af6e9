"""An asker that loses its daemon: text is neither repeated nor skipped nor changed, and there is an end to waiting."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ask import Answer, AskEvent, Notice, Report
from common.errors import EventSpecError, LinkError, NotReadyError
from edge.reconnecting import LostDaemonError, NoDaemonError, reconnecting, waiting

TEXT = "the red ball moves."


class Daemon:
    """Loses its askers after so many events; begins each time where it says."""

    def __init__(self, *calls: tuple[int, int | None]) -> None:
        self.calls = list(calls)
        self.now = 0.0

    def ask(self) -> Iterator[AskEvent]:
        start, events = self.calls.pop(0) if self.calls else (0, None)
        for place, end in enumerate(range(start, len(TEXT) + 1)):
            if place == events:
                raise LostDaemonError("lost")
            yield Answer(TEXT[:end], "", 0.0)
        yield Report({"answer": TEXT})

    def events(self, reconnect_s: float = 10.0) -> list[AskEvent]:
        return list(reconnecting(self.ask, reconnect_s, clock=lambda: self.now, sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(1, 8)), max_size=8))
def test_the_text_only_grows_however_often_the_daemon_is_lost(losses: list[tuple[int, int]]) -> None:
    events = Daemon(*losses).events(1e9)
    shown = [e.committed_text for e in events if isinstance(e, Answer)]
    assert all(after.startswith(before) for before, after in itertools.pairwise(shown))
    assert shown[-1] == TEXT
    assert events[-1] == Report({"answer": TEXT})


def test_a_character_that_was_cut_in_half_is_no_other_answer() -> None:
    texts = ["caf", "caf\N{REPLACEMENT CHARACTER}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]

    def ask() -> Iterator[AskEvent]:
        yield from (Answer(text, "", 0.0) for text in texts)
        yield Report({"answer": texts[-1]})

    assert list(reconnecting(ask, 1.0))[-1] == Report({"answer": texts[-1]})


def test_a_loss_is_told_once() -> None:
    daemon = Daemon((0, 3), (0, 0), (0, 0), (1, None))
    assert sum(isinstance(e, Notice) for e in daemon.events()) == 1


def test_a_daemon_that_was_never_there_and_wont_come_is_an_error_at_once() -> None:
    def ask() -> Iterator[AskEvent]:
        raise NoDaemonError("nobody there")
        yield

    with pytest.raises(NoDaemonError):
        list(reconnecting(ask, 5.0, sleep=lambda s: pytest.fail("it waited")))


def test_a_daemon_that_is_lost_before_it_says_anything_is_asked_again() -> None:
    assert Daemon((0, 0)).events()[-1] == Report({"answer": TEXT})


def test_a_daemon_that_stays_away_is_given_up() -> None:
    daemon = Daemon((0, 3), *[(0, 0)] * 1000)
    with pytest.raises(LostDaemonError):
        daemon.events(5.0)
    assert 5.0 < daemon.now < 7.0


def test_another_answer_is_an_error_and_isnt_shown() -> None:
    def ask() -> Iterator[AskEvent]:
        if not seen:
            yield Answer("the red", "", 0.0)
            raise LostDaemonError("lost")
        yield Answer("the blue", "", 0.0)

    seen: list[AskEvent] = []
    events = reconnecting(ask, 5.0, sleep=lambda s: None)
    seen += [next(events), next(events)]
    with pytest.raises(EventSpecError, match="another one"):
        next(events)
    assert [e.committed_text for e in seen if isinstance(e, Answer)] == ["the red"]


def test_what_the_daemon_says_itself_isnt_asked_again() -> None:
    def ask() -> Iterator[AskEvent]:
        yield Answer("the", "", 0.0)
        raise LinkError("the cloud can't be reached")

    with pytest.raises(LinkError, match="can't be reached") as caught:
        list(reconnecting(ask, 5.0, sleep=lambda s: pytest.fail("it waited")))
    assert not isinstance(caught.value, LostDaemonError)


# --------------------------------------------------------------------------------------- a daemon that isn't there yet

CLOSED = NoDaemonError("no edge daemon answers at here", "start one", may_come=True)
LOADING = NotReadyError("the daemon is still loading")


class Starting:
    """Comes after so many attempts; then an answer without a name is asked for."""

    def __init__(self, *errors: LinkError, text: str = TEXT) -> None:
        self.errors = list(errors)
        self.now = 0.0
        self.asked = 0

    def ask(self) -> Iterator[AskEvent]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        yield Answer(TEXT, "", 0.0)
        yield Report({"answer": TEXT})

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def events(self, reconnect_s: float, *, named: bool = False) -> list[AskEvent]:
        return list(reconnecting(self.ask, reconnect_s, named=named, clock=lambda: self.now, sleep=self.sleep))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    "errors", [[CLOSED] * 5, [LOADING] * 5, [CLOSED, CLOSED, LOADING, LostDaemonError("reset"), NoDaemonError("hm")]]
)
def test_a_daemon_that_starts_is_waited_for_and_that_is_told_once(errors: list[LinkError], named: bool) -> None:
    events = Starting(*errors).events(30.0, named=named)
    (told,) = [event.text for event in events if isinstance(event, Notice)]
    assert told.endswith("30 s at most")
    assert events[-1] == Report({"answer": TEXT})


@pytest.mark.parametrize("error", [CLOSED, LOADING, LostDaemonError("lost")])
def test_there_is_an_end_to_it_and_zero_is_at_once(error: LinkError) -> None:
    daemon = Starting(*[error] * 1000)
    with pytest.raises(type(error)):
        daemon.events(5.0)
    assert 5.0 < daemon.now < 7.0
    daemon = Starting(error)
    with pytest.raises(type(error)):
        daemon.events(0.0)
    assert daemon.now == 0.0


def test_an_answer_without_a_name_isnt_asked_for_again_once_something_of_it_was_heard() -> None:
    def ask() -> Iterator[AskEvent]:
        yield Answer("the", "", 0.0)
        raise LostDaemonError("lost")

    with pytest.raises(LostDaemonError):
        list(reconnecting(ask, 5.0, named=False, sleep=lambda s: pytest.fail("it waited")))


def test_a_watch_waits_for_its_daemon_and_isnt_begun_again() -> None:
    told: list[str] = []
    now, calls = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def watch() -> Iterator[int]:
        nonlocal calls
        calls += 1
        if calls <= 4:
            raise (CLOSED, CLOSED, LOADING, LostDaemonError("reset while it was being started"))[calls - 1]
        yield 1
        raise CLOSED

    states = waiting(watch, 30.0, told.append, clock=lambda: now, sleep=sleep)
    assert next(states) == 1
    assert told == ["no edge daemon answers at here; waiting for one, for 30 s at most"]
    with pytest.raises(NoDaemonError):
        next(states)
    assert calls == 5
