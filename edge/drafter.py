"""Drafts the answer ahead of the cloud, and goes back by moving a number when the cloud says otherwise.

One `Drafter` belongs to one answer; several share a model. Its keys and values lie in storage of its own:

    positions    0 ........ prompt ........ | answer[0] answer[1] ...
                                            `- stored: how many of them are valid

`commit` replaces ids and lowers `stored`; ids not stored yet are fed in one forward by the next draft. So `branch`
leaves the line for another word, and a later `commit` takes the drafter back to the line, with nothing kept twice.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from common.errors import MismatchError, PromptError, SessionError
from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention
from common.sampling import choose, runners_up
from common.types import SamplingParams
from edge.actions import BranchJob
from edge.branches import Branched, Choice
from edge.eventgpt.inputs import EventFrames, TokenIds, as_ids
from edge.eventgpt.model import EventGPT
from edge.eventgpt.prompt import placeholder_position

GREEDY = SamplingParams()
_QUESTION_ROOM = 256  # positions kept for a question that hasn't come yet
_REMEMBERED = 64  # last positions whose logits are kept for `branch`


class Head(Protocol):
    """Chooses in place of the drafter's own head, from one answer's states."""

    @property
    def positions(self) -> int | None:
        """Answer positions that it can choose for; None if there is no limit."""

    def logits(self, states: Sequence[Tensor]) -> Tensor:
        """Logits [1, vocab] for the next position, from the states [width] of all positions so far and its own."""

    def go_back(self, length: int) -> None:
        """Only the first `length` states that it has seen still hold."""


class Chooser(Protocol):
    """Chooses in place of the seeded choice."""

    def __call__(self, logits: Tensor, position: int) -> int:
        """The id for an answer position from its logits [1, vocab]."""


class Drafter:
    """One answer's drafts.

    Attributes:
        sampling: how it chooses; the target's parameters and seed couple its choices to the target's.
        chooser: chooses in place of the seeded choice, if there is one.
        vocab_size: ids from here on are never drafted.
        eos_token_ids: ids that end an answer.
        drafted: ids of the last `draft`.
    """

    def __init__(
        self,
        model: EventGPT,
        *,
        sampling: SamplingParams = GREEDY,
        vocab_size: int | None = None,
        max_tokens: int = 1024,
        layers: int = 0,
        head: Head | None = None,
    ) -> None:
        """Draft with `model`.

        Args:
            model: shared with other drafters; its attention is switched to the packed one.
            sampling: the target's sampling parameters.
            vocab_size: ids from here on are never drafted; by default `model.vocab_size`.
            max_tokens: longest answer to make room for.
            layers: last layers whose states are kept for `states`; 0: none are.
            head: chooses in the own head's place, from those states.
        """
        use_packed_attention(model.model)
        self._layers = layers
        self._head = head
        self._states: list[Tensor] = []  # by answer position; each is what its token is drafted from
        self.sampling = sampling
        self.chooser: Chooser | None = None
        self.drafted: list[int] = []
        self._model = model
        self.vocab_size = min(vocab_size or model.vocab_size, model.vocab_size)
        self._max_tokens = max_tokens
        self.eos_token_ids = model.config.eos_token_ids
        self._closed = False
        self._storage: KVStorage | None = None
        self._prompt_length = 0
        self._stored = 0
        self._answer: list[int] = []
        self._last_hidden: Tensor | None = None  # of the last stored position, [1, hidden]
        self._hidden: list[Tensor] = []
        self._seen: dict[int, Tensor] = {}  # logits [1, vocab] by answer position: what its token was chosen from
        self._ahead: tuple[list[int], int] | None = None  # ids up to the events, and the positions that they take

    @property
    def position(self) -> int:
        """The next answer position to draft: the length of the answer as this drafter knows it."""
        return len(self._answer)

    @property
    def answer(self) -> tuple[int, ...]:
        """The answer as this drafter knows it: what was committed, continued by its own drafts."""
        return tuple(self._answer)

    @property
    def finished(self) -> bool:
        """True if nothing can follow: the answer ends in an end-of-sequence id, or there is no room."""
        return self._ended() or (self._storage is not None and self._room() < 1)

    @property
    def hidden_states(self) -> Tensor:
        """Hidden states [n, hidden] after the final norm, from which the last `draft` chose its ids."""
        if not self._hidden:
            return torch.empty(0, self._model.config.hidden_size, dtype=self._model.dtype)
        return torch.cat(self._hidden)

    def states(self, first: int) -> Tensor:
        """States [n, layers * hidden] of answer positions `first ...`, as far as they are known.

        The state of a position is the one that its token is drafted from; several layers' lie side by side.
        """
        rows = self._states[first:]
        width = max(self._layers, 1) * self._model.config.hidden_size
        return torch.stack(rows) if rows else torch.empty(0, width, dtype=self._model.dtype)

    @torch.inference_mode()
    def prefill(
        self, prompt_ids: TokenIds, frames: EventFrames | None = None, *, features: Tensor | None = None
    ) -> None:
        """Take in a prompt and what the camera saw; any earlier answer is forgotten.

        Args:
            prompt_ids: ids of one prompt, with `EVENT_PLACEHOLDER` where the events go.
            frames: pictures of the events, uint8 RGB or preprocessed pixels; None if there are no events.
            features: in place of `frames`, what `model.encode` made of them.

        Raises:
            PromptError: the prompt and frames don't fit together, or are too long for the model.
            InputError: the frames can't be used.
            SessionError: the drafter was closed.
        """
        self._check_open()
        if frames is not None:
            features = self._model.encode(frames)
        embeddings = self._embed_prompt(prompt_ids, features)
        length = embeddings.shape[0]
        self._reserve(length)
        self._new_answer()
        self._prompt_length, self._stored, self._ahead = length, 0, None
        self._feed(embeddings)

    @property
    def prepared(self) -> bool:
        """True if `prefill_question` may follow."""
        return self._ahead is not None and not self._closed

    @torch.inference_mode()
    def prefill_ahead(self, prompt_ids: TokenIds, *, features: Tensor) -> float:
        """Take in what precedes the question: the prompt up to the end of the events.

        Args:
            prompt_ids: ids of a prompt with any question.
            features: what `model.encode` made of the events.

        Returns:
            The share of that prompt that is stored now.
        """
        self._check_open()
        ids = as_ids(prompt_ids, self._model.device)
        place = placeholder_position(ids[0].tolist())
        if place is None:
            raise PromptError("a prompt without events has nothing to take in ahead of its question")
        embeddings = self._embed_prompt(ids, features)
        self._reserve(embeddings.shape[0] + _QUESTION_ROOM)
        length = place + features.shape[-2]
        self._new_answer()
        self._prompt_length, self._stored = length, 0
        self._feed(embeddings[:length])
        self._ahead = ids[0, : place + 1].tolist(), length
        self._last_hidden = None  # nothing to draft from yet
        return length / embeddings.shape[0]

    @torch.inference_mode()
    def prefill_question(self, prompt_ids: TokenIds, sampling: SamplingParams) -> float:
        """Take in the rest of a prompt whose events were taken in ahead; any earlier answer is forgotten.

        Returns:
            The share of the prompt that this stored.

        Raises:
            SessionError: nothing was taken in ahead.
            PromptError: the prompt begins otherwise, or is too long.
        """
        self._check_open()
        if self._ahead is None:
            raise SessionError("nothing was taken in ahead of this question: use prefill")
        begin, stored = self._ahead
        ids = as_ids(prompt_ids, self._model.device)[0].tolist()
        if ids[: len(begin)] != begin:
            raise PromptError("the prompt's beginning isn't the one that was taken in ahead")
        rest = ids[len(begin) :]
        length = stored + len(rest)
        if self._storage is None or length >= self._storage.capacity:
            raise PromptError(f"the prompt takes {length} positions: ask shorter")
        self.sampling = sampling
        self._new_answer()
        self._prompt_length, self._stored = length, stored
        self._feed(self._embed(rest))
        return len(rest) / length

    @torch.inference_mode()
    def draft(self, count: int) -> list[int]:
        """Draft the next ids of the answer, at most `count`.

        Fewer come back where an end-of-sequence id was drafted or there is no more room; after that, none.

        Raises:
            SessionError: nothing was prefilled.
        """
        if self._last_hidden is None:
            raise SessionError("the drafter has no prompt yet: prefill comes before draft")
        self.drafted, self._hidden = [], []
        for _ in range(min(count, self._room())):
            if self._ended():
                break
            if pending := self._answer[self._stored - self._prompt_length :]:
                self._feed(self._embed(pending))
            logits = self._logits(self._last_hidden)[:, : self.vocab_size]
            token = self._choose(logits)
            self._remember(logits)
            self._answer.append(token)
            self.drafted.append(token)
            self._hidden.append(self._last_hidden)
        return list(self.drafted)

    @torch.inference_mode()
    def branch(self, job: BranchJob) -> Branched:
        """Go where the job says, draft what it says, and tell what else could stand at the positions that it names.

        Positions whose token wasn't drafted here, or too long ago, are left out.
        """
        if job.tokens:
            self.replace(job.position, job.tokens)
        ids = self.draft(job.count) if job.count else []
        places = [place for place in range(job.first, job.until) if place in self._seen]
        if not places:
            return Branched(tuple(ids))
        logits = torch.cat([self._seen.pop(place) for place in places])
        rows = runners_up(logits, self.sampling, places, job.alternatives)
        choices = {
            place: Choice(tuple(token for token, _ in row), tuple(share for _, share in row))
            for place, row in zip(places, rows, strict=True)
        }
        return Branched(tuple(ids), choices)

    def _remember(self, logits: Tensor) -> None:
        position = len(self._answer)
        self._seen[position] = logits
        self._seen.pop(position - _REMEMBERED, None)

    def _choose(self, logits: Tensor) -> int:
        position = len(self._answer)
        if self.chooser is not None:
            return self.chooser(logits, position)
        return choose(logits, self.sampling, [position])[0]

    def _logits(self, state: Tensor) -> Tensor:
        logits: Tensor = self._model.lm_head(state) if self._head is None else self._head.logits(self._states)
        return logits

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """The answer from `position` on is `ids`, says the cloud.

        Ids that agree with what was drafted cost nothing, and the drafts behind them stay. At the first that
        disagrees the drafter goes back, and its next draft continues from the last of `ids`.

        Raises:
            SessionError: `position` lies beyond what this drafter knows, so ids between are missing.
            MismatchError: an id is outside the drafter's vocabulary.
        """
        known = len(self._answer)
        if self._last_hidden is None or not 0 <= position <= known:
            raise SessionError(f"a commit at position {position} doesn't join the drafter's answer of {known} ids")
        for offset, token in enumerate(ids):
            if not 0 <= token < self._model.config.vocab_size:
                raise MismatchError(f"the cloud committed id {token}, which the drafter's vocabulary doesn't have")
            if position + offset >= known or self._answer[position + offset] != token:
                self._go_back(position + offset, ids[offset:])
                return

    def replace(self, position: int, ids: Sequence[int]) -> None:
        """The answer ends with `ids` from `position` on, whatever was drafted there."""
        self._go_back(position, ids)

    def close(self) -> None:
        """Free the memory. The drafter can't be used any more."""
        self._closed = True
        self._storage = self._last_hidden = None
        self._answer, self._hidden, self.drafted, self._states, self._seen = [], [], [], [], {}

    def _go_back(self, position: int, ids: Sequence[int]) -> None:
        """From answer position `position` on, what is known is `ids` instead."""
        self._answer[position:] = ids
        self._stored = min(self._stored, self._prompt_length + position)
        for place in [place for place in self._seen if place > position]:
            del self._seen[place]
        self._keep_states(position + 1)

    def _keep_states(self, length: int) -> None:
        del self._states[length:]
        if self._head is not None:
            self._head.go_back(len(self._states))

    def _new_answer(self) -> None:
        self._answer, self._hidden, self.drafted, self._seen = [], [], [], {}
        self._keep_states(0)

    def _ended(self) -> bool:
        return bool(self._answer) and self._answer[-1] in self.eos_token_ids

    def _room(self) -> int:
        """Answer positions left. The last one is chosen but never stored, hence the 1."""
        capacity = self._storage.capacity if self._storage is not None else 0
        room = capacity + 1 - self._prompt_length - len(self._answer)
        limit = self._head.positions if self._head is not None else None
        return room if limit is None else min(room, limit - len(self._answer))

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the drafter was closed: make a new one")

    def _reserve(self, length: int) -> None:
        """Make room for a prompt of `length` and the longest answer behind it."""
        capacity = min(length + self._max_tokens, self._model.config.max_position_embeddings)
        if capacity < length:
            raise PromptError(f"the prompt takes {length} positions, the drafter has {capacity}: ask shorter")
        if self._storage is None or self._storage.capacity < capacity:
            self._storage = KVStorage.for_model(self._model.model, slots=1, capacity=capacity)

    def _embed_prompt(self, prompt_ids: TokenIds, features: Tensor | None) -> Tensor:
        ids = as_ids(prompt_ids, self._model.device)
        if ids.shape[0] != 1:
            raise PromptError(f"a drafter takes one prompt, not a batch of {ids.shape[0]}")
        embeddings = self._model.splice(ids, features)[0]
        length = ids.shape[1] + (features.shape[-2] - 1 if features is not None else 0)
        if length > embeddings.shape[0]:
            raise PromptError(
                f"the prompt takes {length} positions with its events, EventGPT would cut it at "
                f"{embeddings.shape[0]}: ask shorter"
            )
        return embeddings

    def _embed(self, ids: Sequence[int]) -> Tensor:
        embeddings: Tensor = self._model.model.embed_tokens(torch.tensor(ids, device=self._model.device))
        return embeddings

    def _feed(self, embeddings: Tensor) -> None:
        """Store the next positions, whose embeddings [n, hidden] these are, in one forward."""
        assert self._storage is not None
        plan = PackedPlan([Segment(0, self._stored, embeddings.shape[0])], self._storage)
        states = packed_forward(self._model.model, embeddings, plan, last=max(self._layers, 1))
        self._last_hidden = states[-1:, -self._model.config.hidden_size :]
        self._stored += embeddings.shape[0]
        if self._layers and self._stored >= self._prompt_length:
            answered = self._stored - self._prompt_length + 1  # positions whose states are known now
            self._states += states[-(answered - len(self._states)) :].clone().unbind()
