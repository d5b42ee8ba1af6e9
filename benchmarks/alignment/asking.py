"""Every question of all ways in turn: in one process, or of running daemons on the two sides of a link."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.alignment.ways import Way
from benchmarks.link.profile import LinkProfile
from benchmarks.results import Run
from common.errors import SettingsError
from common.types import Pace, SamplingParams

Runs = dict[Way, list[Run]]
GREEDY = SamplingParams()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and how.

    Attributes:
        ways: of drafting.
        scenes, questions: held-out clips, and questions about each.
        pace: None: as the edge's controller chooses.
        draft_length: tokens; 0: as the controller chooses.
        repetitions: of each question, each with a seed of its own if answers are sampled.
        sampling: of the first repetition.
        threads: of each process.
    """

    ways: Sequence[Way]
    scenes: int
    questions: int
    pace: Pace | None = Pace.PATIENT
    draft_length: int = 5
    repetitions: int = 1
    sampling: SamplingParams = GREEDY
    threads: int = 1

    def turns(self, count: int) -> Iterator[tuple[int, int, Way]]:
        """Repetition, question and way: each question of all ways in turn, each time another one first."""
        from rich.console import Console
        from rich.progress import track

        pairs = [(number, at) for number in range(self.repetitions) for at in range(count)]
        for number, at in track(pairs, "asking", console=Console(stderr=True), transient=True):
            first = (at + number) % len(self.ways)
            for way in (*self.ways[first:], *self.ways[:first]):
                yield number, at, way

    def sampled(self, repetition: int) -> SamplingParams:
        """How a repetition's answers are chosen."""
        one = self.sampling
        return SamplingParams(one.temperature, one.top_k, one.top_p, one.seed + (0 if one.greedy else repetition))


def in_process(asked: Asked) -> Runs:
    """All in one process, message by message: acceptance and bytes, no times.

    Raises:
        SettingsError: something is left to the controller, which needs times.
    """
    import torch

    from benchmarks.alignment.in_process import InProcess

    if not asked.draft_length or asked.pace is None:
        raise SettingsError("without --daemons pace and length are fixed: --draft-length 1 or more, eager or patient")
    torch.set_num_threads(asked.threads)
    pair = InProcess()
    found = pair.questions(asked.scenes, asked.questions)
    serving = {way: pair.serving(way) for way in asked.ways}
    runs: Runs = {way: [] for way in asked.ways}
    for number, at, way in asked.turns(len(found)):
        sampling = asked.sampled(number)
        runs[way].append(serving[way].answer(found[at], asked.pace, asked.draft_length, sampling, repetition=number))
    return runs


def of_daemons(
    asked: Asked, profile: LinkProfile | None, *, backend: str = "auto", replay: str = "", watched: bool = False
) -> Runs:
    """Of running daemons: times too.

    Args:
        asked: what is asked.
        profile: of the link between the sides; None: loopback.
        backend: what emulates it.
        replay: profile of stage times; empty for none.
        watched: each clip has been taken in by both models before the question comes.
    """
    from benchmarks.alignment.clips import held_out_clips
    from benchmarks.alignment.daemons import Laid, ask_way, serving
    from benchmarks.link.opening import open_link

    runs: Runs = {way: [] for way in asked.ways}
    with tempfile.TemporaryDirectory(prefix="eventspec-clips-") as folder, open_link(profile, backend) as link:
        clips = held_out_clips(Path(folder), asked.scenes, asked.questions)
        laid = Laid(link, asked.threads, replay, watched)
        ask = partial(ask_way, laid=laid, pace=asked.pace, draft_length=asked.draft_length)
        with serving(asked.ways, laid) as edges:
            for way in asked.ways:  # each daemon's first answer is slower
                ask(way, edges[way], clips[0], sampling=asked.sampling, repetition=-1)
            for number, at, way in asked.turns(len(clips)):
                sampling = asked.sampled(number)
                runs[way].append(ask(way, edges[way], clips[at], sampling=sampling, repetition=number))
    return runs
