"""When a cloud that was lost, failed or lied is tried again, and when it is given up. Pure; times in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import EngineError, EventSpecError, MessageError
from edge.conduct import MisconductError

if TYPE_CHECKING:
    from edge.session import SessionSettings

_ENGINE_FAILURES = 3  # of one answer, each at another place, before the cloud is believed to fail at it


class Losses:
    """The losses of one answer's streams."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._attempts = 0  # to connect, since the last token
        self._fruitless = 0  # streams since the last token
        self._lies = 0
        self._first_lie_at = 0.0
        self._lost_since: float | None = None
        self._barren_since: float | None = None  # the first loss since the last token
        self._engine_failures: list[int] = []  # how much was committed at each

    @property
    def trying_again(self) -> bool:
        """Whether the next stream comes after a loss that no token has made good yet."""
        return self._attempts > 0

    def taken_in(self) -> None:
        """A cloud has taken the session in."""
        self._fruitless += 1
        self._lost_since = None

    def token(self) -> None:
        """The answer goes on."""
        self._attempts = self._fruitless = 0
        self._barren_since = None

    def lost(self, error: EventSpecError, now: float) -> None:
        """A stream broke, or none could be opened."""
        self._lost_since = now if self._lost_since is None else self._lost_since
        self._barren_since = now if self._barren_since is None else self._barren_since
        if is_lie(error):
            self._first_lie_at = self._first_lie_at if self._lies else now
            self._lies += 1

    def given_up(self, now: float) -> tuple[str, str] | None:
        """What the cloud does, and for how long there has been nothing, once it is no use to go on; else None."""
        settings, waited, barren = (
            self._settings,
            self._since(self._lost_since, now),
            self._since(self._barren_since, now),
        )
        if waited >= settings.give_up_after:
            return "can't be reached", f"no link for {waited:.0f} s"
        if self._lies >= settings.give_up_lies and now - self._first_lie_at >= settings.give_up_lies_after:
            return "isn't believed", ""
        if (
            barren >= max(settings.give_up_barren, settings.give_up_after)
            or self._fruitless >= settings.give_up_attempts
        ):
            return "brings no token", f"no token for {barren:.0f} s"
        return None

    def again_at(self, error: EventSpecError, now: float) -> float:
        """When to connect again: after the backoff, and not before the cloud's own word."""
        settings = self._settings
        delay: float = min(settings.backoff_first * 2 ** min(self._attempts, 30), settings.backoff_longest)
        delay = max(delay, error.retry_after_ms / 1e3)  # who is told when to come back, comes back then
        self._attempts += 1
        last = (now if self._lost_since is None else self._lost_since) + settings.give_up_after
        return min(now + delay, last)

    def may_have_passed(self, error: EventSpecError, place: int) -> bool:
        """An engine failed over this answer: computed again it may succeed, unless it fails twice at one place."""
        failures = self._engine_failures
        if not isinstance(error, EngineError) or place in failures or len(failures) >= _ENGINE_FAILURES:
            return False
        failures.append(place)
        return True

    @staticmethod
    def _since(began: float | None, now: float) -> float:
        return 0.0 if began is None else now - began


def is_lie(error: EventSpecError) -> bool:
    """Whether the cloud said what no cloud would."""
    return isinstance(error, MisconductError | MessageError)


def kind_of_loss(error: EventSpecError) -> str:
    """What an asker is told of it."""
    if is_lie(error):
        return "the cloud isn't believed"
    return "the cloud failed" if isinstance(error, EngineError) else "link lost"
