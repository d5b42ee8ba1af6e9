"""Model cards of the tiny pair: data, training, and the figures that were measured on what is shipped."""

from __future__ import annotations

from typing import Any

from training.plan import DRAFTER_PLAN, TARGET_PLAN, Phase


def target_card(values: dict[str, Any], steps: dict[str, int]) -> str:
    """The target's README: data, training, figures (`values` as `as_json` gives them; steps taken by phase)."""
    kinds = "\n".join(f"| {kind} | {share:.1%} |" for kind, share in values["target_right_by_kind"].items())
    return f"""# eventspec tiny target

Video-LLaVA's architecture (`VideoLlavaForConditionalGeneration`) in small: {values["parameters"]["target"]:,}
parameters, 8 frames of 56 x 56 pixels in patches of 14 (17 tokens a frame, class token kept, features of the vision
tower's last layer but one), a LLaMA of {TARGET_PLAN[-1].layers} layers x 256. Weights are stored in fp16 and meant to
be run in fp32. It knows one small world and nothing else: it is there so that demo, tests and benchmarks run
on a laptop with honest acceptance. The image tower is a copy of the video tower; pictures were never trained.

## Data
Scenes of one to three moving shapes (`training/world`), rendered to 2 s of 80 x 80 video; 20,000 scenes with 16
questions each, 24 in the last phase. Held-out scenes have other seeds.

## Training
From scratch, by `eventspec-train data` and `eventspec-train target` (seed 0, bfloat16 autocast, AdamW, one cycle a
phase; questions of one scene are packed behind one video prefix; loss on answers only):

{_phases(TARGET_PLAN, steps)}

The language model is trained with {TARGET_PLAN[1].layers} layers and then grown to {TARGET_PLAN[-1].layers}: new blocks
begin as identities (their output projections are zero) and are trained with the rest. Four layers stall where a
question has to be bound to one of several things; eight don't, and they cost what a target should cost.

The plan was found while training: phases were cut and added on the way (docs/lab.md), so a run of it from
scratch is the same recipe and not the same bits.

## Measured
These fp16 weights run in fp32, on {values["held_out_scenes"]} held-out scenes, {values["questions"]} questions; an
answer is right if it is the expected one to the last token (`eventspec-train evaluate --pair ...` repeats this).
**{values["target_right"]:.1%} right.**

| kind of question | right |
|---|---|
{kinds}

Licence: Apache-2.0.
"""


def drafter_card(values: dict[str, Any], steps: dict[str, int]) -> str:
    """The drafter's README: data, training, figures (`values` as `as_json` gives them; steps taken by phase)."""
    classes = "\n".join(f"| {kind} | {share:.1%} |" for kind, share in values["acceptance_by_class"].items())
    lengths = "\n".join(
        f"| {length} | {row['accepted_of_drafted']:.1%} | {row['mean_acceptance_length']:.2f} |"
        for length, row in values["by_draft_length"].items()
    )
    cost = values["forward_ms"]
    return f"""# eventspec tiny drafter

EventGPT's architecture in small: {values["parameters"]["drafter"]:,} parameters, 5 event frames of 56 x 56
pixels in patches of 14 (5 + 17 event tokens), a LLaMA of {DRAFTER_PLAN[-1].layers} layers x 128. Weights are stored in
fp16 and meant to be run in fp32. It drafts for the tiny target and knows the same small world, by events alone:
intensity carries no hue, and what stands still fires nothing.

## Data
The target's scenes, as a simulated event sensor reports them (`edge.events.simulate_events` with its default noise,
on the mean of RGB), windows of 2 s, five frames of equal event count. The answers are those that the target is
trained on.

## Training
From scratch, by `eventspec-train data` and `eventspec-train drafter` (seed 0, bfloat16 autocast, AdamW, one cycle a
phase):

{_phases(DRAFTER_PLAN, steps)}

The plan was found while training: phases were cut and added on the way (docs/lab.md), so a run of it from
scratch is the same recipe and not the same bits.

## Measured
These fp16 weights run in fp32, on {values["held_out_scenes"]} held-out scenes, {values["questions"]} questions, against
the tiny target's own greedy answers, re-conditioned on the committed tokens at every position.
**Acceptance {values["acceptance"]:.1%}** of one-token drafts; a single-token forward takes 1/{cost["ratio"]:.1f} of the
target's ({cost["drafter"]} ms against {cost["target"]} ms, one CPU thread).

| class of word | accepted |
|---|---|
{classes}

`colour` are colour words that neither question nor answer has named before: chance is 1/6.

| draft length | accepted / drafted | mean acceptance length |
|---|---|---|
{lengths}

Licence: Apache-2.0.
"""


def _phases(plan: tuple[Phase, ...], steps: dict[str, int]) -> str:
    rows = ["| phase | goal | steps | scenes a step | peak rate | layers |", "|---|---|---|---|---|---|"]
    goals = {
        "patches": "what lies where, patch by patch",
        "watch": "what each video token's thing does",
        "tracks": "answers to questions, and both of these",
        "answers": "answers to questions",
        "fates": "all of these, and what only the whole clip tells; weak kinds of questions more often",
    }
    for phase in plan:
        taken = steps.get(phase.name, 0)
        rows.append(
            f"| {phase.name} | {goals[phase.goal]} | {taken} | {phase.batch} | {phase.rate:g} | {phase.layers} |"
        )
    return "\n".join(rows)
