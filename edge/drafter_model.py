"""The loaded drafter and what goes with it: its vocabulary, its adapter, and a new drafter for each answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from common.ask import AskRequest
from common.tokenizer import Tokenizer
from common.types import DrafterInfo, SamplingParams
from edge.form_choice import FormChoice, Offer
from edge.forms import DraftForm, StateBook
from edge.stages import StagedDrafter, Stages
from edge.vocabularies import Vocabularies
from edge.vocabulary import CrossVocabulary
from edge.worker import Drafting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.adapting import EdgeAdapter
    from edge.drafter import Drafter
    from edge.eventgpt import EventGPT

_PIECES_A_TOKEN = 4  # room for the drafter's pieces, for each token of a target with another vocabulary


@dataclass(frozen=True, slots=True)
class DrafterModel:
    """The loaded drafter and what goes with it.

    `tokenizer` is its own; with `across`, answers and drafts are in another vocabulary than that.
    """

    name: str
    model: EventGPT
    tokenizer: Tokenizer
    adapter: EdgeAdapter | None = None
    known: Vocabularies | None = None
    across: CrossVocabulary | None = None

    def speaking(self, across: CrossVocabulary | None) -> DrafterModel:
        """The same drafter in the vocabulary of a target, or in its own."""
        return replace(self, across=across)

    @property
    def words(self) -> Tokenizer:
        """Of the ids in answers and drafts."""
        return self.tokenizer if self.across is None else self.across.tokenizer

    def new(self, sampling: SamplingParams, max_tokens: int) -> Drafter:
        """A drafter for one answer, which keeps the states that the adapter wants."""
        from edge.drafter import Drafter

        vocab_size = min(self.tokenizer.vocab_size, self.model.vocab_size)
        if self.known is not None and self.known.targets:
            max_tokens *= _PIECES_A_TOKEN
        layers, head = (self.adapter.layers, self.adapter.head()) if self.adapter is not None else (0, None)
        return Drafter(
            self.model, sampling=sampling, vocab_size=vocab_size, max_tokens=max_tokens, layers=layers, head=head
        )

    def adapted(self, drafting: Drafting, drafter: Drafter) -> Drafting:
        """`drafting`, which is around `drafter`, with what the adapter or another vocabulary adds."""
        drafter.chooser = None
        if self.across is not None:
            from edge.vocabulary_choice import across

            return across(self.across, drafting, drafter)
        return drafting if self.adapter is None else self.adapter.wrap(drafting, drafter)

    def book(self, choice: FormChoice | None = None, max_ahead: int = 16) -> StateBook | None:
        """Of the states of one answer, if states travel; where that is left open, `choice` decides."""
        form = self.adapter.state_form if self.adapter is not None else None
        if form is None or self.adapter is None:
            return None
        if choice is not None and self.adapter.chosen:
            offer = Offer(form.form.value, form.token_bytes)
            return StateBook(form) if choice.form(offer, max_ahead) == offer.form else None
        return StateBook(form)

    @property
    def ids_form(self) -> str:
        """Whose ids travel where no states do: its own, or the mirrored target's."""
        mirrored = self.adapter is not None and self.adapter.state_form is None
        form: str = (DraftForm.MIRROR if mirrored else DraftForm.IDS).value
        return form

    @property
    def branches(self) -> bool:
        """True if a drafter says, token by token, ids that travel as they are: then it can branch off."""
        if self.across is not None:
            return False
        return self.adapter is None or self.adapter.head() is not None

    @property
    def info(self) -> DrafterInfo:
        """For the handshake."""
        size = self.model.vocab_size if self.across is None else self.words.vocab_size
        return DrafterInfo(self.name, self.words.hash, size, self.model.config.hidden_size)

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        if self.across is None:
            return self.model.config.eos_token_ids
        return frozenset(() if self.words.eos_id is None else (self.words.eos_id,))

    def prepare(
        self, ask: AskRequest, frames: list[NDArray[Any]], max_tokens: int, stages: Stages | None = None
    ) -> Callable[[], Drafting]:
        """Work for the drafter's thread: a drafter that has its prompt and its events, and tells `stages`."""
        stages = stages or Stages()

        def work() -> Drafting:
            from edge.eventgpt.prompt import prompt_ids

            drafter = self.new(ask.sampling, max_tokens)
            times = stages.replay.drafter if stages.replay is not None else None
            with stages.span("drafter_preprocess", times.preprocess_ms if times else 0.0):
                pixels = self.model.preprocess(frames)
            with stages.span("drafter_vision", times.vision_ms if times else 0.0):
                features = self.model.encode(pixels)
            with stages.span("drafter_prefill", times.prefill_ms if times else 0.0):
                prompt = prompt_ids(ask.question, self.tokenizer, self.model.config.prompt_template)
                drafter.prefill(prompt, features=features)
            return self.adapted(StagedDrafter(drafter, stages), drafter)

        return work
