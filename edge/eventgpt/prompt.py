"""EventGPT's prompt: text around one placeholder where the event features go (XduSyL/EventGPT, CVPR 2025)."""

from collections.abc import Sequence
from typing import Protocol

from common.errors import PromptError

EVENT_PLACEHOLDER = -200
"""The id at which the event features are spliced into the prompt. It is never embedded."""

EVENT_MARK = "<event>"
QUESTION_MARK = "{question}"
PROMPT_TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions. "
    "USER: <ev_start><event><ev_end>\n{question} ASSISTANT:"
)


class Encoder(Protocol):
    """What the prompt needs of a tokenizer; `common.tokenizer.Tokenizer` has it."""

    def encode(self, text: str, *, bos: bool) -> list[int]:
        """Ids of `text`, with the beginning-of-sequence id first if `bos`."""
        ...


def build_prompt(question: str, template: str = PROMPT_TEMPLATE) -> str:
    """The text of the prompt, with `<event>` standing for the event features."""
    return template.replace(QUESTION_MARK, question)


def prompt_ids(question: str, tokenizer: Encoder, template: str = PROMPT_TEMPLATE) -> list[int]:
    """Ids of the prompt for `question`, with `EVENT_PLACEHOLDER` where the event features go.

    As in the original, the text is split at `<event>`, both halves are tokenised on their own, and the second
    beginning-of-sequence id is dropped. An `<event>` inside the question stays text.

    Raises:
        PromptError: the question is empty, or the template doesn't have exactly one `<event>`.
    """
    if not question.strip():
        raise PromptError("the question is empty: ask something")
    halves = template.split(EVENT_MARK)
    if len(halves) != 2:
        raise PromptError(
            f"the prompt template must contain {EVENT_MARK} exactly once, it does {len(halves) - 1} times"
        )
    before, after = (half.replace(QUESTION_MARK, question) for half in halves)
    return [*tokenizer.encode(before, bos=True), EVENT_PLACEHOLDER, *tokenizer.encode(after, bos=False)]


def placeholder_position(ids: Sequence[int]) -> int | None:
    """Index of the event placeholder in `ids`, or None if there is none.

    Raises:
        PromptError: there is more than one.
    """
    found = [index for index, token in enumerate(ids) if token == EVENT_PLACEHOLDER]
    if len(found) > 1:
        raise PromptError(f"the prompt has {len(found)} event placeholders ({EVENT_PLACEHOLDER}): one is allowed")
    return found[0] if found else None
