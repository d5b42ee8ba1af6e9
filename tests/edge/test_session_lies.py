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
from common.errors import MessageError
from edge.controller import Experience
from edge.session import Phase
from tests.edge.cloud_lies import MOST, VOCAB, Answer, on_the_wire, opened, replies


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
