"""One answer in the cloud, as a pure state machine: what is committed, what is speculated, what to feed next.

    prompt          committed            pending
    [0 ........ P)  [P ........ P+C)     (draft tokens that would follow, unverified)
    [0 ... kv_length)                    has its keys and values in storage

`known` = prompt + committed. A pass feeds known tokens that have no KV yet, then, if it reaches their end, pending
ones. The target's choice after the last known token and after each fed draft token settles the pass: the longest run
of draft tokens that equal the choices is accepted, the choice after it is the correction or bonus. Rollback is
`kv_length` moving back.

No torch, no I/O, no clock: `now` is an argument, in seconds on any clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from common.prefix_hash import EMPTY, extend_hash
from common.types import Commit, Draft, Finished, FinishReason, FrameName, Open, Pace, Progress, Stage, StepTimings

_STASHED = 8  # drafts that came before the draft they continue
_MORE_TO_COME_S = 0.004  # how long a part of a prompt waits for the next part: one forward is cheaper than two
_REMEMBERED = 1024  # draft ids kept to recognise a draft that comes twice


@dataclass(frozen=True, slots=True)
class Feed:
    """What one pass feeds of a session: known tokens from KV position `start` on, then draft tokens.

    `chooses` is True if the pass reaches the end of the known tokens, so that the target's choices settle something.
    """

    start: int
    known: int
    draft: tuple[int, ...]
    chooses: bool

    @property
    def count(self) -> int:
        """Tokens in the pass."""
        return self.known + len(self.draft)


@dataclass
class Session:
    """State of one answer.

    `prompt_length` counts video features too, `available` what of it can be fed (from `least_chunk` tokens on).
    `frames` are those of the video, as far as known. A `background` session has work only where no other has any.
    `credit` is what drafts may have beyond the committed tokens, at the moment; `draft_limit` the furthest position
    that this stream was ever granted: it stays granted, so that nothing under way is wrong.
    """

    open: Open
    prompt_length: int
    max_tokens: int
    max_draft: int
    vocab_size: int
    eos_token_ids: frozenset[int]
    opened_at: float
    slot: int = -1
    available: int = 0
    available_since: float = 0.0
    least_chunk: int = 1
    frames: tuple[FrameName, ...] = ()
    background: bool = False
    credit: int = 0  # 0: all that is kept
    kv_length: int = 0
    epoch: int = 0
    committed: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    parked_since: float | None = None
    waiting_since: float = 0.0
    heard_at: float = 0.0  # when the edge last said something
    work_since: float = 0.0  # when the newest work came: a draft, or the end of the pass before
    first_at: float = 0.0  # when its first commit was ready
    target_passes: int = 0
    stale_drafts: int = 0
    draft_limit: int = 0
    over_credit: int = 0  # draft tokens that were beyond the limit
    last_draft_id: int = 0
    tail_draft_id: int = 0  # the draft that pending ends with; 0 if nothing is pending
    redrafts: bool = False  # what is pending was made of states, and can be made again as the answer grows
    _spans: dict[Stage, tuple[int, int]] = field(default_factory=dict)
    _hashes: list[int] = field(default_factory=lambda: [EMPTY])
    _stash: list[Draft] = field(default_factory=list)
    _seen: dict[int, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epoch = self.open.epoch
        self.waiting_since = self.work_since = self.heard_at = self.opened_at
        self._append(self.open.committed)
        self._finish_if_complete()
        self.begin_credit(self.credit or 4 * self.max_draft)

    def begin_credit(self, credit: int) -> None:
        """A stream begins, with this credit (>= 1)."""
        self.credit, self.draft_limit = credit, 0
        self._renew_credit()

    def _renew_credit(self) -> None:
        """Grant what is within the credit now; what was granted stays."""
        self.draft_limit = max(self.draft_limit, len(self.committed) + self.credit)

    @property
    def client(self) -> str:
        """Whose share of the target this session takes."""
        return self.open.client

    @property
    def drafts(self) -> bool:
        """True while its edge may draft."""
        return bool(self.open.drafter.name) and self.reason is None and self.parked_since is None

    # --------------------------------------------------------------------------------------------- stages

    def age_us(self, now: float) -> int:
        """Microseconds since this session was taken in."""
        return max(0, round((now - self.opened_at) * 1e6))

    def span(self, stage: Stage, start_us: int, end_us: int) -> None:
        """Work on a stage; a stage that runs in pieces reaches from its first to its last."""
        first, last = self._spans.get(stage, (start_us, end_us))
        self._spans[stage] = (max(0, min(first, start_us)), max(last, end_us))

    def progress(self, stage: Stage) -> Progress:
        """The message that a stage is done."""
        start, end = self._spans.get(stage, (0, 0))
        return Progress(stage, start, end - start)

    # ------------------------------------------------------------------------------------------ drafts in

    def offer(self, draft: Draft) -> bool:
        """Take a draft of ids in, if it continues this answer; anything else is counted and dropped."""
        if not self._acceptable(draft):
            self.stale_drafts += 1
            return False
        self._remember(draft.draft_id)
        self.last_draft_id = max(self.last_draft_id, draft.draft_id)
        draft = self._within_limit(draft)
        if not draft.token_ids:
            return False
        if draft.base_position > len(self.committed) + len(self.pending):
            self._stash = [*self._stash, draft][-_STASHED:]
            return False
        taken = self._join(draft)
        if taken:
            self._unstash()
        else:
            self.stale_drafts += 1
        return taken

    def _within_limit(self, draft: Draft) -> Draft:
        """What of a draft is within the credit that was told."""
        within = draft.token_ids[: max(0, self.draft_limit - draft.base_position)]
        self.over_credit += len(draft.token_ids) - len(within)
        return replace(draft, token_ids=within)

    def refuse(self, draft: Draft) -> None:
        """Count and drop a draft that can't be read; the next commit names it, so that its edge goes on."""
        self.stale_drafts += 1
        if self.expects(draft):
            self._remember(draft.draft_id)
            self.last_draft_id = max(self.last_draft_id, draft.draft_id)

    def expects(self, draft: Draft) -> bool:
        """False for a draft that needn't be looked into: of another stream or of none, seen before, or too late."""
        live = self.reason is None and self.parked_since is None
        return live and draft.epoch == self.epoch and draft.draft_id not in self._seen

    def _acceptable(self, draft: Draft) -> bool:
        return self.expects(draft) and bool(draft.token_ids) and max(draft.token_ids) < self.vocab_size

    def _remember(self, draft_id: int) -> None:
        self._seen[draft_id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _join(self, draft: Draft) -> bool:
        """Match a draft against the answer, make its unverified tail pending. False if it is about another answer."""
        length, base = len(self.committed), draft.base_position
        if base <= length:
            late = length - base  # positions committed since it was drafted
            if draft.prefix_hash != self._hashes[base]:
                return False
            if list(draft.token_ids[:late]) != self.committed[base : base + late]:
                return False
            tail, keep = draft.token_ids[late:], 0
        else:
            keep = base - length
            if not self._continues(draft, keep):
                return False
            tail = draft.token_ids
        if not tail:
            return False
        self.tail_draft_id = draft.draft_id
        if tuple(self.pending[keep : keep + len(tail)]) != tail:
            self.pending = [*self.pending[:keep], *tail][: self._pending_limit]
        return True

    def _continues(self, draft: Draft, keep: int) -> bool:
        """True if the draft was made for the first `keep` pending tokens, or for the draft that they end with."""
        if draft.follows:
            return draft.follows == self.tail_draft_id and keep == len(self.pending)
        return draft.prefix_hash == extend_hash(self._hashes[len(self.committed)], self.pending[:keep])

    @property
    def _pending_limit(self) -> int:
        return min(4 * self.max_draft, self.max_tokens - len(self.committed))

    def _unstash(self) -> None:
        stash, self._stash = self._stash, []
        for draft in sorted(stash, key=lambda d: d.base_position):
            if draft.base_position > len(self.committed) + len(self.pending):
                self._stash.append(draft)
            elif not self._join(draft):
                self.stale_drafts += 1

    # ------------------------------------------------------------------------------------------- passes

    @property
    def known_length(self) -> int:
        """Prompt and committed tokens."""
        return self.prompt_length + len(self.committed)

    @property
    def prefilled(self) -> bool:
        """True once the whole prompt has its KV."""
        return self.kv_length >= self.prompt_length

    def due_at(self) -> float | None:
        """When this session next has work: a time that may lie in the past, or None while it waits for its peer."""
        if self.reason is not None or self.parked_since is not None:
            return None
        if not self.prefilled:
            feedable = self.known_length if self.available >= self.prompt_length else self.available
            if feedable >= self.known_length:
                return self.waiting_since
            return self.available_since + _MORE_TO_COME_S if feedable - self.kv_length >= self.least_chunk else None
        if self.kv_length < self.known_length - 1 or self.pending or self._eager:
            return self.waiting_since
        return self.waiting_since + self.open.patience_ms / 1e3

    @property
    def _eager(self) -> bool:
        return self.open.pace is Pace.EAGER or not self.open.drafter.name

    def feed(self, budget: int) -> Feed:
        """What the next pass feeds: at most `budget` (>= 1) known tokens, and drafts within their own limits."""
        whole = self.available >= self.prompt_length
        end = self.known_length if whole else self.available
        known = min(end - self.kv_length, budget)
        chooses = whole and self.kv_length + known == self.known_length
        # the choice after the last draft token needs a place in the answer too
        room = min(self.max_draft, self.credit, self.max_tokens - len(self.committed) - 1)
        draft = tuple(self.pending[:room]) if chooses else ()
        return Feed(self.kv_length, known, draft, chooses)

    def redraft(self, feed: Feed, ids: Sequence[int]) -> Feed:
        """`feed` with `ids` in place of its draft tokens; they are what is pending, too.

        Without any nothing is fed but known tokens: what is pending can't be drafted from yet, and stays.
        """
        ids = list(ids[: len(feed.draft)])
        self.pending[: len(ids)] = ids
        return replace(feed, draft=tuple(ids))

    def settle(self, feed: Feed, choices: Sequence[int], now: float, forward_us: int, waiting: int) -> Commit | None:
        """Take the target's choices after the last known token and each fed draft token; returns what is now committed.

        Args:
            feed: the pass, as `feed` planned it.
            choices: `len(feed.draft) + 1` ids if the pass chooses, else empty.
            now: time of the step, seconds.
            forward_us: the forward's share, for the commit.
            waiting: sessions in the step, for the commit.
        """
        if not feed.chooses:
            self.kv_length = feed.start + feed.known
            return None
        accepted = 0
        while accepted < len(feed.draft) and feed.draft[accepted] == choices[accepted]:
            accepted += 1
        tokens = self._cut(choices[: accepted + 1])
        accepted = min(accepted, len(tokens))
        start = len(self.committed)
        self.kv_length = feed.start + feed.known + accepted
        self._advance(tokens)
        self._renew_credit()
        self.target_passes += 1
        queue_us = max(0, round((now - self.work_since) * 1e6))
        self.waiting_since, self.work_since = now, now + forward_us / 1e6
        return Commit(
            start_position=start,
            token_ids=tuple(tokens),
            drafted=len(feed.draft),
            accepted=accepted,
            draft_id=self.last_draft_id,
            waiting=waiting,
            timings=StepTimings(queue_us, forward_us),
            draft_limit=self.draft_limit,
        )

    def _cut(self, tokens: Sequence[int]) -> list[int]:
        """The run up to its first end-of-sequence token and within the length limit."""
        run = list(tokens[: self.max_tokens - len(self.committed)])
        for index, token in enumerate(run):
            if token in self.eos_token_ids:
                return run[: index + 1]
        return run

    def _advance(self, tokens: Sequence[int]) -> None:
        agrees = self.redrafts or self.pending[: len(tokens)] == list(tokens)[: len(self.pending)]
        self.pending = self.pending[len(tokens) :] if agrees else []
        self._append(tokens)
        self._finish_if_complete()
        self._unstash()

    def _append(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self.committed.append(token)
            self._hashes.append(extend_hash(self._hashes[-1], (token,)))

    def _finish_if_complete(self) -> None:
        if self.committed and self.committed[-1] in self.eos_token_ids:
            self.reason = FinishReason.STOP
        elif len(self.committed) >= self.max_tokens:
            self.reason = FinishReason.LENGTH
        if self.reason is not None:
            self.pending, self._stash = [], []

    # ----------------------------------------------------------------------------------- loss and resume

    def park(self, now: float) -> None:
        """The stream was lost: keep everything, do nothing, until a resume or expiry."""
        self.parked_since = now
        self.pending, self._stash = [], []

    def resume(self, again: Open, now: float) -> Commit | None:
        """A new stream takes over: returns what the edge doesn't hold yet. The caller has checked `can_resume`."""
        self.epoch = again.epoch
        self.parked_since = None
        self.waiting_since = self.work_since = self.heard_at = now
        self._seen, self._stash, self.pending = {}, [], []
        missing = self.committed[len(again.committed) :]
        return Commit(len(again.committed), tuple(missing)) if missing else None

    def can_resume(self, again: Open) -> bool:
        """True if `again` is a later stream of this very answer."""
        return (
            again.epoch > self.epoch
            and again.question == self.open.question
            and again.sampling == self.open.sampling
            and list(again.committed) == self.committed[: len(again.committed)]
            and (not again.frames or again.frames == tuple(name.number for name in self.frames))
        )

    def finished(self) -> Finished:
        """The closing message; only for a session with a reason."""
        assert self.reason is not None
        counts = (len(self.committed), self.target_passes, self.stale_drafts)
        return Finished(self.reason, *counts, frames=self.frames, over_credit=self.over_credit)
