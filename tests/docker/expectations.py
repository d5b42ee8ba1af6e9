"""What the end-to-end latency test holds results against. Pure; `docker/README.md` has the bounds' table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.link.profile import LinkProfile
from benchmarks.paradigms.statistics import by_label, paired_ratios
from benchmarks.results import Run

AHEAD_LOW = 0.02  # whose clip went up before: what is left may be a small part, the more so the busier the machine
RATIO_BOUNDS = (0.2, 2.0)
PATIENT_BOUNDS = (0.2, 5.0)  # waits for drafts: up to a round trip for each verification
BASE = "cloud_only"


def wrong_round_trip(profile: LinkProfile, round_trips_ms: Sequence[float]) -> str | None:
    """Why measured round trips aren't the profile's; None if they are: the median within 10 % + 3 ms."""
    middle, wanted = median(round_trips_ms), profile.rtt_ms
    allowed = 0.1 * wanted + 3.0
    if abs(middle - wanted) <= allowed:
        return None
    return f"{profile.name}: a round trip takes {middle:.1f} ms, not {wanted:g} ms (+- {allowed:.1f})"


def wrong_answers(runs: Sequence[Run]) -> list[str]:
    """Questions whose lossless answers differ in token ids, or that some lossless paradigm didn't answer."""
    lossless = [run for run in runs if run.lossless]
    labels = set(by_label(lossless))
    ids: dict[tuple[str, str], dict[str, set[tuple[int, ...]]]] = {}
    for run in lossless:
        ids.setdefault((run.clip, run.question), {}).setdefault(run.label, set()).add(tuple(run.token_ids))
    found = []
    for (clip, question), by in ids.items():
        if missing := labels - set(by):
            found.append(f"{clip}, {question!r}: no answer of {', '.join(sorted(missing))}")
        if len(set().union(*by.values())) != 1 or () in set().union(*by.values()):
            found.append(f"{clip}, {question!r}: {by}")
    return found


def wrong_times(profile: LinkProfile, runs: Sequence[Run]) -> list[str]:
    """Times that can't be: nothing the cloud says comes sooner than a round trip, and ratios stay within bounds."""
    groups = by_label(run for run in runs if run.lossless)
    found = []
    floor = 0.9 * (profile.rtt_ms - profile.jitter_ms)
    for label, group in groups.items():
        soonest = min(run.ttft_ms if run.ttft_ms is not None else 0.0 for run in group)
        if soonest < floor:
            found.append(f"{label}: a token after {soonest:.1f} ms, before a round trip of the link ({floor:.1f} ms)")
        ratio = median(paired_ratios(group, groups[BASE], lambda run: run.total_ms))
        low, high = PATIENT_BOUNDS if "-patient" in label else RATIO_BOUNDS
        low = AHEAD_LOW if label.endswith("ahead") else low
        if not low <= ratio <= high:
            found.append(f"{label}: total time is {ratio:.2f} of {BASE}'s, outside {low} to {high}")
    return found


def wrong_growth(near: LinkProfile, nearer: Sequence[Run], far: LinkProfile, farther: Sequence[Run]) -> str | None:
    """Why the round trip doesn't show in `cloud_only`'s first tokens; None if at least half of the difference does."""
    wanted = 0.5 * (far.rtt_ms - near.rtt_ms)
    more = _first_token_ms(farther) - _first_token_ms(nearer)
    if more >= wanted:
        return None
    return f"{far.name}'s first tokens come {more:.1f} ms after {near.name}'s, not {wanted:.1f} ms or more"


def _first_token_ms(runs: Sequence[Run]) -> float:
    """`cloud_only`'s TTFT in milliseconds: median over questions of their soonest: other work only delays."""
    soonest: dict[tuple[str, str], float] = {}
    for run in runs:
        if run.label == BASE and run.ttft_ms is not None:
            key = run.clip, run.question
            soonest[key] = min(run.ttft_ms, soonest.get(key, run.ttft_ms))
    return median(soonest.values())
