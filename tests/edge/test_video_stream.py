"""A video's messages: all bytes, in order, in pieces that the pacing wants, and never more under way than it allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.pieces import PacketJoiner
from common import codec
from common.errors import MessageError
from common.types import Tensor
from common.video import LEAST_PIECE, FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.pacing import FIRST_WINDOW, VideoInFlight
from edge.video_stream import PacedLink, paced_features, paced_messages

HEADER = VideoHeader("mjpeg", b"", 64, 48, 3, 1, 1000)


def packets_of(sizes: Sequence[int]) -> list[VideoPacket]:
    return [VideoPacket(n, n * 40, n * 40, n == 0, bytes([n % 256]) * size) for n, size in enumerate(sizes)]


async def stream_of(packets: Sequence[VideoPacket]) -> AsyncIterator[VideoPacket]:
    for packet in packets:
        yield packet


async def sent_as(link: PacedLink, packets: Sequence[VideoPacket], *, gather: bool) -> list[bytes]:
    """All messages; the cloud acknowledges each as it comes."""
    stream, found = VideoInFlight(), list[bytes]()
    async for data in paced_messages("session-1", HEADER, stream_of(packets), link, stream, gather=gather):
        found.append(data)
        assert link.pacer.in_flight <= max(link.pacer.window, len(data))
        link.acknowledged(stream, sum(map(len, found)))
    return found


@given(st.lists(st.integers(0, 60_000), max_size=6), st.booleans(), st.booleans())
def test_the_cloud_gets_every_packet_as_it_was(sizes: list[int], gather: bool, known: bool) -> None:
    async def run() -> None:
        link, packets = PacedLink(), packets_of(sizes)
        link.pacer.heard = known
        joiner, came = PacketJoiner(1 << 20), list[VideoPacket]()
        for number, data in enumerate(await sent_as(link, packets, gather=gather)):
            name, header, items = codec.decode_video_message(data)
            assert (name == "session-1") is (number == 0) is (header is not None)
            assert header is None or (isinstance(header, VideoHeader) and header.acknowledge)
            came += joiner.join(tuple(item for item in items if isinstance(item, VideoPacket)))
        assert came == packets and not joiner.pending

    asyncio.run(run())


async def test_a_short_clip_goes_out_as_one_message() -> None:
    link = PacedLink()
    assert len(await sent_as(link, packets_of([2_000, 300, 300]), gather=True)) == 1
    assert len(await sent_as(link, packets_of([2_000, 300, 300]), gather=False)) == 4


async def test_a_large_packet_goes_out_in_pieces_once_the_cloud_is_known_to_take_them() -> None:
    link = PacedLink()
    messages = await sent_as(link, packets_of([200_000]), gather=False)
    assert len(messages) > 10 and max(map(len, messages)) < FIRST_WINDOW + 100


async def test_a_cloud_that_doesnt_acknowledge_gets_whole_packets() -> None:
    times = iter([number * 0.7 for number in range(1_000)])
    link, stream = PacedLink(lambda: next(times)), VideoInFlight()
    messages = paced_messages("session-1", HEADER, stream_of(packets_of([100_000, 10])), link, stream, gather=False)
    found = [codec.decode_video_message(data)[2] for data in [data async for data in messages]]
    assert [len(item.data) for items in found for item in items if isinstance(item, VideoPacket)] == [100_000, 10]


async def test_who_waits_for_room_gets_it_when_another_stream_ends() -> None:
    link, first, second = PacedLink(), VideoInFlight(), VideoInFlight()
    await link.admit(first, FIRST_WINDOW)
    waiting = asyncio.create_task(link.admit(second, 100))
    await asyncio.sleep(0)
    assert not waiting.done()
    link.forget(first)
    await asyncio.wait_for(waiting, 1.0)
    assert link.pacer.in_flight == 100


def test_pieces_that_dont_fit_are_refused() -> None:
    piece = VideoPacket(0, 0, 0, True, bytes(LEAST_PIECE), continued=True)
    for other in (VideoPacket(1, 40, 40, False, b"d"), VideoPacket(0, 1, 0, True, b"d")):
        with pytest.raises(MessageError, match="before packet 0 was whole"):
            PacketJoiner(1_000).join((piece, other))
    with pytest.raises(MessageError, match="at most 1,000"):
        PacketJoiner(1_000).join((piece, piece))


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_features_go_out_in_pieces_as_there_is_room(acknowledges: bool) -> None:
    link, stream, received, most = PacedLink(), VideoInFlight(awaited=True), list[FrameFeatures](), 0
    link.pacer.heard, count = acknowledges, 3 if acknowledges else 1

    async def frames() -> AsyncIterator[FrameFeatures]:
        for index in range(count):
            yield FrameFeatures(index, Tensor("uint8", (100, 100), bytes([index]) * 10_000))

    header = FeaturesHeader("vision", 3)
    announced: list[FeaturesHeader] = []
    async for data in paced_features("session-0", header, frames(), link, stream):
        _, about, items = codec.decode_video_message(data)
        announced += [about] if isinstance(about, FeaturesHeader) else []
        received += [item for item in items if isinstance(item, FrameFeatures)]
        most = max(most, link.pacer.in_flight)
        if acknowledges:
            link.acknowledged(stream, stream.sent)
    assert announced == [FeaturesHeader("vision", 3, acknowledge=True)]
    joined = [b"".join(r.features.data for r in received if r.index == index) for index in range(count)]
    assert joined == [bytes([index]) * 10_000 for index in range(count)]
    assert (len(received) > count) == acknowledges and most <= link.pacer.window + 10_100
