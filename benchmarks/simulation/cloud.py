"""The cloud in virtual time: the real engine in a loop like `cloud/engine_process.py`'s, and the front's decoding."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.simulation.costs import Costs
from benchmarks.simulation.target import PIXELS, KnownTarget, WorkClock, paced
from benchmarks.simulation.timeline import Call, Timeline, Workers
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import EngineMessage, Frames, Output
from common.types import CloudMessage

GROUP = 4  # frames that the front hands on at a time (`common/frame_groups.py`)

Deliver = Callable[[CloudMessage], None]


class SimulatedCloud:
    """One front and one engine. While a step runs, messages wait; its outputs leave when it ends."""

    def __init__(
        self, timeline: Timeline, target: KnownTarget, costs: Costs, limits: EngineLimits | None = None
    ) -> None:
        self._work = WorkClock()
        self.engine = Engine(paced(target, costs.times, self._work), limits)
        self.busy_s = 0.0
        self.decoding = Workers(timeline, costs.times.video.workers)
        self._timeline = timeline
        self._costs = costs
        self._inbox: deque[tuple[str, EngineMessage, float]] = deque()
        self._edges: dict[str, Deliver] = {}
        self._videos: dict[str, list[Call]] = {}
        self._busy = False
        self._alarm = math.inf

    def attach(self, session_id: str, deliver: Deliver) -> None:
        """Outputs for this session go there."""
        self._edges[session_id] = deliver
        for video_part in self._videos.pop(session_id, ()):
            video_part()

    def when_attached(self, session_id: str, what: Call) -> None:
        """A video that comes before its session waits for it."""
        if session_id in self._edges:
            what()
        else:
            self._videos.setdefault(session_id, []).append(what)

    def detach(self, session_id: str) -> None:
        """Outputs for this session go nowhere."""
        self._edges.pop(session_id, None)

    def receive(self, session_id: str, message: EngineMessage) -> None:
        """A message has reached the engine's queue."""
        self._inbox.append((session_id, message, self._timeline.now))
        if not self._busy:
            self._turn()

    def receiver(self, session_id: str, places: tuple[float, ...]) -> VideoReceiver:
        """Who decodes a session's video."""
        return VideoReceiver(self, session_id, places, self._costs)

    # --------------------------------------------------------------------------------------- the engine's loop

    def _turn(self) -> None:
        """Take in what has come, then step if something is due: one turn of `EngineLoop.run`."""
        self._busy = True
        now = self._timeline.now
        while self._inbox:
            session_id, message, arrived = self._inbox.popleft()
            at = now if isinstance(message, Frames) else arrived  # the front stamps what comes from edges
            self._deliver(self.engine.handle(session_id, message, at))
        due = self.engine.next_due()
        if due is None or due > now:
            self._busy = False
            if due is not None:
                self._set_alarm(due)
            return
        outputs = self.engine.step(now)
        took = self._work.take() + self._costs.step_s
        self.busy_s += took
        self._timeline.after(took, partial(self._stepped, outputs))

    def _stepped(self, outputs: list[Output]) -> None:
        self._deliver(outputs)
        self._turn()

    def _set_alarm(self, due: float) -> None:
        """Wake at the first full millisecond of waiting after `due`, as the loop's poll does."""
        now = self._timeline.now
        at = now + (math.floor((due - now) * 1e3) + 1) / 1e3
        if at < self._alarm or self._alarm <= now:
            self._alarm = at
            self._timeline.at(at, partial(self._ring, at))

    def _ring(self, at: float) -> None:
        if at != self._alarm:
            return
        self._alarm = math.inf
        if not self._busy:
            self._turn()

    def _deliver(self, outputs: list[Output]) -> None:
        for output in outputs:
            deliver = self._edges.get(output.session_id)
            if deliver is not None:
                deliver(output.message)


class VideoReceiver:
    """Decodes one video as its messages come; hands the target's frames on in groups, as `common/frame_groups.py`.

    `places` are the shares of the video after which each of the target's frames is decoded.
    """

    def __init__(self, cloud: SimulatedCloud, session_id: str, places: tuple[float, ...], costs: Costs) -> None:
        self._cloud = cloud
        self._session_id = session_id
        self._places = places
        self._costs = costs
        self._arrived = 0.0  # shares of the video
        self._here = 0.0
        self._decoded = 0.0
        self._sent = 0
        self._working = False

    def arrived(self, share: float) -> None:
        """So much of the video is here; its beginning waits for the session, all of it for a thread."""
        first, self._arrived = self._arrived == 0.0, share
        if first:
            self._cloud.when_attached(self._session_id, self._take)
        elif self._here:
            self._take()

    def _take(self) -> None:
        self._here = self._arrived
        self._work()

    def _work(self) -> None:
        if self._working or self._here <= self._decoded:
            return
        self._working = True
        group = self._places[self._sent : self._sent + GROUP]
        upto = min(self._here, group[-1]) if len(group) == GROUP else self._here
        count = sum(place <= upto for place in group)
        took = self._costs.decode(upto - self._decoded, count)
        self._cloud.decoding.do(took, partial(self._worked, upto, count, took))

    def _worked(self, upto: float, count: int, took: float) -> None:
        self._working, self._decoded = False, upto
        if count:
            pixels = np.zeros((count, *PIXELS), dtype=np.float32)
            self._cloud.receive(self._session_id, Frames(pixels, self._sent, round(took * 1e6)))
            self._sent += count
        self._work()
