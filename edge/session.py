"""One answer at the edge, as a pure state machine: what is committed, what the drafter believes, what to do next.

    committed   the answer so far, by the cloud's word
    belief      the answer as the drafter holds it: committed tokens and its own continuation
    sent        the answer as the cloud would have it if it accepted every draft sent so far

Everything follows from comparing these three. The drafter goes on along its own belief while drafts are under way; a
commit that disagrees rolls it back; whatever of the belief is neither committed nor sent is the next draft.

While the drafter has nothing else to do it drafts what might come in place of its belief (`edge/branches.py`). A commit
that says just that makes the branch the belief.

No I/O, no clock, no threads, no torch: inputs are method calls with `now` in seconds, outputs are actions that
`drain` hands to the shell (`edge/runner.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from common.errors import EngineError, EventSpecError, LinkError
from common.failures import error_of
from common.prefix_hash import prefix_hash
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    Failure,
    Finished,
    FinishReason,
    FrameName,
    Open,
    Opened,
    Progress,
)
from edge.actions import Action, BranchJob, Connect, Distrust, Done, DraftJob, Named, Send, SendVideo, Show, Tell
from edge.branches import Branched, Branches, common
from edge.conduct import Conduct, MisconductError
from edge.controller import DraftLength
from edge.estimates import IDS
from edge.figures import Figures
from edge.forms import ENCODINGS, StateBook, StateRows
from edge.lessons import Lessons
from edge.losses import Losses, is_lie, kind_of_loss

_ALONE_JOB = 4  # tokens that are drafted at a time when nobody else will: an answer streams


class Phase(Enum):
    """Where an answer stands; `docs/protocol.md` has the chart."""

    CONNECTING = "connecting"  # no stream yet, or an Open under way
    STREAMING = "streaming"  # the cloud has taken the session in
    LOST = "lost"  # the stream broke; reconnecting with backoff
    ALONE = "alone"  # the edge finishes by itself
    DONE = "done"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session behaves. Times in seconds."""

    max_ahead: int = 16  # drafted tokens beyond the committed ones
    backoff_first: float = 0.05
    backoff_longest: float = 0.5
    give_up_after: float = 10.0  # without a link for so long, the edge finishes alone
    give_up_attempts: int = 24  # ... or after so many streams that brought no token
    give_up_lies: int = 6  # ... or after so many things that no cloud would say
    give_up_lies_after: float = 3.0  # ... over so long at least: a line that mixes messages up may be over by then
    give_up_barren: float = 120.0  # ... or once streams have broken for so long, and none has brought a token
    drafts: bool = True  # False: the cloud decodes alone (cloud_only)
    cloud: bool = True  # False: the edge answers alone (edge_only)
    branches: int = 0  # other words that a drafter with nothing else to do tries at a place; 0: none. Ids only: no book


@dataclass
class EdgeSession:
    """See the module's docstring. `opening` is the fresh `Open`; `eos_token_ids` end the drafter's own answer.

    With a `book`, drafts carry the drafter's states in place of its ids, for a cloud that has the book's adapter.
    A cloud that commits ids from `vocab_size` on (0: not known) isn't believed.
    """

    opening: Open
    settings: SessionSettings
    eos_token_ids: frozenset[int]
    length: DraftLength
    started_at: float
    book: StateBook | None = None
    vocab_size: int = 0
    first_epoch: int = 0  # above 0: an answer that was begun before this edge's restart, with what is `committed`
    phase: Phase = Phase.CONNECTING
    committed: list[int] = field(default_factory=list)
    belief: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    frames: tuple[FrameName, ...] = ()  # that the answer is about, as far as anybody has said
    figures: Figures = field(default_factory=Figures)
    _epoch: int = 0
    _draft_id: int = 0
    _draft_limit: int | None = None  # the cloud's credit: drafts may reach up to this position; None: it told none
    _drafter_ready: bool = False
    _drafter_error: EventSpecError | None = None
    _job: DraftJob | BranchJob | None = None
    _job_began: float = 0.0
    _silent: bool = False  # the drafter had nothing to say behind the belief
    _held: list[int] = field(default_factory=list)  # the answer as the drafter has it: the belief, or a branch
    _connect_pending: bool = False
    _actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.figures.started_at = self.started_at
        self._lessons = Lessons(self.length.estimates)
        self._losses = Losses(self.settings)
        self._conduct = Conduct(self.opening.max_tokens, self.vocab_size, self.started_at)
        wanted = self.settings.branches if self.book is None and self.length.estimates.branching.pays else 0
        self._branches = Branches(wanted, self.eos_token_ids)
        if self.book is not None:
            self.figures.draft_form = self.book.form.form.value
        self._epoch = self.first_epoch
        if self.committed:
            self._show()
        if self.settings.cloud:
            self._connect(self.started_at)
        else:
            self.phase = Phase.ALONE

    def drain(self) -> list[Action]:
        """What the shell must do now, in order."""
        actions, self._actions = self._actions, []
        return actions

    @property
    def answer(self) -> list[int]:
        """The answer's token ids: committed ones; the drafter's own if the edge finished alone."""
        return list(self.belief) if self.figures.alone else list(self.committed)

    # ------------------------------------------------------------------------------------------ the drafter

    def drafter_ready(self, now: float) -> None:
        """The drafter has its prompt and events."""
        self._drafter_ready = True
        self.figures.drafter_ready_at = now
        self._next_job(now)

    def drafted(self, ids: Sequence[int], now: float, states: StateRows | None = None) -> None:
        """The running job is done; with a book, `states` are those that are new since the last one."""
        if not isinstance(self._job, DraftJob) or self.phase is Phase.DONE:
            return
        job, self._job = self._job, None
        if self.figures.draft_jobs:  # the first one begins with a token that the prompt's pass has paid for
            self.length.estimates.job(len(ids), now - self._job_began)
        if self.book is not None and states is not None:
            self.book.take(states)
        self.figures.drafted_job(len(ids))
        if self._goes_on(job, ids, now) and not ids and self.phase is Phase.ALONE:
            self._end(FinishReason.LENGTH, now=now)  # it has nothing more to say, and nobody else can
        self._next_job(now)

    def branched(self, made: Branched | None, now: float) -> None:
        """The running `BranchJob` is done, or (None) wasn't: the drafter's thread is needed for something else."""
        if not isinstance(self._job, BranchJob) or self.phase is Phase.DONE:
            return
        job, self._job = self._job, None
        if made is None:  # asked again after the next commit
            return
        if not job.count:
            self._branches.learn(made.choices, job.until)
        elif not self._goes_on(job, made.ids, now):
            self._branches.grown(made)
        else:  # a commit has made this branch the belief meanwhile
            self._branches.learn(made.choices, len(self.belief))
            self.figures.draft_tokens_made += len(made.ids)
        self._next_job(now)

    def _goes_on(self, job: DraftJob | BranchJob, ids: Sequence[int], now: float) -> bool:
        """The drafter went on from the job's base; True if that is what the belief is (still, or by now)."""
        self._held = [*job.base, *ids]
        if self.belief != list(job.base):
            return False
        self.belief, self._silent = list(self._held), not ids
        self._lessons.compare(self.belief, self.committed)
        if self._consistent and len(self.belief) > len(self.committed):
            self.figures.provisional(now)
            self._send_draft(now)
        self._show()
        return True

    def drafter_failed(self, error: EventSpecError, now: float) -> None:
        """The drafter can't go on: the cloud decodes alone; without a cloud this is the end."""
        self._job = None
        self._drafter_ready = False
        self._drafter_error = error
        if self.phase is Phase.ALONE:
            self._end(error=error, now=now)
        elif self.phase is not Phase.DONE:
            self._actions.append(Tell(f"drafting stopped: {error}"))

    @property
    def _consistent(self) -> bool:
        return self.belief[: len(self.committed)] == self.committed

    def _next_job(self, now: float) -> None:
        wanted = self.settings.drafts or self.phase is Phase.ALONE
        if not (wanted and self._drafter_ready) or self._job is not None or self.phase is Phase.DONE:
            return
        if self.phase is Phase.ALONE and self._finish_alone(now):
            return
        base = tuple(self.belief if self._consistent else self.committed)
        silent = self._consistent and self._silent and self.phase is not Phase.ALONE  # until a commit says otherwise
        count = 0 if silent else self._room(base)
        if count <= 0:
            self._branch_off()
            return
        if not self._consistent:
            self.figures.rollbacks += common(self.belief, base) < len(self.belief)
            self.belief = list(base)
            self._lessons.told(len(base))
            self._branches.forget()
        position = common(self._held, base)
        self._job, self._job_began = DraftJob(position, base[position:], count, base), now
        self._actions.append(self._job)

    def _branch_off(self) -> None:
        """Nothing is left to draft along the belief: what might come in its place?"""
        known, line = len(self.committed), self.belief
        if not self._branches.alternatives or self.length.off or self.phase is Phase.ALONE:
            return
        if not self._consistent or len(line) <= known:
            return
        job = self._branches.job(self._held, line, known, self._lessons.rates(), self.length.length)
        if job is not None:
            self._job = job
            self._actions.append(job)

    def _switch(self) -> None:
        """The belief is wrong: go on along the branch that has what was committed, if there is one."""
        found = self._branches.switch(self.belief, self.committed)
        self.figures.met_branch(found is not None)
        if found is None:
            return
        ready = max(0, len(found) - len(self.committed))
        self.figures.draft_tokens_made += len(found) - common(found, self.belief) - 1
        self.figures.rollbacks += 1
        self.length.estimates.branching.hit(ready)
        self.belief, self._silent = found, False
        self._lessons.compare(self.belief, self.committed)

    def _room(self, base: Sequence[int]) -> int:
        if self._complete(base) is not None:
            return 0
        room = self.opening.max_tokens - len(base)
        if self.phase is Phase.ALONE:
            return min(_ALONE_JOB, room)
        ahead = len(base) - len(self.committed)
        room = min(room, self.settings.max_ahead - ahead)
        if self._draft_limit is not None:
            room = min(room, self._draft_limit - len(base))
        return min(self.length.count(ahead, len(self.committed), self.opening.pace), room)

    @property
    def _may_send(self) -> bool:
        """In a stream; the first one's drafts follow its Open at once, a resume has to hear what is committed.

        States have to hear which adapter the cloud has.
        """
        introduced = self.figures.introduced_at is not None and self._epoch == 0 and self.book is None
        return self.phase is Phase.STREAMING or (self.phase is Phase.CONNECTING and introduced)

    def _send_draft(self, now: float) -> None:
        if not self._may_send:
            return
        same = 0
        limit = min(len(self.sent), len(self.belief))
        while same < limit and self.sent[same] == self.belief[same]:
            same += 1
        start, stop = max(len(self.committed), same), len(self.belief[: self._draft_limit])
        if start >= stop:
            return
        draft = self._draft(start, stop)
        if draft is None:
            return
        self._draft_id = draft.draft_id
        self.sent = self.belief[:stop]
        self.figures.sent_draft(self._draft_id, stop - start, now, start)
        self._actions.append(Send(draft))

    def _draft(self, start: int, stop: int) -> Draft | None:
        """The belief from `start` to `stop`, as ids or as states; None if a state is missing."""
        about = (self._draft_id + 1, self._epoch, start, prefix_hash(self.belief[:start]))
        if self.book is None or not self.book.covers(stop):
            return Draft(*about, tuple(self.belief[start:stop]))
        states = self.book.draft(start, stop)
        if states is None:
            return None
        return Draft(
            *about,
            hidden_states=states.hidden_states,
            encoding=ENCODINGS[self.book.form.form],
            scales=states.scales,
            context=states.context,
            follows=self._draft_id if start > len(self.committed) else 0,
        )

    # -------------------------------------------------------------------------------------------- the cloud

    def connected(self, now: float) -> None:
        """A stream is open: introduce the session."""
        self._connect_pending = False
        if self.phase in (Phase.ALONE, Phase.DONE):
            return
        if self._losses.trying_again:
            self._epoch += 1
        self._draft_limit = None
        self._conduct.begin()
        self.figures.introduced_at = now
        numbers = tuple(name.number for name in self.frames)
        opening = replace(self.opening, epoch=self._epoch, committed=tuple(self.committed), frames=numbers)
        self._actions.append(Send(opening))
        if self._epoch == 0 and not self.opening.clip:
            self._actions.append(SendVideo())
        if self._may_send and self._consistent:
            self._send_draft(now)

    def received(self, message: CloudMessage, now: float) -> None:
        """A message from the cloud; what a lost stream still brings is nobody's."""
        if self._connect_pending or self.phase in (Phase.ALONE, Phase.DONE):
            return
        try:
            message = self._conduct.check(message, now)
        except MisconductError as error:
            self.link_lost(error, now)
            return
        match message:
            case Opened():
                self._opened(message, now)
            case Commit():
                self._commit(message, now)
            case Progress():
                self.figures.progress(message)
            case Finished():
                self._finished(message, now)
            case Failure():
                self.refused(error_of(message), now)

    def _opened(self, message: Opened, now: float) -> None:
        if message.frames and self.committed and self.frames and message.frames != self.frames:
            self.link_lost(MisconductError("the cloud goes on about other frames than it began with"), now)
            return
        if message.frames:
            self.frames = message.frames
            self._actions.append(Named(message.frames))
        if self._epoch > 0:
            self.figures.resumes += 1
            self._actions.append(Tell("connected again; going on where the answer was"))
        if message.video_needed and (self._epoch > 0 or self.opening.clip):
            self._actions.append(SendVideo())
        self.phase = Phase.STREAMING
        self._agree_on_form(message.adapter)
        self._losses.taken_in()
        if self.figures.introduced_at is not None:
            self.length.estimates.round_trip(now - self.figures.introduced_at)
        self.figures.opened(message, now)
        self.length.limit(message.max_draft)
        if self._epoch > 0:
            self.sent = list(self.committed)
        self._credit(message.draft_limit)
        if self._consistent:
            self._send_draft(now)

    def _credit(self, limit: int) -> None:
        """The cloud grants drafts up to this position (0: it says nothing of it)."""
        if limit:
            self._draft_limit = max(limit, self._draft_limit or 0)
            self.sent = self.sent[: self._draft_limit]  # beyond it was dropped: it was sent before anything was told

    @property
    def _form(self) -> str:
        """In which drafts travel."""
        return IDS if self.book is None else self.book.form.form.value

    def _agree_on_form(self, adapter: str) -> None:
        """States need a cloud with their adapter; any cloud understands ids."""
        if self.book is None:
            return
        self.book.forget()
        if adapter != self.book.form.adapter:
            why = "the cloud has another adapter than this edge" if adapter else "the cloud has no adapter"
            self._actions.append(Tell(f"{why}: drafts go as ids"))
            self.book, self.figures.draft_form, self.length.form = None, IDS, IDS

    def _commit(self, commit: Commit, now: float) -> None:
        known = len(self.committed) - commit.start_position
        if (
            known < 0
            or commit.start_position + len(commit.token_ids) > self.opening.max_tokens
            or list(commit.token_ids[:known]) != self.committed[commit.start_position :][: len(commit.token_ids)]
        ):
            self.link_lost(MisconductError("the cloud's commits don't continue the answer"), now)
            return
        fresh = commit.token_ids[known:]
        if not fresh:
            return
        useful, begun = self._consistent, len(self.belief) > len(self.committed) or self._job is not None
        self.committed.extend(fresh)
        right = self._lessons.compare(self.belief, self.committed)
        if useful and begun and (not right or len(self.belief) >= len(self.committed)):
            self.figures.met_ahead(right)
        keeps = self.book is None or self.book.kept(len(self.sent))
        dropped = not keeps and commit.accepted < commit.drafted  # and all that was pending behind it
        if dropped or self.sent[: len(self.committed)] != self.committed:
            self.sent = list(self.committed)
        self._credit(commit.draft_limit)
        self._losses.token()
        self._learn(commit, len(fresh), now)
        if not right and self._branches.alternatives:
            self._switch()
        if self._consistent:
            self._send_draft(now)
        if isinstance(self._job, BranchJob) and self.belief != list(self._job.base) and self._room(self.belief) > 0:
            self.length.estimates.branching.held_up()
        self._show()
        self._next_job(now)

    def _learn(self, commit: Commit, fresh: int, now: float) -> None:
        estimates, timings = self.length.estimates, commit.timings
        if self.book is not None:
            self._lessons.of_states(commit, self._form)
        if self.figures.first_commit_at is not None and timings.forward_us:  # the first one's pass took the prompt in
            estimates.passed(commit.drafted, commit.waiting, timings.forward_us / 1e6)
        trip_s = self.figures.commit(commit, fresh, now)
        if trip_s is not None:
            estimates.round_trip(trip_s, self._form)
        self.length.learn(commit)
        self.figures.commits_off += self.length.off

    def _finished(self, message: Finished, now: float) -> None:
        if message.length != len(self.committed):
            self.link_lost(MisconductError("the cloud finished an answer of another length"), now)
            return
        self.frames = message.frames or self.frames
        self.figures.target_passes = message.target_passes
        self.figures.stale_drafts = message.stale_drafts
        self.figures.replay_overruns += message.replay_overruns
        self._actions.append(Send(Close()))
        self._end(message.reason, now=now)

    def refused(self, error: EventSpecError, now: float) -> None:
        """The cloud refused: try again if that may help, finish alone if its engine failed, else tell the user."""
        if self.phase in (Phase.ALONE, Phase.DONE):
            return
        if error.retryable or self._losses.may_have_passed(error, len(self.committed)):
            self.link_lost(error, now)
            return
        if self._introduced:  # whoever refused (the video's call may have): the session must not wait to be resumed
            self._actions.append(Send(Close()))
        if isinstance(error, EngineError) and self.settings.drafts:
            self._go_alone(f"the cloud failed ({error})", now)
        else:
            self._end(error=error, now=now)

    # ------------------------------------------------------------------------------------------ loss, the end

    def connect_failed(self, error: EventSpecError, now: float) -> None:
        """No stream could be opened."""
        self._connect_pending = False
        self.link_lost(error, now)

    def link_lost(self, error: EventSpecError, now: float) -> None:
        """The stream broke: try again with backoff; give up after a while. A second report of one loss is ignored."""
        if self.phase in (Phase.ALONE, Phase.DONE) or self._connect_pending:
            return
        self._losses.lost(error, now)
        if is_lie(error):
            self._actions.append(Distrust())
        if self.phase is not Phase.LOST:
            self._actions.append(Tell(f"{kind_of_loss(error)} ({error}); reconnecting"))
        self.phase = Phase.LOST
        complete = self._complete(self.committed)
        if complete is not None:
            self._end(complete, now=now)
            return
        given_up = self._losses.given_up(now)
        if given_up is None:
            self._connect(self._losses.again_at(error, now))
            return
        what, how_long = given_up
        if self.settings.drafts:
            detail = "" if what == "can't be reached" else f" ({error})"
            self._go_alone(f"{how_long or f'the cloud {what}'}{detail}", now)
        else:
            self._end(error=LinkError(f"the cloud {what}: {error}"), now=now)

    def _connect(self, at: float) -> None:
        self._connect_pending = True
        self._actions.append(Connect(at))

    def _go_alone(self, why: str, now: float) -> None:
        self.phase = Phase.ALONE
        if self._drafter_error is not None:
            self._end(error=EngineError(f"{why}, and the drafter failed too: {self._drafter_error}"), now=now)
            return
        self._actions.append(Tell(f"{why}: the edge finishes alone; the rest of the answer is not verified"))
        if self._job is None:
            self._next_job(now)

    def _finish_alone(self, now: float) -> bool:
        complete = self._complete(self.belief) if self._consistent else None
        if complete is not None:
            self._end(complete, now=now)
        return complete is not None

    def _complete(self, answer: Sequence[int]) -> FinishReason | None:
        if answer and answer[-1] in self.eos_token_ids:
            return FinishReason.STOP
        return FinishReason.LENGTH if len(answer) >= self.opening.max_tokens else None

    @property
    def _introduced(self) -> bool:
        """The cloud may hold the session, even if its `Opened` is still under way."""
        return not self._connect_pending and self.phase not in (Phase.ALONE, Phase.DONE)

    def cancel(self, now: float) -> None:
        """The asker went away."""
        if self._introduced:
            self._actions += [Send(Cancel()), Send(Close())]
        self._end(FinishReason.CANCELLED, now=now)

    def _end(self, reason: FinishReason | None = None, error: EventSpecError | None = None, now: float = 0.0) -> None:
        if self.phase is Phase.DONE:
            return
        self.figures.alone = self.phase is Phase.ALONE
        self.phase = Phase.DONE
        self.reason = reason
        self.figures.finished_at = now
        self._take_stock()
        self._show()
        self._actions.append(Done(error))

    def _take_stock(self) -> None:
        estimates, figures = self.length.estimates, self.figures
        figures.pass_s, figures.branches = estimates.pass_s, self._branches.made
        if self.committed:
            ready, first = figures.drafter_ready_at, figures.first_commit_at
            estimates.answered(len(self.committed), first - ready if first is not None and ready is not None else None)

    def _show(self) -> None:
        provisional = self.belief[len(self.committed) :] if self._consistent else []
        self._actions.append(Show(tuple(self.committed), tuple(provisional)))
