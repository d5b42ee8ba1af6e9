"""The cloud's metrics: their names, and how they are read from the counters of front and engine (docs/metrics.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from cloud.engine_client import EngineProcess
from cloud.engine_stats import CODES, REASONS, EngineStats
from cloud.front_counters import SPECULATE, VIDEO, FrontCounters
from cloud.streams import StreamTable
from common.door import Door
from common.metrics import Family, Kind, Metric, at_least, by, one
from common.spec_decode_metrics import SpecDecodeMetrics
from common.types import FailureCode

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_P = "eventspec_cloud_"

INFO = Metric(_P + "info", _G, "1; labels say which target runs", ("model", "fingerprint", "wire_version"))
READY = Metric(_P + "ready", _G, "1 while edges may open sessions")
DRAINING = Metric(_P + "draining", _G, "1 while no new sessions are taken")
ENGINE_UP = Metric(_P + "engine_up", _G, "1 while the engine process takes messages, and turns")
ENGINE_RESTARTS = Metric(_P + "engine_restarts", _C, "Engine processes started after the first")

SPEC_DECODE = SpecDecodeMetrics.of("cloud", drafts="Passes that checked at least one draft token")
REJECTIONS = Metric(_P + "rollbacks", _C, "Passes in which a draft token was rejected, so that KV was rolled back")
STALE = Metric(_P + "stale_drafts", _C, "Drafts dropped unchecked: late, stale, alien or twice; counted at the end")

OVER_CREDIT = Metric(_P + "over_credit_draft_tokens", _C, "Draft tokens dropped beyond the credit; counted at the end")
CREDIT = Metric(
    _P + "draft_credit", _G, "Draft tokens that a session may have under way: the smallest share, a moment ago"
)

TOKENS = Metric(_P + "generation_tokens", _C, "Answer tokens committed")
PASSES = Metric(_P + "target_passes", _C, "Shares of a forward that chose at least one token of a session")
STEP = Metric(_P + "step_seconds", _H, "Forward of one engine step over all due sessions")
STEPPED = Metric(_P + "step_sessions", _C, "Sessions in steps; divide by the number of steps for the mean batch")
VISION = Metric(_P + "vision_seconds", _C, "Time spent encoding frames")
QUEUE = Metric(_P + "queue_seconds", _H, "What work of a session waited for its step")
TTFT = Metric(_P + "time_to_first_token_seconds", _H, "From a session's opening to its first commit")
TPOT = Metric(_P + "time_per_output_token_seconds", _H, "Of an answer, mean time a token after the first commit")

SESSIONS = Metric(_P + "sessions", _G, "Sessions held: running, or parked after a lost link", ("state",))
CLIPS = Metric(_P + "clips", _G, "Videos held without a question")
STREAMS = Metric(_P + "streams", _G, "Connections of sessions")
WAITING = Metric(_P + "sessions_waiting", _G, "Sessions with work at hand, a moment ago")
FRAMES_WAITING = Metric(_P + "frames_waiting", _G, "Frames that wait to be encoded")
SLOTS = Metric(_P + "kv_slots", _G, "KV slots")
SLOTS_USED = Metric(_P + "kv_slots_used", _G, "KV slots that a session or clip holds")
KV_TOKENS = Metric(_P + "kv_tokens", _G, "Tokens in KV storage")

OPENED = Metric(
    _P + "sessions_opened", _C, "Sessions opened new, resumed where their KV was, or replayed from elsewhere", ("how",)
)
CLIPS_OPENED = Metric(_P + "clips_opened", _C, "Videos taken in ahead of their questions")
FINISHED = Metric(_P + "answers", _C, "Answers that ended, by reason", ("finish_reason",))
FAILED = Metric(_P + "failures", _C, "Failures told to edges, by code", ("code",))
OVERLOAD = Metric(_P + "overload_refusals", _C, "Failures for want of room, or by a limit: code capacity")
ACCESS = Metric(_P + "access_refusals", _C, "Calls refused at the door: no valid token, or not of that scope")
HANDED_OVER = Metric(_P + "sessions_handed_over", _C, "Sessions sent elsewhere because this cloud was going down")
RECEIVED = Metric(_P + "received_bytes", _C, "Bytes of messages from edges, by kind", ("kind",))
MESSAGES = Metric(_P + "received_messages", _C, "Messages from edges, by kind", ("kind",))
SENT = Metric(_P + "sent_bytes", _C, "Bytes of messages to edges, by kind", ("kind",))

METRICS: tuple[Metric, ...] = (
    *SPEC_DECODE.metrics,
    *(value for value in list(globals().values()) if isinstance(value, Metric)),
)


def engine_families(stats: EngineStats) -> list[Family]:
    """What the engine counts."""
    return [
        *SPEC_DECODE.families(
            drafts=stats.verifications,
            draft_tokens=stats.drafted,
            accepted=stats.accepted,
            accepted_at=at_least(stats.accepted_lengths),
            drafted_at=at_least(stats.drafted_lengths),
        ),
        one(REJECTIONS, stats.rejections),
        one(STALE, stats.stale_drafts),
        one(OVER_CREDIT, stats.over_credit),
        one(CREDIT, stats.draft_credit),
        one(TOKENS, stats.committed),
        one(PASSES, stats.target_passes),
        one(STEP, stats.step),
        one(STEPPED, stats.stepped),
        one(VISION, stats.vision_us / 1e6),
        one(QUEUE, stats.queue),
        one(TTFT, stats.ttft),
        one(TPOT, stats.tpot),
        one(WAITING, stats.sessions_waiting),
        one(FRAMES_WAITING, stats.frames_waiting),
        one(KV_TOKENS, stats.kv_tokens),
        by(OPENED, {"new": stats.opened - stats.replayed, "resumed": stats.resumed, "replayed": stats.replayed}),
        one(CLIPS_OPENED, stats.clips),
        by(FINISHED, {reason.value: n for reason, n in zip(REASONS, stats.finished, strict=True)}),
    ]


LOADING = [one(READY, False), one(ENGINE_UP, False)]
"""What there is to tell before the target is loaded."""


class CloudMetrics:
    """Reads everything; called from the threads of the metrics' server."""

    def __init__(
        self,
        engine: EngineProcess,
        streams: StreamTable,
        counters: FrontCounters,
        door: Door,
        draining: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._counters = counters
        self._door = door
        self._draining = draining

    def read(self) -> list[Family]:
        """All families, now."""
        stats = self._engine.totals.now()
        return [*engine_families(stats), *self._states(), *self._front(stats)]

    def _states(self) -> list[Family]:
        info, held = self._engine.info, self._engine.held
        return [
            Family(INFO, {(info.model_name, info.model_fingerprint[:12], str(info.wire_version)): 1}),
            one(READY, self._engine.ready and not self._draining()),
            one(DRAINING, self._draining()),
            one(ENGINE_UP, self._engine.ready),
            one(ENGINE_RESTARTS, self._engine.restarts),
            by(SESSIONS, {"running": held.sessions - held.clips - held.parked, "parked": held.parked}),
            one(CLIPS, held.clips),
            one(STREAMS, len(self._streams)),
            one(SLOTS, info.max_sessions),
            one(SLOTS_USED, held.sessions),
        ]

    def _front(self, stats: EngineStats) -> list[Family]:
        own = self._counters
        failed = Counter(own.failed)
        for code, count in zip(CODES, stats.failed, strict=True):
            failed[code.value] += count
        return [
            by(FAILED, {code.value: failed[code.value] for code in CODES}),
            one(OVERLOAD, failed[FailureCode.CAPACITY.value]),
            one(ACCESS, self._door.refusals),
            one(HANDED_OVER, own.handed_over),
            by(RECEIVED, {kind: own.received_bytes[kind] for kind in (SPECULATE, VIDEO)}),
            by(MESSAGES, {kind: own.received[kind] for kind in (SPECULATE, VIDEO)}),
            by(SENT, {kind: own.sent_bytes[kind] for kind in (SPECULATE, VIDEO)}),
        ]
