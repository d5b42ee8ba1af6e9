"""An asker waits for an edge daemon that starts, and asks one that it has lost again, by the answer's name.

Nothing is shown twice, nothing changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from common.ask import Answer, AskEvent, Notice, Report
from common.errors import EventSpecError, LinkError, NotReadyError

T = TypeVar("T")
_FIRST_S, _LONGEST_S = 0.05, 0.5
_SILENCE_S = 30.0
_CUT = "\N{REPLACEMENT CHARACTER}"  # stands at the end for a character whose last bytes are still to come


class LostDaemonError(LinkError):
    """The edge daemon was lost, or isn't there; what a daemon says itself is another error."""


class NoDaemonError(LostDaemonError):
    """There is no edge daemon to connect to. `may_come`: nobody listens there, as while a daemon restarts."""

    def __init__(self, state: str, advice: str = "", *, may_come: bool = False) -> None:
        super().__init__(f"{state}: {advice}" if advice else state)
        self.state = state
        self.may_come = may_come


class Patience:
    """How long a client goes on without its daemon: `limit_s` seconds since the first loss; 0: not at all."""

    def __init__(self, limit_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep
        self._expected = False  # there is a daemon, or somewhere for one to be
        self._lost_at: float | None = None
        self._pause = _FIRST_S

    def heard(self) -> None:
        """The daemon is there."""
        self._expected, self._lost_at, self._pause = True, None, _FIRST_S

    def lost(self, error: LinkError) -> str:
        """It isn't; returns what to tell the user, empty if that has been told. Raises `error` once time is up."""
        self._expected = self._expected or not isinstance(error, NoDaemonError) or error.may_come
        if self._limit_s <= 0 or not self._expected:
            raise error
        now = self._clock()
        if self._lost_at is not None:
            if now - self._lost_at > self._limit_s:
                raise error
            return ""
        self._lost_at = now
        match error:
            case NoDaemonError():
                what = f"{error.state}; waiting for one"
            case NotReadyError():
                what = "the edge daemon is still loading its model; waiting for it"
            case _:
                what = "lost the edge daemon; asking again"
        return f"{what}, for {self._limit_s:g} s at most"

    def wait(self) -> None:
        """Until the next attempt."""
        self._sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_S)


def waiting(
    call: Callable[[], Iterator[T]],
    wait_s: float,
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[T, None, None]:
    """What a call yields, begun again for `wait_s` seconds where there is no daemon yet; `tell` hears of it, once.

    Raises:
        LostDaemonError: there was none in that time.
        EventSpecError: what the daemon says is wrong, or the call was lost once it had begun.
    """
    patience = Patience(wait_s, clock, sleep)
    while True:
        began = False
        try:
            for item in call():
                began = True
                yield item
        except (LostDaemonError, NotReadyError) as error:
            if began:
                raise
            if text := patience.lost(error):
                tell(text)
        else:
            return
        patience.wait()


class Silence:
    """Ends a call (`end`) on which the daemon, which gives a sign of life every few seconds, says nothing for long."""

    def __init__(self, end: Callable[[], object], longest_s: float = _SILENCE_S) -> None:
        self._end = end
        self._longest_s = longest_s
        self._heard_at = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def ends(self) -> None:
        """Something was heard."""
        self._heard_at = time.monotonic()

    def close(self) -> None:
        """The call is over."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(max(0.05, self._heard_at + self._longest_s - time.monotonic())):
            if time.monotonic() - self._heard_at >= self._longest_s:
                self._end()
                return


def reconnecting(
    ask: Callable[[], Iterator[AskEvent]],
    reconnect_s: float,
    *,
    named: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[AskEvent, None, None]:
    """The events of one answer, however often the daemon is lost in between, or not there yet.

    Args:
        ask: asks the daemon; each call anew.
        reconnect_s: how long to wait for the daemon, at the beginning and after each loss.
        named: the answer can be asked for again after something of it was heard.
        clock: seconds.
        sleep: waits.

    Raises:
        LostDaemonError: the daemon wasn't there, or didn't come back, within that time.
        EventSpecError: what the daemon says is wrong, or the answer isn't the one that was shown.
    """
    shown, heard = "", False
    patience = Patience(reconnect_s, clock, sleep)
    while True:
        try:
            for event in ask():
                heard = True
                patience.heard()
                if isinstance(event, Answer):
                    if shown.startswith(event.committed_text) and shown != event.committed_text:
                        continue  # it is catching up
                    _check(event.committed_text, shown)
                    shown = event.committed_text
                elif isinstance(event, Report):
                    _check(str(event.values["answer"]), shown)
                yield event
                if isinstance(event, Report):
                    return
            raise LostDaemonError("the edge daemon ended the answer without a report")
        except (LostDaemonError, NotReadyError) as error:
            if heard and not named:
                raise
            if text := patience.lost(error):
                yield Notice(text)
        patience.wait()


def _check(text: str, shown: str) -> None:
    if not text.startswith(shown.rstrip(_CUT)):
        raise EventSpecError("after the loss of the edge daemon the answer is another one; ask again")
