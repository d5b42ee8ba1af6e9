"""Video-LLaVA's prompt: text around the places where the video's features go. Needs no torch."""

from dataclasses import dataclass

from common.errors import PromptError
from common.tokenizer import Tokenizer

VIDEO_MARK = "<video>"
PROMPT_TEMPLATE = "USER: <video>\n{question} ASSISTANT:"


@dataclass(frozen=True, slots=True)
class TargetPrompt:
    """Ids before and after the video; between them lie as many video tokens as there are video features."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @property
    def text_length(self) -> int:
        """Number of ids without the video's."""
        return len(self.prefix) + len(self.suffix)

    def ids(self, video_token_id: int, video_features: int) -> list[int]:
        """The whole prompt, one video token a feature."""
        return [*self.prefix, *[video_token_id] * video_features, *self.suffix]


def target_prompt(question: str, tokenizer: Tokenizer, *, vocab_size: int | None = None) -> TargetPrompt:
    """The prompt for `question`, tokenised as transformers' `VideoLlavaProcessor` does.

    Args:
        question: what the user asks.
        tokenizer: the target's.
        vocab_size: ids from here on are the model's own marks and may not come from the question.

    Raises:
        PromptError: the question is empty, or contains one of the model's own marks.
    """
    if not question.strip():
        raise PromptError("the question is empty: ask something")
    video = tokenizer.token_id(VIDEO_MARK)
    if video is None:  # then nothing marks the video in a text, and the halves are tokenised on their own
        before, after = PROMPT_TEMPLATE.split(VIDEO_MARK)
        suffix = after.replace("{question}", question)
        return TargetPrompt(tuple(tokenizer.encode(before, bos=True)), tuple(tokenizer.encode(suffix, bos=False)))
    ids = tokenizer.encode(PROMPT_TEMPLATE.replace("{question}", question), bos=True)
    limit = tokenizer.vocab_size if vocab_size is None else vocab_size
    at = ids.index(video)
    prefix, suffix_ids = tuple(ids[:at]), tuple(ids[at + 1 :])
    if any(token >= limit for token in suffix_ids):
        raise PromptError("the question contains a mark of the model's own, such as <video> or <image>: leave it out")
    return TargetPrompt(prefix, suffix_ids)
