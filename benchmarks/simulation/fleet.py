"""Many clients in virtual time: who asks what and when, and what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.simulation.cases import EOS, Acceptance, Case, draw_guesses
from benchmarks.simulation.cloud import SimulatedCloud
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.edge import Asked, SimulatedAnswer, SimulatedEdge, SimulatedLink
from benchmarks.simulation.knowledge import Knowledge
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import Mode
from benchmarks.simulation.target import TOKENIZER, KnownTarget
from benchmarks.simulation.timeline import Timeline
from cloud.engine_limits import EngineLimits
from common.errors import EngineError
from common.types import DrafterInfo, Open, Pace
from edge.session import SessionSettings

_EOS = frozenset({EOS})
_DRAFTER = DrafterInfo("simulated", TOKENIZER, 32_000, 1)
_DETAILED = 2_000  # answers whose spans are kept
_SLICE = 1.0  # virtual seconds between two looks at the progress


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When a client asks.

    Without `per_s` in a closed loop: it thinks for about `think_s` after an answer, then asks again. With it in an
    open one: questions come by a Poisson process, whether or not the last one is answered.

    Attributes:
        think_s: mean of an exponential distribution; 0: at once.
        per_s: questions a second and client.
        start_s: clients begin spread evenly at random over this time.
        each: a closed loop's client stops after so many questions; None: at the end of the duration.
    """

    think_s: float = 5.0
    per_s: float | None = None
    start_s: float = 5.0
    each: int | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the fleet runs on.

    `clients_per_edge` clients share an edge's drafter and link, all edges one link if `shared_link`, and what their
    controllers learn if `shared_knowledge`; edges are spread over `clouds` equal clouds, each of one engine with
    `slots` sessions.
    """

    costs: Costs
    link: LinkFigures = field(default_factory=LinkFigures)
    slots: int = 8
    clouds: int = 1
    max_ahead: int = 16
    clients_per_edge: int = 1
    shared_link: bool = False
    shared_knowledge: bool = False
    limits: EngineLimits = field(default_factory=EngineLimits)
    tokens_per_frame: int = 256


@dataclass(frozen=True, slots=True)
class Questions:
    """What may be asked: a case at random, or in turn; how well the drafter guesses where a case doesn't say."""

    cases: Sequence[Case]
    acceptance: Acceptance
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question's end. `report` has the figures of `docs/report.md`; `failure` says why there is no answer."""

    client: int
    number: int
    case: Case
    started_at: float
    token_ids: tuple[int, ...]
    report: dict[str, object]
    alone: bool = False
    failure: str = ""


@dataclass
class Totals:
    """Counters of the clouds over a stretch of time, in seconds and tokens."""

    busy_s: float = 0.0
    decoding_s: float = 0.0
    committed: int = 0
    chosen_passes: int = 0
    forwards: int = 0
    batched: int = 0

    def since(self, earlier: Totals) -> Totals:
        """The difference."""
        return Totals(*(getattr(self, name) - getattr(earlier, name) for name in self.__dataclass_fields__))


@dataclass
class Fleet:
    """A simulation: `run` it once. Everything is decided by `seed`."""

    deployment: Deployment
    mode: Mode
    questions: Questions
    clients: int
    arrivals: Arrivals = Arrivals()
    seed: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    unfinished: int = 0
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        on = self.deployment
        self.timeline = Timeline()
        prompts = [f"{case.question} [{index}]" for index, case in enumerate(self.questions.cases)]
        self._prompts = prompts
        by_prompt = dict(zip(prompts, self.questions.cases, strict=True))
        self._targets = [
            KnownTarget(by_prompt, slots=on.slots, tokens_per_frame=on.tokens_per_frame) for _ in range(on.clouds)
        ]
        self.clouds = [SimulatedCloud(self.timeline, target, on.costs, on.limits) for target in self._targets]
        edges = -(-self.clients // on.clients_per_edge)
        self.links = [self._link(index) for index in range(1 if on.shared_link else edges)]
        known = Knowledge(shared=True)
        self.edges = [
            SimulatedEdge(
                self.timeline,
                self.clouds[index % on.clouds],
                on.costs,
                self.links[index % len(self.links)],
                known if on.shared_knowledge else Knowledge(),
            )
            for index in range(edges)
        ]
        self._settings = SessionSettings(max_ahead=on.max_ahead, drafts=self.mode.drafts, branches=self.mode.branches)
        self._stop_at = 0.0

    def _link(self, index: int) -> SimulatedLink:
        return SimulatedLink(self.timeline, self.deployment.link, random.Random(f"{self.seed} link {index}"))

    def totals(self) -> Totals:
        """The clouds' counters up to now, all clouds together."""
        stats = [cloud.engine.stats for cloud in self.clouds]
        return Totals(
            sum(cloud.busy_s for cloud in self.clouds),
            sum(cloud.decoding.busy_s for cloud in self.clouds),
            sum(one.committed for one in stats),
            sum(one.target_passes for one in stats),
            sum(target.passes for target in self._targets),
            sum(target.batched for target in self._targets),
        )

    def run(
        self,
        duration: float,
        *,
        warm_up: float = 0.0,
        drain: float = 600.0,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Totals:
        """Ask for `duration` seconds, then let what was asked end, for `drain` seconds at most.

        Returns:
            The cloud's work between `warm_up` and `duration`.

        Raises:
            EngineError: an answer isn't the target's own: an error in the code that is simulated.
        """
        self._stop_at = duration
        for client in range(self.clients):
            rng = random.Random(f"{self.seed} client {client}")
            first = rng.random() * self.arrivals.start_s
            if self.arrivals.per_s is not None:
                first = rng.expovariate(self.arrivals.per_s)
            self.timeline.at(first, partial(self._ask, client, 0, rng))
        before = self._advance(warm_up, duration, progress)
        measured = self._advance(duration, duration, progress).since(before)
        self._advance(duration + drain, duration, progress)
        for cloud in self.clouds:
            cloud.engine.check_integrity()
        return measured

    def _advance(self, until: float, duration: float, progress: Callable[[float], None]) -> Totals:
        empty = False
        while not empty and self.timeline.now < until:
            empty = self.timeline.run(min(until, self.timeline.now + _SLICE))
            progress(min(1.0, self.timeline.now / duration) if duration else 1.0)
        return self.totals()

    def _ask(self, client: int, number: int, rng: random.Random) -> None:
        if self.timeline.now > self._stop_at:
            return
        cases = self.questions.cases
        index = (client + number) % len(cases) if self.questions.in_turn else rng.randrange(len(cases))
        case = cases[index]
        opening = Open(
            session_id=f"{client:06d}-{number:025d}",  # as long as a daemon's
            question=self._prompts[index],
            max_tokens=max(64, len(case.truth)) if case.truth[-1] == EOS else len(case.truth),
            pace=self.mode.pace or Pace.EAGER,
            patience_ms=self.mode.patience_ms,
            drafter=_DRAFTER if self.mode.drafts else DrafterInfo(),
        )
        guesses = case.guesses or draw_guesses(case.truth, self.questions.acceptance, rng)
        asked = Asked(case, guesses, opening, self._settings, self.mode)
        self.unfinished += 1
        edge = self.edges[client // self.deployment.clients_per_edge]
        SimulatedAnswer(edge, asked, _EOS, partial(self._ended, client, number, rng))
        if self.arrivals.per_s is not None:
            self.timeline.after(rng.expovariate(self.arrivals.per_s), partial(self._ask, client, number + 1, rng))

    def _ended(self, client: int, number: int, rng: random.Random, answer: SimulatedAnswer) -> None:
        self.unfinished -= 1
        self.ended_at = self.timeline.now
        session, case = answer.session, answer.asked.case
        ids = tuple(session.answer)
        alone = session.figures.alone
        wrong = next((target.wrong for target in self._targets if target.wrong), "")
        if wrong or (answer.error is None and not alone and ids != case.truth):
            raise EngineError(f"an answer differs from the target's own: {wrong or (ids, case.truth)}")
        failure = str(answer.error) if answer.error is not None else ""
        report = {"pace": session.opening.pace.value, **session.figures.report(len(ids))}
        if len(self.outcomes) >= _DETAILED:
            report = {name: value for name, value in report.items() if name not in ("stages", "commit_trace")}
        self.outcomes.append(Outcome(client, number, case, answer.started_at, ids, report, alone, failure))
        each = self.arrivals.each
        if self.arrivals.per_s is None and (each is None or number + 1 < each):
            think = rng.expovariate(1 / self.arrivals.think_s) if self.arrivals.think_s else 0.0
            self.timeline.after(think, partial(self._ask, client, number + 1, rng))
