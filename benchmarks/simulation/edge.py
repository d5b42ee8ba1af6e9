"""An edge in virtual time: one drafter, one link, and the real `EdgeSession` of each of its answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.simulation.cases import Case, drafted
from benchmarks.simulation.cloud import SimulatedCloud
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.doubts import choices_at, drawn_choices
from benchmarks.simulation.knowledge import Knowledge
from benchmarks.simulation.link import BulkConnection, LinkFigures, MessageStream, Pipe
from benchmarks.simulation.modes import Mode
from benchmarks.simulation.timeline import Timeline, Workers
from benchmarks.simulation.upload import PacedUploads
from common import codec
from common.errors import EventSpecError
from common.types import Close, CloudMessage, Draft, EdgeMessage, Open
from edge.actions import Action, BranchJob, Connect, Done, DraftJob, Send, SendVideo
from edge.branches import Branched, Choice
from edge.session import EdgeSession, Phase, SessionSettings

_FIRST_MESSAGE = 220  # HTTP/2 headers of a call


class SimulatedLink:
    """Both directions of a link."""

    def __init__(self, timeline: Timeline, figures: LinkFigures, rng: random.Random) -> None:
        self.figures = figures
        self.uplink = Pipe(timeline, figures, figures.uplink, figures.uplink_queue, rng)
        self.downlink = Pipe(timeline, figures, figures.downlink, figures.downlink_queue, rng)


class SimulatedEdge:
    """A device: its answers share the drafter's thread, the link and the video's connection."""

    def __init__(
        self, timeline: Timeline, cloud: SimulatedCloud, costs: Costs, link: SimulatedLink, knowledge: Knowledge
    ) -> None:
        self.timeline = timeline
        self.cloud = cloud
        self.costs = costs
        self.link = link.figures
        self.drafter = Workers(timeline, 1)
        self.files = Workers(timeline, 2)
        self.messages_up = MessageStream(timeline, link.uplink)
        self.messages_down = MessageStream(timeline, link.downlink)
        bulk = BulkConnection(timeline, link.uplink)
        self.video = PacedUploads(timeline, bulk, MessageStream(timeline, link.downlink))
        self.knowledge = knowledge


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: what to ask, the drafter's guesses, how to run the session."""

    case: Case
    guesses: tuple[int, ...]
    opening: Open
    settings: SessionSettings
    mode: Mode


class SimulatedAnswer:
    """Runs one `EdgeSession`, as `edge/runner.py` does; calls `ended` when it is done."""

    def __init__(
        self, edge: SimulatedEdge, asked: Asked, eos: frozenset[int], ended: Callable[[SimulatedAnswer], None]
    ) -> None:
        self.asked = asked
        self.started_at = edge.timeline.now
        self.error: EventSpecError | None = None
        self.session: EdgeSession
        self._edge = edge
        self._timeline = edge.timeline
        self._eos = eos
        self._ended = ended
        self._stream = 0
        self._opened_streams = 0
        self._choices: tuple[Choice, ...] = ()
        self._primed = True  # the drafter's first token after its prefill needs no pass
        edge.files.do(edge.costs.load, self._loaded)

    def _loaded(self) -> None:
        asked, edge = self.asked, self._edge
        if asked.settings.branches:
            case = asked.case
            self._choices = case.choices or drawn_choices(case.truth, asked.guesses, asked.opening.session_id)
        self._drafts, pace = edge.knowledge.drafting(asked.mode, asked.settings.max_ahead)
        opening = replace(asked.opening, pace=pace)
        self.session = EdgeSession(
            opening=opening,
            settings=asked.settings,
            eos_token_ids=self._eos,
            length=self._drafts,
            started_at=self.started_at,
        )
        now_ms = (self._timeline.now - self.started_at) * 1e3
        self.session.figures.stage("load", "edge", 0.0, now_ms)
        if asked.settings.drafts or not asked.settings.cloud:
            edge.drafter.do(edge.costs.drafter_prefill, self._prefilled)
        self._act()

    def _prefilled(self) -> None:
        end_ms, drafter = (self._timeline.now - self.started_at) * 1e3, self._edge.costs.times.drafter
        for name in ("prefill", "vision", "preprocess"):  # backwards from the end: the thread may have been busy before
            start_ms = end_ms - getattr(drafter, f"{name}_ms")
            self.session.figures.stage(f"drafter_{name}", "edge", start_ms, end_ms)
            end_ms = start_ms
        self._tell(self.session.drafter_ready)

    def _span(self, name: str, began_ms: float) -> None:
        now_ms = (self._timeline.now - self.started_at) * 1e3
        self.session.figures.stage(name, "edge", began_ms, now_ms)

    # ------------------------------------------------------------------------------------- what the session wants

    def _tell(self, event: Callable[[float], None]) -> None:
        event(self._timeline.now)
        self._act()
        self.session.length.think()

    def _act(self) -> None:
        for action in self.session.drain():
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Connect(at):
                self._connect(at)
            case Send(message):
                self._send(message)
            case SendVideo():
                self._send_video()
            case DraftJob():
                self._draft(action)
            case BranchJob():
                self._branch(action)
            case Done(error):
                self.error = error
                self._edge.knowledge.answered(self._drafts, self._timeline.now)
                self._ended(self)

    def _connect(self, at: float) -> None:
        if self._stream:  # the old stream is closed first, and that takes a round trip
            self._edge.cloud.detach(self.session.opening.session_id)
            at = max(at, self._timeline.now + self._edge.link.rtt)
            self._stream = 0
        self._timeline.at(at, self._connected)

    def _connected(self) -> None:
        if self.session.phase is Phase.DONE:
            return
        self._opened_streams += 1
        self._stream = self._opened_streams
        self._tell(self.session.connected)

    def _send(self, message: EdgeMessage) -> None:
        if not self._stream:
            return
        size = len(codec.encode_edge_message(message))
        kind = "drafts" if isinstance(message, Draft) else "control"
        self.session.figures.uplink_bytes[kind] += size
        on_wire = size + (_FIRST_MESSAGE if isinstance(message, Open) else 0)
        self._edge.messages_up.send(on_wire, partial(self._reach_front, message, self._stream))

    def _reach_front(self, message: EdgeMessage, stream: int) -> None:
        self._timeline.after(self._edge.costs.hop_s, partial(self._reach_engine, message, stream))

    def _reach_engine(self, message: EdgeMessage, stream: int) -> None:
        cloud, session_id = self._edge.cloud, self.session.opening.session_id
        if isinstance(message, Open) and stream == self._stream:
            cloud.attach(session_id, partial(self._leave_cloud, stream))
        cloud.receive(session_id, message)
        if isinstance(message, Close):
            cloud.detach(session_id)

    def _leave_cloud(self, stream: int, message: CloudMessage) -> None:
        size = len(codec.encode_cloud_message(message))
        self._timeline.after(
            self._edge.costs.hop_s,
            lambda: self._edge.messages_down.send(size, partial(self._received, stream, message, size)),
        )

    def _received(self, stream: int, message: CloudMessage, size: int) -> None:
        if stream == self._stream:
            self.session.figures.downlink_bytes += size
            self._tell(partial(self.session.received, message))

    def _send_video(self) -> None:
        case, began_ms = self.asked.case, (self._timeline.now - self.started_at) * 1e3
        receiver = self._edge.cloud.receiver(self.session.opening.session_id, case.places)
        hop_s = self._edge.costs.hop_s
        arrived = receiver.arrived
        if hop_s:
            arrived = lambda share: self._timeline.after(hop_s, partial(receiver.arrived, share))  # noqa: E731
        self._edge.video.send(case.video_bytes, arrived, partial(self._video_sent, began_ms))

    def _video_sent(self, began_ms: float) -> None:
        self.session.figures.uplink_bytes["video"] += self.asked.case.video_bytes
        self._span("video_upload", began_ms)

    # ------------------------------------------------------------------------------------------------ the drafter

    def _draft(self, job: DraftJob) -> None:
        ids = drafted(self.asked.case, self.asked.guesses, job.base, job.count)
        passes = len(ids) - (self._primed and not job.base)
        self._primed = False
        self._edge.drafter.do(self._edge.costs.draft(passes), partial(self._drafted, ids, passes))

    def _drafted(self, ids: list[int], passes: int) -> None:
        end_ms = (self._timeline.now - self.started_at) * 1e3
        self.session.figures.stage("draft", "edge", end_ms - self._edge.costs.draft(passes) * 1e3, end_ms)
        self._tell(partial(self.session.drafted, ids))

    def _branch(self, job: BranchJob) -> None:
        if not self._edge.drafter.idle:
            self._timeline.after(0.0, partial(self._tell, partial(self.session.branched, None)))
            return
        case = self.asked.case
        ids = drafted(case, self.asked.guesses, job.base, job.count)
        answer = [*job.base, *ids]
        known = range(job.first, min(job.until, len(answer)))
        choices = {place: choices_at(case, self._choices, answer, place) for place in known}
        made = Branched(tuple(ids), choices)
        seconds = self._edge.costs.draft(len(ids)) if job.count else 0.0
        self._edge.drafter.do(seconds, partial(self._tell, partial(self.session.branched, made)))
