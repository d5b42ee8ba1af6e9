"""The edge's metrics: their names, and how they are read from its counters (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable

from common.ask import Mode
from common.metrics import Family, Kind, Metric, by, one
from common.spec_decode_metrics import SpecDecodeMetrics
from common.types import FailureCode, FinishReason
from edge.counters import EdgeCounters

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_P = "eventspec_edge_"

INFO = Metric(_P + "info", _G, "1; labels say which drafter runs", ("drafter",))

SPEC_DECODE = SpecDecodeMetrics.of("edge", drafts="Passes of the cloud that checked at least one of our draft tokens")
MADE = Metric(_P + "draft_tokens_made", _C, "Tokens that the drafter made")
WASTED = Metric(_P + "draft_tokens_wasted", _C, "Tokens that the drafter made, and the cloud didn't accept")
FREE = Metric(
    _P + "free_draft_tokens", _C, "Tokens drafted before the first commit: they hid behind upload and prefill"
)
ROLLBACKS = Metric(_P + "rollbacks", _C, "Times that the drafter was set back")
STALE = Metric(_P + "stale_drafts", _C, "Drafts that the cloud dropped: late, stale, alien or twice")
AHEAD = Metric(_P + "ahead", _C, "Commits that met work drafted ahead, and left it valid (hit) or not", ("result",))
BRANCHES = Metric(
    _P + "branches",
    _C,
    "Commits that disagreed with the drafter, and met a branch that goes on from what they say (hit) or none (miss)",
    ("result",),
)
VERDICTS = Metric(_P + "speculation", _C, "Answers by whether speculation paid", ("verdict",))
GAIN = Metric(
    _P + "speculation_gain",
    _H,
    "Of an answer, how many times as long the cloud alone would have taken; above 1: it paid",
)
FORMS = Metric(_P + "draft_form", _C, "Answers with drafts, by what drafts carried", ("form",))

ANSWERS = Metric(_P + "answers", _C, "Answers by the mode that they ended in", ("mode",))
FINISHED = Metric(_P + "answers_finished", _C, "Answers by the reason of their end", ("finish_reason",))
FAILED = Metric(_P + "failures", _C, "Questions without an answer, by code", ("code",))
DROPPED = Metric(_P + "answers_dropped", _C, "Answers whose asker went away")
RUNNING = Metric(_P + "answers_running", _G, "Answers in progress")
ORPHANS = Metric(_P + "answers_unattended", _G, "Of these, answers of the daemon before, that nobody follows yet")
WATCHING = Metric(_P + "watches", _G, "Clips and live streams that are watched")
TOKENS = Metric(_P + "generation_tokens", _C, "Answer tokens")
PASSES = Metric(_P + "target_passes", _C, "Forward passes that chose at least one token of an answer")

FALLBACK = Metric(_P + "fallback", _G, "1 if the last answer that wanted a cloud was finished alone")
FALLBACKS = Metric(_P + "fallbacks", _C, "Answers that wanted a cloud, and were finished alone")
RESUMES = Metric(_P + "resumes", _C, "Times that a session was taken up again after a loss")
ROUND_TRIP = Metric(_P + "round_trip_seconds", _H, "Round trip of a draft, without the cloud's queue and forward")
UPLINK = Metric(_P + "uplink_bytes", _C, "Bytes of messages to the cloud, by kind", ("kind",))
DOWNLINK = Metric(_P + "downlink_bytes", _C, "Bytes of messages from the cloud")
CLOUD_FORWARD = Metric(_P + "cloud_forward_seconds", _C, "The cloud's forward passes that committed, in sum")

TTFT = Metric(_P + "time_to_first_token_seconds", _H, "From the question to the first committed token")
TTFT_PROVISIONAL = Metric(_P + "time_to_first_draft_seconds", _H, "From the question to the first provisional token")
TPOT = Metric(_P + "time_per_output_token_seconds", _H, "Of an answer, mean time a token after the first")
TOTAL = Metric(_P + "answer_seconds", _H, "From the question to the whole answer")

METRICS: tuple[Metric, ...] = (
    *SPEC_DECODE.metrics,
    *(value for value in list(globals().values()) if isinstance(value, Metric)),
)


class EdgeMetrics:
    """Reads everything; called from the threads of the metrics' server."""

    def __init__(self, counters: EdgeCounters, drafter: str, orphans: Callable[[], int]) -> None:
        self._counters = counters
        self._drafter = drafter
        self._orphans = orphans

    def read(self) -> list[Family]:
        """All families, now."""
        return [*self._drafts(), *self._answers(), *self._link(), *self._times()]

    def _drafts(self) -> list[Family]:
        own, sums = self._counters, self._counters.sums
        return [
            Family(INFO, {(self._drafter,): 1}),
            *SPEC_DECODE.families(
                drafts=sums["verifications"],
                draft_tokens=sums["drafted"],
                accepted=sums["accepted"],
                accepted_at=own.accepted_at,
                drafted_at=own.drafted_at,
            ),
            one(MADE, sums["draft_tokens_made"]),
            one(WASTED, sums["draft_tokens_wasted"]),
            one(FREE, sums["free_drafts"]),
            one(ROLLBACKS, sums["rollbacks"]),
            one(STALE, sums["stale_drafts"]),
            by(AHEAD, {"hit": sums["ahead_hits"], "miss": sums["ahead_misses"]}),
            by(BRANCHES, {"hit": sums["branch_hits"], "miss": sums["branch_misses"]}),
            by(VERDICTS, {verdict: own.verdicts[verdict] for verdict in ("pays", "does_not_pay", "unknown")}),
            one(GAIN, own.gain),
            by(FORMS, dict(own.forms)),
        ]

    def _answers(self) -> list[Family]:
        own, sums = self._counters, self._counters.sums
        return [
            by(ANSWERS, {mode.value: own.modes[mode.value] for mode in Mode}),
            by(FINISHED, {reason.value: own.finished[reason.value] for reason in FinishReason}),
            by(FAILED, {code.value: own.failed[code.value] for code in FailureCode}),
            one(DROPPED, own.dropped),
            one(RUNNING, own.running),
            one(ORPHANS, self._orphans()),
            one(WATCHING, own.watching),
            one(TOKENS, sums["tokens"]),
            one(PASSES, sums["target_passes"]),
        ]

    def _link(self) -> list[Family]:
        own, sums = self._counters, self._counters.sums
        return [
            one(FALLBACK, own.fallback),
            one(FALLBACKS, own.fallbacks),
            one(RESUMES, sums["resumes"]),
            one(ROUND_TRIP, own.round_trip),
            by(UPLINK, {kind: own.uplink_bytes[kind] for kind in ("video", "drafts", "control")}),
            one(DOWNLINK, sums["downlink_bytes"]),
            one(CLOUD_FORWARD, own.cloud_forward_ms / 1e3),
        ]

    def _times(self) -> list[Family]:
        own = self._counters
        return [
            one(TTFT, own.ttft),
            one(TTFT_PROVISIONAL, own.ttft_provisional),
            one(TPOT, own.tpot),
            one(TOTAL, own.total),
        ]
