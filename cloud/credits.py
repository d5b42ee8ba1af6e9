"""How many draft tokens each session may have under way: what one pass can check, shared out. Pure.

A pass checks the drafts of all sessions, so each draft token that one of them sends takes time from all. The budget of
a pass is shared out as in max-min fairness: among clients first, then among the sessions of each; what somebody can't
use, the others get. So credit shrinks as more come, recovers as they go, and is never nothing: a session that waits for
a draft must be allowed to send one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DRAFTS_PER_PASS = 256


@dataclass(frozen=True, slots=True)
class Credits:
    """What was shared out: tokens of each session, by its client. Whoever isn't named may have `most`."""

    most: int
    each: Mapping[str, int]

    def of(self, client: str) -> int:
        """Draft tokens that a session of this client may have beyond the committed ones."""
        return self.each.get(client, self.most)

    @property
    def least(self) -> int:
        """Of the client with the smallest share."""
        return min(self.each.values(), default=self.most)


def share_out(clients: Iterable[str], budget: int, most: int) -> Credits:
    """Share a pass's budget out.

    Args:
        clients: whose each session is that drafts, so a client with three sessions is named three times.
        budget: draft tokens that a pass may check.
        most: that one session can use.
    """
    sessions = Counter(clients)
    each: dict[str, int] = {}
    left, waiting = budget, len(sessions)
    for client, count in sorted(sessions.items(), key=lambda item: item[1]):
        share = min(left // waiting, count * most)
        each[client] = max(1, min(most, share // count))
        left -= share
        waiting -= 1
    return Credits(most, each)
