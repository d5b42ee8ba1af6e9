"""What becomes of a video's stream: pictures at a profile's pace, or an edge's features, checked."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud.ingest import FeatureReceiver, VideoReceiver, receiver_for
from cloud.messages import Frames, FrameSpec
from cloud.pieces import FeatureJoiner, PacketJoiner
from cloud.video import VideoLimits
from common.decoding import DecodedVideo
from common.errors import LinkError, MessageError, MismatchError
from common.padding import Padding
from common.replay import Curve, VideoTimes
from common.types import Tensor
from common.video import LEAST_PIECE, NOT_SHOWN, FeaturesHeader, FrameFeatures, VideoPacket
from edge.video import Clip, open_clip, write_video
from tests.common.test_padding import Clock
from tests.decoders import decoders

SPEC = FrameSpec(8, 2, tokens=3, hidden=4, dtype="bfloat16", vision_fingerprint="ours")
WIDE = replace(SPEC, tokens=300)  # 2,400 bytes a frame
HEADER = FeaturesHeader("ours", 2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = Path(tmp_path_factory.mktemp("clips")) / "clip.mp4"
    rng = np.random.default_rng(0)
    write_video(path, [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(12)], fps=10)
    return open_clip(path)


def all_of(receiver: VideoReceiver | FeatureReceiver) -> list[Frames]:
    found, more = [], True
    while more:
        frames, more = receiver.work()
        if frames is not None:
            found.append(frames)
    return found


def test_a_replayed_clip_takes_the_profiles_time_and_no_longer(clip: Clip) -> None:
    times = VideoTimes(decode_ms=60_000, preprocess_ms=8_000, vision=Curve(((1, 1),)), frames=8)
    clock = Clock()
    groups = DecodedVideo(
        clip.header, children=decoders(), count=8, size=8, replay=times, padding=Padding(clock, clock.sleep)
    )
    started = clock.now
    for packet in clip.packets():
        groups.take((packet,))
        groups.work()
    groups.take(())
    groups.work()
    groups.close()
    assert clock.now - started == pytest.approx(68.0)


def test_a_replayed_clip_gives_the_same_pictures_and_tells_its_overruns(clip: Clip) -> None:
    spec = FrameSpec(8, 8)
    packets = tuple(clip.packets())
    pictures = []
    for times in (None, VideoTimes(0.001, 0.001, Curve(((1, 1),)))):
        receiver = receiver_for(clip.header, VideoLimits(), spec, decoders(), times)
        assert isinstance(receiver, VideoReceiver)
        receiver.take(packets)
        frames = all_of(receiver)
        receiver.close()
        assert sum(f.overruns for f in frames) == (len(frames) if times else 0)
        assert all(f.decode_us > 0 for f in frames)
        pictures.append(np.concatenate([f.pixels for f in frames]))
    assert len(pictures[0]) == 8
    np.testing.assert_array_equal(pictures[0], pictures[1])


def features(
    index: int, dtype: str = "bfloat16", shape: tuple[int, ...] = (3, 4), spec: FrameSpec | None = None
) -> FrameFeatures:
    shape = (spec.tokens, spec.hidden) if spec is not None else shape
    item = {"bfloat16": 2, "float32": 4}[dtype]
    size = int(np.prod(shape)) * item
    return FrameFeatures(index, Tensor(dtype, shape, bytes((index + at) % 256 for at in range(size))))


def test_features_pass_as_bytes() -> None:
    receiver = FeatureReceiver(HEADER, SPEC)
    receiver.take((features(0),))
    (first,) = all_of(receiver)
    receiver.take((features(1),))
    (second,) = all_of(receiver)
    receiver.take(())
    receiver.check_complete()
    assert all_of(receiver) == []
    assert [(f.first, f.encoded, f.pixels.shape) for f in (first, second)] == [(0, True, (1, 24)), (1, True, (1, 24))]
    assert first.pixels.tobytes() == features(0).features.data


def test_features_of_another_target_are_refused() -> None:
    with pytest.raises(MismatchError, match="--vision-model"):
        receiver_for(FeaturesHeader("theirs", 2), VideoLimits(), SPEC, decoders())
    with pytest.raises(MismatchError, match="looks at 2 frames"):
        receiver_for(FeaturesHeader("ours", 3), VideoLimits(), SPEC, decoders())
    with pytest.raises(MismatchError):
        receiver_for(FeaturesHeader("", 2), VideoLimits(), FrameSpec(8, 2), decoders())


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ((features(1),), "frame 1 came where 0 was due"),
        ((features(0), features(0)), "frame 0 came where 1 was due"),
        ((features(0), features(1), features(2)), "frame 2 came"),
        ((features(0, "float32"),), "must be bfloat16"),
        ((features(0, shape=(4, 3)),), "must be bfloat16"),
        ((VideoPacket(0, 0, 0, True, b"x"),), "packets follow"),
    ],
)
def test_features_that_arent_the_targets_are_refused(items: tuple[FrameFeatures, ...], said: str) -> None:
    with pytest.raises(MessageError, match=said):
        FeatureReceiver(HEADER, SPEC).take(items)


def test_features_in_a_video_and_streams_cut_short(clip: Clip) -> None:
    video = receiver_for(clip.header, VideoLimits(), FrameSpec(8, 2), decoders())
    with pytest.raises(MessageError, match="features follow"):
        video.take((features(0),))
    with pytest.raises(LinkError, match="after 0 of 12"):
        video.check_complete()
    receiver = FeatureReceiver(HEADER, SPEC)
    receiver.take((features(0),))
    with pytest.raises(LinkError, match="after 1 of 2"):
        receiver.check_complete()


def in_pieces(frame: FrameFeatures, size: int) -> list[FrameFeatures]:
    data = frame.features.data
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return [FrameFeatures(frame.index, replace(frame.features, data=part), len(data)) for part in parts]


def test_features_in_pieces_are_the_same_features() -> None:
    frames = [features(index, spec=WIDE) for index in range(WIDE.count)]
    whole, cut = FeatureReceiver(HEADER, WIDE), FeatureReceiver(HEADER, WIDE)
    whole.take(tuple(frames))
    for piece in [piece for frame in frames for piece in in_pieces(frame, LEAST_PIECE)]:
        cut.take((piece,))
    assert np.array_equal(all_of(whole)[0].pixels, all_of(cut)[0].pixels)
    cut.check_complete()


def test_pieces_of_features_that_dont_fit_are_refused() -> None:
    first, second = features(0, spec=WIDE), features(1, spec=WIDE)
    for wrong in (first, second, in_pieces(first, 1_000_000)[0]):
        receiver = FeatureReceiver(HEADER, WIDE)
        receiver.take((in_pieces(first, LEAST_PIECE)[0],))
        with pytest.raises(MessageError):
            receiver.take((wrong,))
    receiver = FeatureReceiver(HEADER, WIDE)
    receiver.take(tuple(in_pieces(first, LEAST_PIECE)[:-1]))
    with pytest.raises(LinkError):
        receiver.check_complete()


@pytest.mark.parametrize("size", [0, 1, LEAST_PIECE - 1])
def test_pieces_that_cost_more_than_they_carry_are_refused(size: int) -> None:
    frame = features(0, spec=WIDE)
    piece = FrameFeatures(0, replace(frame.features, data=frame.features.data[:size]), len(frame.features.data))
    with pytest.raises(MessageError, match="at least 512"):
        FeatureReceiver(HEADER, WIDE).take((piece,))
    with pytest.raises(MessageError, match="at least 512"):
        PacketJoiner(1 << 20).join((VideoPacket(0, 0, 0, True, bytes(size), continued=True),))


def test_a_frames_pieces_are_summed_once() -> None:
    """8 MB in the smallest pieces, 16,384 of them: each costs its own bytes, whatever came before."""
    count = 16_384
    frame = FrameFeatures(0, Tensor("uint8", (1, 1), bytes(LEAST_PIECE)), count * LEAST_PIECE)
    packet = VideoPacket(0, 0, 0, True, bytes(LEAST_PIECE), continued=True)
    features, packets = FeatureJoiner(), PacketJoiner(count * LEAST_PIECE)
    took = []
    for _ in range(2):
        began = time.thread_time()
        for _ in range(count // 2 - 1):
            assert features.join(frame) is None
            assert packets.join((packet,)) == ()
        took.append(time.thread_time() - began)
    assert took[1] < 3 * took[0] + 0.1
    assert features.join(frame) is None
    whole = features.join(frame)
    assert whole is not None and len(whole.features.data) == count * LEAST_PIECE
    assert packets.pending
    packets.join((packet,))
    (joined,) = packets.join((replace(packet, continued=False),))
    assert len(joined.data) == count * LEAST_PIECE and not packets.pending
    with pytest.raises(MessageError, match="at most"):
        packets.join((packet,) * (count + 1))


def test_packets_that_nobody_sees_after_the_last_picture_are_dropped(clip: Clip) -> None:
    groups = DecodedVideo(clip.header, children=decoders(), count=2, size=8)
    groups.take(clip.packets())
    while groups.work()[1]:
        pass
    for number in range(100):
        groups.take((VideoPacket(clip.header.frames + number, NOT_SHOWN, 0, False, b"x"),))
        assert groups.work() == (None, False)
    assert not groups._waiting
    groups.close()
