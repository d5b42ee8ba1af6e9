"""What a session wants its shell to do (`edge/session.py` decides, `edge/runner.py` acts). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import EventSpecError
from common.types import EdgeMessage, FrameName


@dataclass(frozen=True, slots=True)
class DraftJob:
    """Work for the drafter: if there are `tokens`, the answer from `position` on is these; then draft `count` more.

    `base` is the whole answer that the draft will continue.
    """

    position: int
    tokens: tuple[int, ...]
    count: int
    base: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BranchJob:
    """Work for a drafter that would idle: as `DraftJob`, and then say what else could stand from `first` to `until`.

    A `count` of 0 only asks. Nothing waits for it, and nothing may be held up by it.
    """

    position: int
    tokens: tuple[int, ...]
    count: int
    base: tuple[int, ...]
    first: int
    until: int
    alternatives: int


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a stream at time `at` and then call `connected`, or `connect_failed`."""

    at: float


@dataclass(frozen=True, slots=True)
class Distrust:
    """The cloud of this stream lied: where there are several, the next one has its turn."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the cloud."""

    message: EdgeMessage


@dataclass(frozen=True, slots=True)
class SendVideo:
    """Stream the video to the cloud, on its own connection."""


@dataclass(frozen=True, slots=True)
class Named:
    """The answer is about these frames: whoever sends the video again sends these."""

    frames: tuple[FrameName, ...]


@dataclass(frozen=True, slots=True)
class Show:
    """The answer changed: committed and provisional token ids."""

    committed: tuple[int, ...]
    provisional: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """A line for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end. `error` is set if there is no answer."""

    error: EventSpecError | None = None


Action = DraftJob | BranchJob | Connect | Distrust | Send | SendVideo | Named | Show | Tell | Done
