"""What work costs in virtual time: a replay profile's stages (the target's: `target.py`), and what no profile pads."""

from __future__ import annotations

from dataclasses import dataclass

from common.replay import StageTimes


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs in seconds.

    Attributes:
        times: the profile; a stage that it doesn't pad (0 ms) costs nothing here.
        load_s: reading and rasterising events and opening the clip, before a session is opened, beyond the profile's.
        hop_s: what software adds to each message between edge and engine (event loops, gRPC, ZeroMQ), one way.
        step_s: what the engine's loop adds to each step beyond the forward.
    """

    times: StageTimes
    load_s: float = 0.0
    hop_s: float = 0.0
    step_s: float = 0.0

    @property
    def load(self) -> float:
        """From the question until the session is opened; without events for a mode that doesn't draft."""
        return self.load_s + self.times.drafter.rasterise_ms / 1e3

    @property
    def drafter_prefill(self) -> float:
        """The drafter takes events and prompt in."""
        drafter = self.times.drafter
        return (drafter.preprocess_ms + drafter.vision_ms + drafter.prefill_ms) / 1e3

    def draft(self, passes: int) -> float:
        """The drafter runs so many passes."""
        return self.times.drafter.draft_ms(passes) / 1e3

    def decode(self, share: float, frames: int) -> float:
        """The cloud decodes a share of a video and preprocesses the target's frames among it."""
        video = self.times.video
        return (video.decode_share_ms(share) + video.preprocess_frames_ms(frames)) / 1e3
