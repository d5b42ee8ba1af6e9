"""Edge sessions and one engine on simulated time: delays, losses, duplicates and reordering as a schedule dictates.

Drives the real `EdgeSession` and the real `Engine` with a heap of timed events; no sockets, no threads, no sleeping.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import Frames, Park
from common.errors import LinkError
from common.types import Close, Draft, DrafterInfo, Open, Pace, SamplingParams
from edge.actions import Action, BranchJob, Connect, Done, DraftJob, Send, SendVideo
from edge.branches import Branched, Choice
from edge.controller import DraftLength
from edge.session import EdgeSession, Phase, SessionSettings
from tests.fakes import EOS, VIDEO_FRAMES, FakeRunner, next_token, prompt_tokens

Guess = Callable[[list[int], list[int], random.Random], int]


def right(prompt: list[int], answer: list[int], rng: random.Random) -> int:
    """A drafter that is always right (greedy)."""
    return next_token([*prompt, *answer], SamplingParams(), len(answer))


def wrong(prompt: list[int], answer: list[int], rng: random.Random) -> int:
    """A drafter that is always wrong."""
    truth = right(prompt, answer, rng)
    return 3 if truth != 3 else 4


def noisy(prompt: list[int], answer: list[int], rng: random.Random) -> int:
    """A drafter that is right seven times in ten."""
    return right(prompt, answer, rng) if rng.random() < 0.7 else rng.randrange(3, 50)


def guessing(prompt: list[int], answer: list[int], rng: random.Random) -> int:
    """A drafter that knows nothing."""
    return rng.randrange(2, 50)


@dataclass
class Network:
    """What happens to messages. Times in seconds."""

    delay: float = 0.01
    jitter: float = 0.0
    duplicate: float = 0.0  # share of drafts that come twice
    loss_at: tuple[float, ...] = ()  # times at which every stream breaks
    cloud_dies_at: tuple[float, ...] = ()  # times at which the cloud forgets everything
    down_forever_at: float | None = None


@dataclass
class Client:
    """One asker in the simulation."""

    session: EdgeSession
    guess: Guess
    prompt: list[int]
    answer: list[int] = field(default_factory=list)
    stream: int | None = None
    done: Done | None = None
    last_up: float = 0.0
    last_down: float = 0.0
    drafts_sent: list[Draft] = field(default_factory=list)


class Simulation:
    """See the module's docstring."""

    def __init__(
        self,
        *,
        network: Network | None = None,
        seed: int = 0,
        slots: int = 8,
        limits: EngineLimits | None = None,
    ) -> None:
        self.network = network or Network()
        self.rng = random.Random(seed)
        self.now = 0.0
        self.runner = FakeRunner(slots=slots)
        self.limits = limits or EngineLimits(max_draft=6)
        self.engine = Engine(self.runner, self.limits)
        self.clients: dict[str, Client] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._streams = itertools.count(1)
        self._stepping = False
        for at in self.network.loss_at:
            self.at(at, self._break_streams)
        for at in self.network.cloud_dies_at:
            self.at(at, self._cloud_dies)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Schedule."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), what))

    def ask(
        self,
        question: str,
        *,
        guess: Guess = noisy,
        sampling: SamplingParams | None = None,
        max_tokens: int = 40,
        pace: Pace = Pace.EAGER,
        settings: SessionSettings | None = None,
        length: int = 4,
        start: float = 0.0,
    ) -> Client:
        """A new asker."""
        session_id = f"session-{len(self.clients)}"
        settings = settings or SessionSettings()
        session = EdgeSession(
            opening=Open(
                session_id=session_id,
                question=question,
                sampling=sampling or SamplingParams(),
                max_tokens=max_tokens,
                pace=pace,
                patience_ms=50,
                drafter=DrafterInfo("fake", "fake", 50, 8) if settings.drafts else DrafterInfo(),
            ),
            settings=settings,
            eos_token_ids=frozenset({EOS}),
            length=DraftLength(length),
            started_at=start,
        )
        client = Client(session, guess, prompt_tokens(question))
        self.clients[session_id] = client
        self.at(start, lambda: self._act(client))
        self.at(start + 0.005, lambda: self._tell(client, lambda: session.drafter_ready(self.now)))
        return client

    def run(self, limit: float = 120.0) -> None:
        """Until nothing happens any more, or simulated time is over."""
        while self._heap and self.now < limit:
            self.now, _, what = heapq.heappop(self._heap)
            what()
            self._schedule_step()

    # ---------------------------------------------------------------------------------------------- the edge

    def _tell(self, client: Client, what: Callable[[], None]) -> None:
        what()
        self._act(client)

    def _act(self, client: Client) -> None:
        for action in client.session.drain():
            self._perform(client, action)

    def _perform(self, client: Client, action: Action) -> None:
        match action:
            case Connect(at):
                client.stream = None
                self.at(at, lambda: self._connect(client))
            case Send(message):
                self._up(client, message)
            case SendVideo():
                stream = client.stream
                self.at(self.now + 0.02, lambda: self._video_arrives(client, stream))
            case DraftJob():
                self.at(self.now + 0.002 * action.count, lambda: self._drafted(client, action))
            case BranchJob():
                self.at(self.now + 0.002 * action.count, lambda: self._branched(client, action))
            case Done():
                client.done = action

    def _down(self) -> bool:
        return self.network.down_forever_at is not None and self.now >= self.network.down_forever_at

    def _connect(self, client: Client) -> None:
        if client.session.phase is Phase.DONE:
            return
        if self._down():
            error = LinkError("down")
            failed = client.session.connect_failed
            self.at(self.now + 0.001, lambda: self._tell(client, lambda: failed(error, self.now)))
            return
        client.stream = next(self._streams)
        self._tell(client, lambda: client.session.connected(self.now))

    def _drafted(self, client: Client, job: DraftJob) -> None:
        ids = self._draft(client, job)
        self._tell(client, lambda: client.session.drafted(ids, self.now))

    def _branched(self, client: Client, job: BranchJob) -> None:
        """Sometimes the thread is busy; where it drafts, the truth is often among the other words."""
        if self.rng.random() < 0.1:
            self._tell(client, lambda: client.session.branched(None, self.now))
            return
        ids = self._draft(client, job)
        places = [place for place in range(job.first, job.until) if self.rng.random() < 0.9]
        choices = {place: self._choice(client, place, job.alternatives) for place in places}
        self._tell(client, lambda: client.session.branched(Branched(tuple(ids), choices), self.now))

    def _choice(self, client: Client, place: int, alternatives: int) -> Choice:
        own, before = client.answer[place], client.answer[:place]
        words = [right(client.prompt, before, self.rng), EOS, *range(3, 9)]
        others = [word for word in dict.fromkeys(words) if word != own][:alternatives]
        sure = 0.3 + 0.7 * self.rng.random()
        return Choice((own, *others), (sure, *[(1 - sure) / (2 + i) for i in range(len(others))]))

    def _draft(self, client: Client, job: DraftJob | BranchJob) -> list[int]:
        if job.tokens:
            client.answer[job.position :] = job.tokens
        assert client.answer == list(job.base), "the drafter isn't where the session believes it is"
        ids: list[int] = []
        while len(ids) < job.count and not (ids and ids[-1] == EOS):
            ids.append(client.guess(client.prompt, [*client.answer, *ids], self.rng))
        client.answer += ids
        return ids

    # --------------------------------------------------------------------------------------------- the network

    def _delay(self) -> float:
        return self.network.delay + self.rng.random() * self.network.jitter

    def _up(self, client: Client, message: object) -> None:
        stream, session_id = client.stream, client.session.opening.session_id
        arrivals = [self.now + self._delay()]
        if isinstance(message, Draft):
            client.drafts_sent.append(message)
            if self.rng.random() < self.network.duplicate:
                arrivals.append(self.now + self._delay() * 3)
        else:  # a stream keeps its order, apart from the drafts that this network shuffles
            arrivals[0] = client.last_up = max(arrivals[0], client.last_up)
        for when in arrivals:
            self.at(when, lambda: self._arrive(client, stream, session_id, message))

    def _arrive(self, client: Client, stream: int | None, session_id: str, message: object) -> None:
        if stream is None or stream != client.stream or self._down():
            return
        self._deliver(self.engine.handle(session_id, message, self.now))  # type: ignore[arg-type]

    def _video_arrives(self, client: Client, stream: int | None) -> None:
        session_id = client.session.opening.session_id
        if stream == client.stream and session_id not in self.engine._sessions:
            self.at(self.now + 0.001, lambda: self._video_arrives(client, stream))  # the front waits for the Open
        elif stream == client.stream:
            pixels = np.zeros((VIDEO_FRAMES, *self.runner.pixels_shape), dtype=np.float32)
            self._deliver(self.engine.handle(session_id, Frames(pixels), self.now))

    def _deliver(self, outputs: list) -> None:  # type: ignore[type-arg]
        for output in outputs:
            client = self.clients[output.session_id]
            stream, message = client.stream, output.message
            when = client.last_down = max(self.now + self._delay(), client.last_down)
            self.at(when, lambda c=client, s=stream, m=message: self._received(c, s, m))  # type: ignore[misc]

    def _received(self, client: Client, stream: int | None, message: object) -> None:
        if stream is not None and stream == client.stream and not self._down():
            self._tell(client, lambda: client.session.received(message, self.now))  # type: ignore[arg-type]

    def _break_streams(self) -> None:
        for session_id, client in self.clients.items():
            if client.stream is None:
                continue
            client.stream = None
            if client.session.phase is not Phase.DONE:
                self.engine.handle(session_id, Park(), self.now)
                lost = client.session.link_lost
                self._tell(client, lambda lost=lost: lost(LinkError("cut"), self.now))  # type: ignore[misc]

    def _cloud_dies(self) -> None:
        self.runner = FakeRunner(slots=self.runner.slots)
        self.engine = Engine(self.runner, self.limits)
        self._break_streams()

    # ----------------------------------------------------------------------------------------------- the cloud

    def _schedule_step(self) -> None:
        if self._stepping or self._down():
            return
        due = self.engine.next_due()
        if due is not None:
            self._stepping = True
            self.at(due, self._step)

    def _step(self) -> None:
        outputs = self.engine.step(self.now)
        self.at(self.now + 0.004, lambda: self._stepped(outputs))

    def _stepped(self, outputs: list) -> None:  # type: ignore[type-arg]
        self._stepping = False
        self._deliver(outputs)


def goodbye(simulation: Simulation) -> None:
    """Close whatever the simulation left open, as a front does after a while."""
    for session_id in simulation.clients:
        simulation.engine.handle(session_id, Close(), simulation.now)
