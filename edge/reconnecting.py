"""An asker who loses the edge daemon asks again, by the answer's name; nothing is shown twice, nothing changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from common.ask import Answer, AskEvent, Notice, Report
from common.errors import EventSpecError, LinkError

_FIRST_S, _LONGEST_S = 0.05, 0.5
_CUT = "\N{REPLACEMENT CHARACTER}"  # stands at the end for a character whose last bytes are still to come


class LostDaemonError(LinkError):
    """The edge daemon was lost, or isn't there; what a daemon says itself is another error."""


class NoDaemonError(LostDaemonError):
    """There is no edge daemon to connect to."""


def reconnecting(
    ask: Callable[[], Iterator[AskEvent]],
    reconnect_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[AskEvent, None, None]:
    """The events of one answer, however often the daemon is lost in between.

    Args:
        ask: asks the daemon; each call anew.
        reconnect_s: how long to try again after a loss.
        clock: seconds.
        sleep: waits.

    Raises:
        LostDaemonError: the daemon was never there, or didn't come back.
        EventSpecError: what the daemon says is wrong, or the answer isn't the one that was shown.
    """
    shown, heard = "", False
    lost_at: float | None = None
    pause = _FIRST_S
    while True:
        try:
            for event in ask():
                heard, lost_at, pause = True, None, _FIRST_S
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
        except LostDaemonError as error:
            heard = heard or not isinstance(error, NoDaemonError)
            if not heard or reconnect_s <= 0:
                raise
            now = clock()
            if lost_at is None:
                lost_at = now
                yield Notice("lost the edge daemon; asking again")
            if now - lost_at > reconnect_s:
                raise
        sleep(pause)
        pause = min(2 * pause, _LONGEST_S)


def _check(text: str, shown: str) -> None:
    if not text.startswith(shown.rstrip(_CUT)):
        raise EventSpecError("after the loss of the edge daemon the answer is another one; ask again")
