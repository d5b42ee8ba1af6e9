"""The target in parts gives what transformers' model gives as a whole."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cloud.prompt import target_prompt
from cloud.target import VideoLlavaTarget
from common.errors import InputError, MismatchError, ModelError, PromptError
from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention
from common.tokenizer import Tokenizer
from tests.cloud.target_samples import MARKS, TABLE, VOCABULARY, small_video_llava, video_frames
from tests.common.tokenizers import llama_like

TOKENIZER = Tokenizer(llama_like(added=MARKS))

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    return VideoLlavaTarget(small_video_llava(), tokenizer=TOKENIZER)


def test_dimensions(target: VideoLlavaTarget) -> None:
    assert (target.vocab_size, target.table_size, target.video_token_id) == (VOCABULARY, TABLE, VOCABULARY + 1)
    assert (target.image_size, target.tokens_per_frame, target.hidden_size) == (28, 17, 64)
    assert target.eos_token_ids == {2}
    assert target.max_positions == 256


def test_features_are_transformers_features_however_frames_arrive(target: VideoLlavaTarget) -> None:
    frames = video_frames(count=4)
    pixels = target.preprocess(frames)
    reference = target.reference_model.model.get_video_features(pixels.unsqueeze(0)).pooler_output
    together = target.encode_frames(frames)
    assert together.shape == (4 * 17, 64)
    torch.testing.assert_close(together, reference.flatten(0, 1))
    single = torch.cat([target.encode_frames([frame]) for frame in frames])
    torch.testing.assert_close(single, together, rtol=1e-4, atol=1e-5)
    forms: list[Any] = [np.stack(frames), pixels, pixels.numpy(), torch.from_numpy(np.stack(frames))]
    for form in forms:
        torch.testing.assert_close(target.encode_frames(form), together)


@pytest.mark.parametrize("frames", [[], torch.zeros(1, 3, 30, 30), np.zeros((1, 28, 28), np.uint8)])
def test_what_is_no_frame_is_refused(target: VideoLlavaTarget, frames: Any) -> None:
    with pytest.raises(InputError):
        target.encode_frames(frames)


def assembled(target: VideoLlavaTarget, ids: list[int], features: Tensor) -> Tensor:
    """Embeddings of a prompt whose video tokens are replaced by features, as an engine does it."""
    rows = target.embed(ids).clone()
    rows[torch.tensor(ids) == target.video_token_id] = features
    return rows


def test_the_parts_give_the_logits_of_the_whole(target: VideoLlavaTarget) -> None:
    frames, ids = video_frames(), target.prompt_ids("as ab?", frames=3)
    reference = target.reference_model(
        input_ids=torch.tensor([ids]), pixel_values_videos=target.preprocess(frames).unsqueeze(0)
    ).logits[0]
    rows = assembled(target, ids, target.encode_frames(frames))
    hidden = target.language_model(inputs_embeds=rows.unsqueeze(0)).last_hidden_state[0]
    logits = target.logits(hidden)
    torch.testing.assert_close(logits[:, :VOCABULARY], reference[:, :VOCABULARY], rtol=1e-4, atol=1e-4)
    assert logits.shape == (len(ids), TABLE)
    assert torch.isinf(logits[:, VOCABULARY:]).all()


def test_packed_choices_are_those_of_generate(target: VideoLlavaTarget) -> None:
    frames, ids = video_frames(), target.prompt_ids("as ab?", frames=3)
    reference = target.reference_model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        pixel_values_videos=target.preprocess(frames).unsqueeze(0),
        max_new_tokens=12,
        do_sample=False,
        suppress_tokens=list(range(VOCABULARY, TABLE)),
    )[0, len(ids) :].tolist()
    assert len(set(reference)) > 3
    use_packed_attention(target.language_model)
    storage = KVStorage.for_model(target.language_model, slots=1, capacity=128)
    rows, length = assembled(target, ids, target.encode_frames(frames)), 0
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < len(reference):
            plan = PackedPlan([Segment(0, length, len(rows))], storage)
            hidden = packed_forward(target.language_model, rows, plan)
            length += len(rows)
            answer.append(int(target.logits(hidden[-1:]).argmax()))
            rows = target.embed(answer[-1:])
    assert answer == reference


def test_prompt_has_one_video_token_a_feature(target: VideoLlavaTarget) -> None:
    prompt = target.prompt("as ab?")
    ids = target.prompt_ids("as ab?", frames=2)
    assert ids == [*prompt.prefix, *[VOCABULARY + 1] * 34, *prompt.suffix]
    assert ids[0] == 1
    assert prompt.text_length == len(ids) - 34
    assert TOKENIZER.decode(ids) == "USER:  \nas ab? ASSISTANT:"  # Llama's tokenizer starts each part with a space
    # As transformers' processor has it: the mark repeated in the text, the text tokenised as one.
    raw = llama_like(added=MARKS)
    text = "USER: " + "<video>" * 34 + "\nas ab? ASSISTANT:"
    assert ids == [1, *raw.encode(text, add_special_tokens=False).ids]


def test_a_tokenizer_without_the_video_mark_gives_the_same_prompt() -> None:
    plain = Tokenizer(llama_like())
    assert target_prompt("as ab?", plain) == target_prompt("as ab?", TOKENIZER)


@pytest.mark.parametrize("question", ["", " \n", "what is <video>?", "an <image> of <pad>"])
def test_questions_that_would_break_the_prompt_are_refused(target: VideoLlavaTarget, question: str) -> None:
    with pytest.raises(PromptError):
        target.prompt(question)


def test_without_a_tokenizer_the_vocabulary_ends_at_the_models_marks() -> None:
    target = VideoLlavaTarget(small_video_llava())
    assert target.vocab_size == VOCABULARY
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        target.prompt("as?")


def test_an_end_outside_the_vocabulary_is_a_mismatch() -> None:
    with pytest.raises(MismatchError, match=str(VOCABULARY + 1)):
        VideoLlavaTarget(small_video_llava(eos_token_id=VOCABULARY + 1), tokenizer=TOKENIZER)
