"""Whatever a cloud says, an answer at the edge ends or goes on: no message raises, and none makes it grow or hang.

The session, its estimates and its controller outlive the lies: the next answer is drafted with what they have learnt.
"""

from __future__ import annotations

import contextlib
import json
import math

from eventspec.v1 import speculation_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import codec
from common.errors import EventSpecError, MessageError
from common.types import DrafterInfo, Open, Pace
from edge.actions import BranchJob, Connect, Done, DraftJob, Send
from edge.branches import Branched, Choice
from edge.controller import Experience
from edge.session import EdgeSession, Phase, SessionSettings
from tests.edge.cloud_lies import on_the_wire, opened, replies

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


def finite(value: object) -> bool:
    """Whether all numbers in a report are."""
    if isinstance(value, dict):
        return all(finite(one) for one in value.values())
    if isinstance(value, list):
        return all(finite(one) for one in value)
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(replies, max_size=25), st.lists(replies, max_size=5), opened)
def test_no_message_raises_anything(
    told: list[pb.SpeculateResponse], later: list[pb.SpeculateResponse], first: pb.SpeculateResponse
) -> None:
    experience = Experience()
    for said in (told, [first, *later]):
        answer = Answer(experience)
        answer.work()
        for reply in said:
            answer.hear(on_the_wire(reply, len(answer.session.committed)))
            if answer.session.phase is Phase.CONNECTING:
                answer.hear(on_the_wire(first, 0))
        session = answer.session
        assert len(session.committed) <= MOST
        assert all(0 <= token < VOCAB for token in session.committed)
        assert session.phase is not Phase.DONE or session.figures.finished_at <= answer.now
        session.cancel(answer.now)
        text = json.dumps(session.figures.report(len(session.answer)))
        assert len(text) < 65_536
        assert finite(json.loads(text))
        session.length.reflect()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_bytes_that_are_no_message_are_refused_as_such(data: bytes) -> None:
    with contextlib.suppress(MessageError):
        codec.decode_cloud_message(data)


def test_a_stream_that_says_nothing_new_is_lost_and_then_the_edge_finishes_alone() -> None:
    """A flood of messages that don't continue the answer: each of its streams is short, and there are few of them."""
    answer = Answer(Experience())
    answer.work()
    taken_in = pb.SpeculateResponse(opened=pb.Opened(session_id="session-0", max_draft=16)).SerializeToString()
    idle = pb.SpeculateResponse(commit=pb.Commit(start_position=0)).SerializeToString()
    heard = 0
    while answer.session.phase not in (Phase.ALONE, Phase.DONE):
        answer.hear(taken_in if answer.session.phase is not Phase.STREAMING else idle)
        heard += 1
        assert heard < 100_000, "it listens for ever"
