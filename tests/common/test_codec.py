"""The codec: every message survives the wire, and bytes from a peer give a valid message or `MessageError`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eventspec.v1 import edge_service_pb2 as edge_pb
from eventspec.v1 import speculation_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from common import codec
from common.ask import Answer, AskEvent, AskRequest, EdgeStatus, Mode, Notice, Report, WatchRequest
from common.errors import MessageError
from common.live import LiveWindow
from common.prefix_hash import prefix_hash
from common.types import (
    LARGEST,
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    DrafterInfo,
    EdgeMessage,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    FrameName,
    Open,
    Opened,
    Pace,
    Progress,
    SamplingParams,
    ServerInfo,
    Stage,
    StateEncoding,
    StepTimings,
    Tensor,
)
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket

steady = settings(derandomize=True, deadline=None, max_examples=150)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
NUMBER = st.integers(0, LARGEST)
TIME = st.integers(-LARGEST, LARGEST)
S64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=30)
IDS = st.lists(U32, max_size=20).map(tuple)
SAMPLING = st.builds(
    SamplingParams,
    temperature=st.floats(0, 100),
    top_k=st.integers(0, 2**31 - 1),
    top_p=st.floats(0, 1, exclude_min=True),
    seed=U64,
)
DRAFTER = st.builds(DrafterInfo, name=TEXT, tokenizer_hash=TEXT, vocab_size=U32, hidden_size=U32)
SESSION_ID = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=64)


@st.composite
def hidden_states(draw: st.DrawFn) -> Tensor:
    shape = (draw(st.integers(1, 4)), draw(st.integers(0, 6)))
    dtype = draw(st.sampled_from(sorted(codec.ITEM_SIZES)))
    size = math.prod(shape) * codec.ITEM_SIZES[dtype]
    return Tensor(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


@st.composite
def openings(draw: st.DrawFn) -> Open:
    epoch = draw(st.one_of(st.just(0), st.integers(1, 2**32 - 1)))
    return Open(
        session_id=draw(SESSION_ID),
        question=draw(TEXT),
        sampling=draw(SAMPLING),
        max_tokens=draw(U32),
        pace=draw(st.sampled_from(Pace)),
        patience_ms=draw(U32),
        drafter=draw(DRAFTER),
        epoch=epoch,
        committed=draw(IDS) if epoch else (),
        wire_version=draw(U32),
        clip=draw(st.just("") | SESSION_ID),
        frames=draw(st.lists(NUMBER, max_size=9).map(tuple)),
    )


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    ids = draw(IDS)
    drafted = draw(st.integers(0, 40))
    return Commit(
        start_position=draw(U32),
        token_ids=ids,
        drafted=drafted,
        accepted=draw(st.integers(0, min(drafted, len(ids)))),
        draft_id=draw(NUMBER),
        waiting=draw(U32),
        timings=StepTimings(draw(U32), draw(U32)),
        draft_limit=draw(U32),
    )


NAMES = st.lists(st.builds(FrameName, number=NUMBER, time_us=TIME), max_size=9).map(tuple)
DRAFT_IDS: st.SearchStrategy[Draft] = st.builds(
    Draft,
    draft_id=st.integers(1, LARGEST),
    epoch=U32,
    base_position=U32,
    prefix_hash=U32,
    token_ids=st.lists(U32, min_size=1, max_size=20).map(tuple),
)
DRAFT_STATES: st.SearchStrategy[Draft] = st.builds(
    Draft,
    draft_id=st.integers(1, LARGEST),
    epoch=U32,
    base_position=U32,
    prefix_hash=U32,
    hidden_states=hidden_states(),
    encoding=st.sampled_from(StateEncoding),
    scales=st.none() | st.integers(1, 6).map(lambda n: Tensor("float16", (n,), bytes(2 * n))),
    follows=NUMBER,
)
EDGE_MESSAGES: st.SearchStrategy[EdgeMessage] = st.one_of(
    openings(), DRAFT_IDS, DRAFT_STATES, st.just(Cancel()), st.just(Close())
)
CLOUD_MESSAGES: st.SearchStrategy[CloudMessage] = st.one_of(
    st.builds(
        Opened,
        session_id=TEXT,
        max_tokens=U32,
        max_draft=U32,
        committed_length=U32,
        video_needed=st.booleans(),
        replay=TEXT,
        adapter=TEXT,
        frames=NAMES,
        lease_ms=U32,
        draft_limit=U32,
    ),
    commits(),
    st.builds(Progress, st.sampled_from(Stage), start_us=NUMBER, duration_us=NUMBER),
    st.builds(
        Finished,
        st.sampled_from(FinishReason),
        length=U32,
        target_passes=U32,
        stale_drafts=U32,
        replay_overruns=U32,
        frames=NAMES,
        over_credit=U32,
    ),
    st.builds(Failure, st.sampled_from(FailureCode), message=TEXT, retryable=st.booleans()),
)
HEADERS = st.builds(
    VideoHeader,
    codec=TEXT,
    extradata=st.binary(max_size=20),
    width=U32,
    height=U32,
    frames=U32,
    time_base_num=U32,
    time_base_den=U32,
    ahead=st.booleans(),
    acknowledge=st.booleans(),
    live=st.none() | st.builds(LiveWindow, stride_us=st.integers(20_000, 10**9), cells=st.integers(1, 4096)),
    named=st.lists(NUMBER, max_size=9).map(tuple),
)
PACKETS = st.lists(
    st.builds(VideoPacket, index=U32, pts=S64, dts=S64, keyframe=st.booleans(), data=st.binary(max_size=30)),
    max_size=4,
).map(tuple)
FEATURES_HEADERS = st.builds(FeaturesHeader, vision_fingerprint=TEXT, frames=U32, acknowledge=st.booleans())
FEATURES = st.lists(st.builds(FrameFeatures, index=U32, features=hidden_states()), max_size=3).map(tuple)
INFOS = st.builds(
    ServerInfo,
    wire_version=U32,
    model_name=TEXT,
    model_fingerprint=TEXT,
    tokenizer_hash=TEXT,
    vocab_size=U32,
    hidden_size=U32,
    video_frames=U32,
    eos_token_ids=IDS,
    max_sessions=U32,
    max_prompt_tokens=U32,
    max_answer_tokens=U32,
    max_draft=U32,
    max_message_bytes=NUMBER,
    max_video_bytes=NUMBER,
    replay=TEXT,
    vision_fingerprint=TEXT,
    adapter=TEXT,
    adapter_level=TEXT,
    adapter_hidden=U32,
)
ASKS = st.builds(
    AskRequest,
    question=TEXT,
    events_path=TEXT,
    video_path=TEXT,
    mode=st.sampled_from(Mode),
    sampling=SAMPLING,
    max_tokens=U32,
    pace=st.sampled_from(Pace),
    patience_ms=U32,
    draft_length=U32,
    window_start_us=NUMBER,
    watch=TEXT,
    video_codec=TEXT,
    branches=st.none() | U32,
)
WATCHES = st.builds(
    WatchRequest,
    video_path=TEXT,
    events_path=TEXT,
    realtime=st.booleans(),
    window_start_us=NUMBER,
    live=st.booleans(),
    window_us=NUMBER,
    stride_us=NUMBER,
    loop=st.booleans(),
    video_codec=TEXT,
)
VALUES = st.dictionaries(
    TEXT, st.one_of(TEXT, st.integers(), st.none(), st.booleans(), st.lists(st.integers())), max_size=4
)
ASK_EVENTS: st.SearchStrategy[AskEvent] = st.one_of(
    st.builds(Answer, committed_text=TEXT, provisional_text=TEXT, at_ms=st.floats(allow_nan=False)),
    st.builds(Report, VALUES),
    st.builds(Notice, TEXT),
)
STATUSES = st.builds(EdgeStatus, drafter=TEXT, cloud=TEXT, cloud_reachable=st.booleans(), sessions=U32)


@steady
@given(EDGE_MESSAGES)
def test_edge_messages_survive_the_wire(message: EdgeMessage) -> None:
    assert codec.decode_edge_message(codec.encode_edge_message(message)) == message


@steady
@given(CLOUD_MESSAGES)
def test_cloud_messages_survive_the_wire(message: CloudMessage) -> None:
    assert codec.decode_cloud_message(codec.encode_cloud_message(message)) == message


@steady
@given(st.just("") | SESSION_ID, HEADERS, PACKETS)
def test_videos_survive_the_wire(session_id: str, header: VideoHeader, packets: tuple[VideoPacket, ...]) -> None:
    assert codec.decode_video_message(codec.encode_video_header(session_id, header)) == (session_id, header, ())
    assert codec.decode_video_message(codec.encode_video_packets(packets)) == ("", None, packets)


@steady
@given(st.just("") | SESSION_ID, FEATURES_HEADERS, FEATURES)
def test_features_survive_the_wire(
    session_id: str, header: FeaturesHeader, features: tuple[FrameFeatures, ...]
) -> None:
    assert codec.decode_video_message(codec.encode_features_header(session_id, header)) == (session_id, header, ())
    assert codec.decode_video_message(codec.encode_features(features)) == ("", None, features)


@steady
@given(WATCHES)
def test_watches_survive_the_wire(watch: WatchRequest) -> None:
    assert codec.decode_watch(codec.encode_watch(watch)) == watch


def test_live_windows_that_make_no_sense_are_refused() -> None:
    header = pb.VideoHeader(live=pb.LiveWindow(stride_us=1, cells=8))
    message = pb.StreamVideoRequest(session_id="clip-0000", header=header)
    with pytest.raises(MessageError, match="live stream's pictures"):
        codec.decode_video_message(message.SerializeToString())


def test_features_of_another_size_than_their_shape_are_refused_before_use() -> None:
    tensor = pb.Tensor(dtype=pb.DATA_TYPE_BFLOAT16, shape=[17, 256], data=bytes(17 * 256))
    message = pb.StreamVideoRequest(features=[pb.FrameFeatures(features=tensor)])
    with pytest.raises(MessageError, match="needs 8704 bytes, got 4352"):
        codec.decode_video_message(message.SerializeToString())


def test_pieces_of_features_survive_the_wire_and_lie_about_nothing() -> None:
    piece = FrameFeatures(3, Tensor("float16", (4, 5), bytes(13)), 40)
    assert codec.decode_video_message(codec.encode_features((piece,))) == ("", None, (piece,))
    for size, data in ((38, 13), (42, 13), (40, 0), (40, 41)):
        wrong = replace(piece, features=replace(piece.features, data=bytes(data)), size=size)
        with pytest.raises(MessageError, match="tensor"):
            codec.decode_video_message(codec.encode_features((wrong,)))


def test_packets_and_features_in_one_message_are_refused() -> None:
    both = codec.encode_video_packets((VideoPacket(0, 0, 0, True, b"x"),)) + codec.encode_features(
        (FrameFeatures(0, Tensor("uint8", (1, 1), b"x")),)
    )
    with pytest.raises(MessageError, match="not as both"):
        codec.decode_video_message(both)


@steady
@given(INFOS, ASKS, ASK_EVENTS, STATUSES, U32, NUMBER)
def test_the_rest_survives_the_wire(
    info: ServerInfo, ask: AskRequest, event: AskEvent, status: EdgeStatus, frames: int, size: int
) -> None:
    assert codec.decode_info(codec.encode_info(info)) == info
    assert codec.decode_ask(codec.encode_ask(ask)) == ask
    assert codec.decode_ask_event(codec.encode_ask_event(event)) == event
    assert codec.decode_status(codec.encode_status(status)) == status
    assert codec.decode_video_reply(codec.encode_video_reply(frames, size)) == (frames, size)


# ------------------------------------------------------------------------------------- bytes of a hostile peer


def _encode_video(message: Any) -> bytes:
    """The halves of a video message, which the codec only writes apart."""
    session_id, header, packets = message
    if isinstance(header, FeaturesHeader):
        return codec.encode_features_header(session_id, header) + codec.encode_features(packets)
    first = codec.encode_video_header(session_id, header) if header is not None else b""
    return first + codec.encode_video_packets(packets)


DECODERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes], st.SearchStrategy[Any]]] = {
    "edge message": (codec.decode_edge_message, codec.encode_edge_message, EDGE_MESSAGES),
    "cloud message": (codec.decode_cloud_message, codec.encode_cloud_message, CLOUD_MESSAGES),
    "video": (codec.decode_video_message, _encode_video, st.tuples(SESSION_ID, HEADERS, PACKETS)),
    "features": (codec.decode_video_message, _encode_video, st.tuples(SESSION_ID, FEATURES_HEADERS, FEATURES)),
    "info": (codec.decode_info, codec.encode_info, INFOS),
    "ask": (codec.decode_ask, codec.encode_ask, ASKS),
    "ask event": (codec.decode_ask_event, codec.encode_ask_event, ASK_EVENTS),
    "status": (codec.decode_status, codec.encode_status, STATUSES),
}


def survives(name: str, data: bytes) -> None:
    """Bytes give `MessageError` in one line, or a message that is valid: it can be sent on and means the same."""
    decode, encode, _ = DECODERS[name]
    try:
        message = decode(data)
    except MessageError as refused:
        said = str(refused)
    else:
        said = ""
    assert "\n" not in said
    if said:
        return
    if name in ("video", "features") and message[1] is None:
        return  # a session id without a header is the service's business
    again = encode(message)
    assert encode(decode(again)) == again


@pytest.mark.parametrize("name", DECODERS)
@steady
@given(data=st.binary(max_size=120))
def test_random_bytes(name: str, data: bytes) -> None:
    survives(name, data)


@pytest.mark.parametrize("name", DECODERS)
@steady
@given(data=st.data())
def test_mutated_messages(name: str, data: st.DataObject) -> None:
    _, encode, messages = DECODERS[name]
    good = bytearray(encode(data.draw(messages)))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)):
        if good:
            good[place % len(good)] = value
    survives(name, bytes(good[: data.draw(st.integers(0, len(good)))]))


@pytest.mark.parametrize("name", DECODERS)
@steady
@given(data=st.data())
def test_truncated_messages(name: str, data: st.DataObject) -> None:
    _, encode, messages = DECODERS[name]
    good = encode(data.draw(messages))
    survives(name, good[: data.draw(st.integers(0, len(good)))])


def _open(**changes: Any) -> pb.Open:
    fresh = {} if "resume" in changes else {"fresh": pb.FreshStart()}
    return pb.Open(**{"session_id": "session-1", "wire_version": 1, "question": "what?", **fresh, **changes})


def _draft(**changes: Any) -> pb.Draft:
    return pb.Draft(**{"draft_id": 1, "tokens": pb.TokenIds(ids=[3]), **changes})


def _states(**changes: Any) -> pb.Draft:
    tensor = pb.Tensor(**{"dtype": pb.DATA_TYPE_FLOAT16, "shape": [2, 3], "data": bytes(12), **changes})
    return pb.Draft(draft_id=1, hidden_states=tensor)


UNSET: Any = 0
UNKNOWN: Any = 9

HOSTILE_EDGE = {
    "nothing": (pb.SpeculateRequest(), "empty"),
    "no start": (
        pb.SpeculateRequest(open=pb.Open(session_id="session-1")),
        "needs a start",
    ),
    "short id": (pb.SpeculateRequest(open=_open(session_id="short")), "8 to 64 ASCII"),
    "long id": (pb.SpeculateRequest(open=_open(session_id="x" * 65)), "8 to 64 ASCII"),
    "an id of two lines": (pb.SpeculateRequest(open=_open(session_id="session\n1")), "printable"),
    "foreign id": (pb.SpeculateRequest(open=_open(session_id="sessiön-1")), "8 to 64 ASCII"),
    "epoch 0": (pb.SpeculateRequest(open=_open(resume=pb.Resume(epoch=0))), "epoch must be at least 1"),
    "unknown pace": (pb.SpeculateRequest(open=_open(pace=77)), "pace has the unknown value 77"),
    "NaN": (pb.SpeculateRequest(open=_open(sampling=pb.SamplingParams(temperature=math.nan))), "finite"),
    "infinite": (pb.SpeculateRequest(open=_open(sampling=pb.SamplingParams(top_p=math.inf))), "finite"),
    "negative": (pb.SpeculateRequest(open=_open(sampling=pb.SamplingParams(temperature=-1))), "temperature must"),
    "top_p": (pb.SpeculateRequest(open=_open(sampling=pb.SamplingParams(top_p=1.5))), "top_p must"),
    "top_k": (pb.SpeculateRequest(open=_open(sampling=pb.SamplingParams(top_k=2**31))), "top_k must"),
    "draft 0": (pb.SpeculateRequest(draft=_draft(draft_id=0)), "draft_id must be at least 1"),
    "no payload": (pb.SpeculateRequest(draft=pb.Draft(draft_id=1)), "needs a payload"),
    "no ids": (pb.SpeculateRequest(draft=_draft(tokens=pb.TokenIds())), "empty draft"),
    "no states": (pb.SpeculateRequest(draft=_states(shape=[0, 3], data=b"")), "empty draft"),
    "no dtype": (pb.SpeculateRequest(draft=_states(dtype=0)), "tensor dtype has the unknown value 0"),
    "unknown dtype": (pb.SpeculateRequest(draft=_states(dtype=99)), "tensor dtype has the unknown value 99"),
    "too few bytes": (pb.SpeculateRequest(draft=_states(data=bytes(11))), "needs 12 bytes, got 11"),
    "too many bytes": (pb.SpeculateRequest(draft=_states(data=bytes(13))), "needs 12 bytes, got 13"),
    "claims a lot": (pb.SpeculateRequest(draft=_states(shape=[2**32 - 1] * 8)), "got 12"),
    "no shape": (pb.SpeculateRequest(draft=_states(shape=[], data=bytes(2))), "1 to 8 dimensions, not 0"),
    "nine dimensions": (pb.SpeculateRequest(draft=_states(shape=[1] * 9)), "1 to 8 dimensions, not 9"),
    "flat states": (pb.SpeculateRequest(draft=_states(shape=[6])), r"must be \[n, hidden\]"),
}


@pytest.mark.parametrize("name", HOSTILE_EDGE)
def test_hostile_edge_messages(name: str) -> None:
    request, words = HOSTILE_EDGE[name]
    with pytest.raises(MessageError, match=words):
        codec.decode_edge_message(request.SerializeToString())


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (pb.SpeculateResponse(), "empty"),
        (pb.SpeculateResponse(progress=pb.Progress(stage=UNSET)), "stage has the unknown value 0"),
        (pb.SpeculateResponse(finished=pb.Finished(reason=UNSET)), "finish reason has the unknown value 0"),
        (pb.SpeculateResponse(finished=pb.Finished(reason=UNKNOWN)), "finish reason has the unknown value 9"),
        (pb.SpeculateResponse(failure=pb.Failure(code=UNSET)), "failure code has the unknown value 0"),
        (pb.SpeculateResponse(commit=pb.Commit(token_ids=[1], drafted=3, accepted=2)), "accepts 2 of 3"),
        (pb.SpeculateResponse(commit=pb.Commit(token_ids=[1, 2], drafted=1, accepted=2)), "accepts 2 of 1"),
    ],
)
def test_hostile_cloud_messages(response: pb.SpeculateResponse, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        codec.decode_cloud_message(response.SerializeToString())


@pytest.mark.parametrize(
    ("report", "words"), [("", "valid JSON"), ("{", "valid JSON"), ("[1]", "object"), ("[" * 100_000, "valid JSON")]
)
def test_hostile_reports(report: str, words: str) -> None:
    response = edge_pb.AskResponse(report=edge_pb.Report(json=report))
    with pytest.raises(MessageError, match=words):
        codec.decode_ask_event(response.SerializeToString())


def test_unset_fields_of_an_open_have_their_documented_meaning() -> None:
    request = pb.SpeculateRequest(open=pb.Open(session_id="session-1", fresh=pb.FreshStart()))
    opening = codec.decode_edge_message(request.SerializeToString())
    assert isinstance(opening, Open)
    assert opening.sampling == SamplingParams()
    assert opening.pace is Pace.EAGER
    assert not opening.drafter.name
    assert not opening.resume


def test_fields_of_a_later_version_are_ignored() -> None:
    draft = Draft(1, 0, 2, 3, (4, 5))
    later = codec.encode_edge_message(draft) + b"\xfa\x3e\x02hi"  # field 999
    assert codec.decode_edge_message(later) == draft


def test_a_draft_of_five_tokens_takes_at_most_64_bytes() -> None:
    rng = random.Random(0)
    sizes = []
    for _ in range(2_000):
        ids = tuple(rng.randrange(32_000) for _ in range(5))
        base = rng.randrange(512)
        prefix = prefix_hash([rng.randrange(32_000) for _ in range(base)])
        draft = Draft(rng.randrange(1, 100_000), rng.randrange(50), base, prefix, ids)
        sizes.append(len(codec.encode_edge_message(draft)))
    longest = Draft(LARGEST, 2**32 - 1, 2**32 - 1, 2**32 - 1, (31_999,) * 5)
    sizes.append(len(codec.encode_edge_message(longest)))
    assert max(sizes) <= 64
