"""What a cloud may say within one stream of an answer. Pure; times in seconds.

A cloud decides what the answer is, and nothing else here: what contradicts the protocol, or goes on without bringing
the answer on, ends the stream, and figures that can't be are no figures. So every answer ends, whatever a cloud says:
a stream brings a bounded number of messages for each token.
"""

from __future__ import annotations

from dataclasses import replace

from common.errors import LinkError
from common.types import CloudMessage, Commit, Failure, Finished, FinishReason, Opened, Progress, StepTimings

MOST_IDLE = 1_000  # messages of a stream that bring no token
_MOST_SESSIONS = 4_096  # of a cloud
_SLACK, _SLACK_S = 2.0, 1.0  # of durations that a cloud tells: its clock is another one


class MisconductError(LinkError):
    """The cloud said what no cloud of this protocol says. Another stream may fare better, another cloud more likely."""


class Conduct:
    """Looks at what a cloud says before the session does."""

    def __init__(self, max_tokens: int, vocab_size: int, started_at: float) -> None:
        """Prepare.

        Args:
            max_tokens: of the answer.
            vocab_size: ids that have a text; 0: nobody knows.
            started_at: when the answer was asked for.
        """
        self._max_tokens = max_tokens
        self._vocab_size = vocab_size
        self._started_at = started_at
        self._taken_in = False
        self._idle = 0

    def begin(self) -> None:
        """A new stream."""
        self._taken_in, self._idle = False, 0

    def check(self, message: CloudMessage, now: float) -> CloudMessage:
        """The message, with figures that can be.

        Raises:
            MisconductError: no cloud of this protocol would say so.
        """
        match message:
            case Failure():
                return message
            case Opened():
                if self._taken_in:
                    raise MisconductError("the cloud took the session in twice")
                self._taken_in = True
                return message
        if not self._taken_in:
            raise MisconductError("the cloud speaks of a session before it has taken it in")
        most_us = round((_SLACK_S + _SLACK * max(0.0, now - self._started_at)) * 1e6)
        match message:
            case Commit():
                return self._commit(message, most_us)
            case Progress():
                self._count_idle()
                start_us = min(message.start_us, most_us)
                return replace(message, start_us=start_us, duration_us=min(message.duration_us, most_us))
            case Finished():
                return self._finished(message)

    def _commit(self, commit: Commit, most_us: int) -> Commit:
        if not commit.token_ids:
            self._count_idle()
        if self._vocab_size and any(token >= self._vocab_size for token in commit.token_ids):
            raise MisconductError("the cloud committed an id that its tokenizer doesn't have")
        if commit.drafted > self._max_tokens:
            raise MisconductError("the cloud checked more draft tokens than the answer has places")
        timings = commit.timings
        if timings.queue_us + timings.forward_us > most_us:
            timings = StepTimings()
        return replace(commit, waiting=min(commit.waiting, _MOST_SESSIONS), timings=timings)

    def _finished(self, message: Finished) -> Finished:
        if message.reason is FinishReason.CANCELLED:
            raise MisconductError("the cloud cancelled an answer that is wanted")
        return replace(
            message,
            target_passes=min(message.target_passes, message.length),
            stale_drafts=min(message.stale_drafts, MOST_IDLE * self._max_tokens),
            replay_overruns=min(message.replay_overruns, MOST_IDLE * self._max_tokens),
        )

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > MOST_IDLE:
            raise MisconductError("the cloud goes on without bringing the answer on")
