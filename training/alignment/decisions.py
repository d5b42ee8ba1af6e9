"""When drafting pays, from stage times and measured acceptance: the research's rule of thumb, as a table of figures.

Its rule: above 40 % of prefill in the whole, the cross-modal scheme wins; below 20 %, one of the same modality. Here
the share is a column beside what the stages and the measured acceptance give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.replay import StageTimes
from training.alignment.metrics import Flags, mean_length
from training.alignment.speedup import Times, estimate, prefill_share

DRAFTS = (1, 2, 3, 5, 8, 12, 16, 24)
LENGTHS = (5, 20, 45)


@dataclass(frozen=True, slots=True)
class Decision:
    """One deployment.

    Attributes:
        name: of the stage times.
        target_share, drafter_share: T_prefill / T_total by tokens of the answer (`LENGTHS`).
        hidden: tokens that are ready when the target's prefill ends.
        draft: the draft length with the best end-to-end estimate.
        prefill, decode, end_to_end: estimated speed-ups at that length.
        passes: target passes a token at that length.
    """

    name: str
    target_share: tuple[float, ...]
    drafter_share: tuple[float, ...]
    hidden: int
    draft: int
    prefill: float
    decode: float
    end_to_end: float
    passes: float

    @property
    def verdict(self) -> str:
        """In words."""
        if self.end_to_end < 1.02:
            return "don't draft"
        return "draft throughout" if self.decode >= 1.02 else "draft behind the prefill only"


def stage_times(profile: StageTimes, draft: int) -> Times:
    """A profile's stages as the estimates want them, milliseconds; a verification is one pass of draft + 1 rows."""
    vision = profile.video.vision.at(profile.video.frames)
    return Times(
        target_prefill=vision + profile.prefill_ms(),
        drafter_prefill=profile.drafter.vision_ms + profile.drafter.prefill_ms,
        target_token=profile.step_ms(0, 1, 1),
        drafter_token=profile.drafter.token_ms,
        verify=profile.step_ms(0, draft + 1, 1),
    )


def decide(profile: StageTimes, flags: Flags, mask: Flags, drafts: Sequence[int] = DRAFTS) -> Decision:
    """The best draft length for these stages with measured acceptance (`flags` and `mask` [N, n])."""
    return decide_by(profile.name, lambda draft: stage_times(profile, draft), flags, mask, drafts)


def decide_by(
    name: str, times_of: Callable[[int], Times], flags: Flags, mask: Flags, drafts: Sequence[int] = DRAFTS
) -> Decision:
    """As `decide`, of any deployment: `times_of` gives its stages where drafts have so many tokens."""
    results = {draft: estimate(flags, mask, times_of(draft), draft) for draft in drafts}
    best = max(results, key=lambda draft: results[draft].end_to_end)
    times, found = times_of(best), results[best]
    return Decision(
        name=name,
        target_share=tuple(prefill_share(times.target_prefill, times.target_token, n) for n in LENGTHS),
        drafter_share=tuple(prefill_share(times.drafter_prefill, times.drafter_token, n) for n in LENGTHS),
        hidden=times.hidden,
        draft=best,
        prefill=found.prefill,
        decode=found.decode,
        end_to_end=found.end_to_end,
        passes=1 / mean_length(flags, mask, best),
    )
