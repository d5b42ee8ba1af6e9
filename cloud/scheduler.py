"""Which sessions go into the next packed forward, and how much of each. Pure: a function of sessions and time.

Sessions that are answering come first (a few tokens each); prompts share what one chunk leaves, so that a running
session is delayed by at most one chunk. The client goes first that has had least (`cloud/shares.py`), and of its
sessions the longest waiting. What is prefilled for questions that may never come (the windows of live streams) has its
turn only in steps that nobody else needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloud.session import Feed, Session
from cloud.shares import Shares


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one packed forward, in tokens. Fewer than `least_chunk` of an unfinished prompt wait for more."""

    prompt_chunk: int = 512
    answering: int = 4096
    least_chunk: int = 16


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A session and what the forward feeds of it."""

    session: Session
    feed: Feed


def schedule(
    sessions: Iterable[Session], now: float, budget: Budget, *, spent: bool = False, shares: Shares | None = None
) -> list[Scheduled]:
    """The sessions due at `now`, within the budget, ordered by slot so that neighbours share attention calls.

    `spent`: this step had its chunk already, of vision; prompts wait for the next one if anybody is answering.
    `shares`: what each client has had; it is charged for what is chosen.
    """
    shares = shares if shares is not None else Shares()
    due = [(at, s) for s in sessions if (at := s.due_at()) is not None and at <= now]
    due = [pair for pair in due if not pair[1].background] or due
    chosen: list[Scheduled] = []
    prompt_left, answering_left = budget.prompt_chunk, budget.answering
    if spent and any(session.prefilled for _, session in due):
        prompt_left = 0
    for session in shares.turns(due):
        if session.prefilled:
            feed = session.feed(budget.prompt_chunk)
            if feed.count > answering_left and answering_left < budget.answering:
                continue  # the first one always goes: none may be too large for ever
            answering_left -= feed.count
        else:
            if prompt_left <= 0:
                continue
            feed = session.feed(prompt_left)
            prompt_left -= feed.known
        shares.charge(session.client, feed.count)
        chosen.append(Scheduled(session, feed))
    return sorted(chosen, key=lambda s: s.session.slot)


def next_due(sessions: Iterable[Session]) -> float | None:
    """The earliest time at which any session has work; None if all wait for their peers."""
    times = [at for s in sessions if (at := s.due_at()) is not None]
    return min(times, default=None)
