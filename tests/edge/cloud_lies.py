"""Everything that a cloud could say: values over the whole range of the contract's fields, and bytes that are anything.

A message goes through the codec, as on a wire: what the codec refuses an answer never hears. `Answer` is one that does.
"""

from __future__ import annotations

from eventspec.v1 import speculation_pb2 as pb
from hypothesis import strategies as st

from common import codec
from common.errors import EventSpecError, MessageError
from common.types import DrafterInfo, Open, Pace
from edge.actions import BranchJob, Connect, Done, DraftJob, Send
from edge.branches import Branched, Choice
from edge.controller import Experience
from edge.session import EdgeSession, SessionSettings

HERE = 123_456
"""A start position that stands for the end of what is committed, so that lies are told by commits that fit too."""

_U32 = st.sampled_from([0, 1, 2, 16, 49, 50, 255, 4_096, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
_U64 = st.sampled_from([0, 1, 7, 2**32, 2**53, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
_S64 = st.sampled_from([0, -1, 2**53, -(2**63), 2**63 - 1]) | st.integers(-(2**63), 2**63 - 1)
_TEXT = st.sampled_from(["", "session-0", "\x1b[2J\nforged", "x" * 300_000]) | st.text(max_size=20)
_ENUM = st.integers(0, 12) | st.sampled_from([-1, 2**31 - 1])
_FRAMES = st.lists(st.builds(pb.FrameName, number=_U64, time_us=_S64), max_size=9)

_OPENED = st.builds(
    pb.Opened,
    session_id=_TEXT,
    max_tokens=_U32,
    max_draft=_U32,
    committed_length=_U32,
    video_needed=st.booleans(),
    replay=_TEXT,
    adapter=_TEXT,
    frames=_FRAMES,
    lease_ms=_U32,
    draft_limit=_U32,
)
_COMMIT = st.builds(
    pb.Commit,
    start_position=st.just(HERE) | st.just(HERE) | st.integers(0, 12) | _U32,
    token_ids=st.lists(st.integers(3, 49), min_size=1, max_size=3) | st.lists(st.integers(0, 49) | _U32, max_size=9),
    drafted=st.integers(0, 9) | _U32,
    accepted=st.integers(0, 4) | _U32,
    draft_id=st.integers(0, 5) | _U64,
    waiting=_U32,
    timings=st.builds(pb.StepTimings, queue_us=_U32, forward_us=_U32),
    draft_limit=_U32,
)
_PROGRESS = st.builds(pb.Progress, stage=_ENUM, start_us=_U64, duration_us=_U64)
_FINISHED = st.builds(
    pb.Finished,
    reason=_ENUM,
    length=st.integers(0, 12) | _U32,
    target_passes=_U32,
    stale_drafts=_U32,
    replay_overruns=_U32,
    frames=_FRAMES,
    over_credit=_U32,
)
_FAILURE = st.builds(pb.Failure, code=_ENUM, message=_TEXT, retryable=st.booleans(), retry_after_ms=_U32)

_commits = st.builds(pb.SpeculateResponse, commit=_COMMIT)
replies = st.one_of(
    _commits,
    _commits,
    _commits,
    st.builds(pb.SpeculateResponse, opened=_OPENED),
    st.builds(pb.SpeculateResponse, progress=_PROGRESS),
    st.builds(pb.SpeculateResponse, finished=_FINISHED),
    st.builds(pb.SpeculateResponse, failure=_FAILURE),
)
opened = st.builds(pb.SpeculateResponse, opened=_OPENED)


def on_the_wire(reply: pb.SpeculateResponse, committed: int) -> bytes:
    """The reply's bytes, for an edge that holds so many committed tokens."""
    if reply.commit.start_position == HERE:
        reply.commit.start_position = committed
    return reply.SerializeToString()


VOCAB, MOST = 50, 20


class Answer:
    """A session and what a runner does for it, at a clock that goes on by ten milliseconds with everything."""

    def __init__(self, experience: Experience) -> None:
        self.now = 100.0
        opening = Open("session-0", "what?", max_tokens=MOST, drafter=DrafterInfo("d", "h", VOCAB, 8))
        self.session = EdgeSession(
            opening,
            SessionSettings(branches=1),
            frozenset({2}),
            experience.drafts(0, Pace.EAGER, 200, 16),
            self.now,
            vocab_size=VOCAB,
        )
        self.session.drafter_ready(self.now)

    def work(self) -> None:
        """Until nothing is left to do but to hear from the cloud."""
        for _ in range(64):
            actions = self.session.drain()
            if not actions:
                return
            for action in actions:
                self.now += 0.01
                match action:
                    case Connect(at):
                        self.now = max(self.now, at)
                        self.session.connected(self.now)
                    case DraftJob():
                        self.session.drafted([3 + len(action.base) % 40] * action.count, self.now)
                    case BranchJob():
                        places = range(action.first, action.until)
                        made = Branched((5,) * action.count, {at: Choice((3, 4), (0.5, 0.2)) for at in places})
                        self.session.branched(made, self.now)
                    case Send(message):
                        assert len(codec.encode_edge_message(message)) < 65_536
                    case Done(error):
                        assert error is None or isinstance(error, EventSpecError)
        raise AssertionError("the session never comes to rest")

    def hear(self, data: bytes) -> None:
        """As `edge.runner` does."""
        self.now += 0.01
        try:
            message = codec.decode_cloud_message(data)
        except MessageError as error:
            self.session.link_lost(error, self.now)
        else:
            self.session.received(message, self.now)
        self.work()
