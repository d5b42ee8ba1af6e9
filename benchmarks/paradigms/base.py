"""What a paradigm is: a way to answer a question, asked of a process that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from common.ask import Mode
from common.types import Pace


class Need(Enum):
    """The process that is asked. All of them have the edge daemon's `Ask` call, on a unix socket."""

    EDGE = "edge"  # an edge daemon on the edge's side, and the cloud daemon
    COLOCATED = "colocated"  # an agent on the edge's side, a gateway with the drafter in the cloud, the cloud daemon
    IN_PROCESS = "in_process"  # both models in one process, no link


@dataclass(frozen=True, slots=True)
class Paradigm:
    """One way to answer.

    Attributes:
        name: `cloud_only`, `edge_only`, `edge_vision`, `stream_to_cloud`, `colocated` or `in_process`.
        variant: its mode in results, such as `tokens-eager`; empty where there is only one.
        what: one line for people.
        need: the process that is asked.
        ask: the mode that the process is asked for.
        pace: what the cloud does without a draft at hand; None: what the edge's controller asks for.
        draft_length: tokens a draft; 0 is adaptive.
        branches: other words at a place that an idle drafter goes on from; None: the daemon's setting.
        lossless: True if it must give the target's own token ids.
        ahead: True if the clip is streamed while it is recorded and the question comes at its end, a new watch for
            every answer. `variant` ends in `ahead` then.
        states: True if drafts carry what an adapter needs, by the layout's adapter and form, in place of ids.
    """

    name: str
    variant: str
    what: str
    need: Need
    ask: Mode
    pace: Pace | None = Pace.EAGER
    draft_length: int = 0
    branches: int | None = None
    lossless: bool = True
    ahead: bool = False
    states: bool = False

    @property
    def label(self) -> str:
        """Name and mode as one word, as in `Run.label`."""
        return f"{self.name}/{self.variant}" if self.variant else self.name

    @property
    def crosses_link(self) -> bool:
        """True if its answer depends on the link."""
        return self.need is not Need.IN_PROCESS and self.ask is not Mode.EDGE_ONLY
