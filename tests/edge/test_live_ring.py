"""What an edge keeps of a live stream: always enough to give the window again, never more than some windows."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from common.live import LiveWindow
from common.video import VideoPacket
from edge.live_ring import LiveRing, keyframe_due

WINDOWS = st.builds(LiveWindow, stride_us=st.just(100_000), cells=st.integers(1, 9))
GAPS = st.lists(st.integers(1, 12), min_size=1, max_size=150)


def filled(window: LiveWindow, gaps: list[int], *, all_intra: bool = False) -> tuple[LiveRing, list[VideoPacket]]:
    """A ring after pictures in cells that far apart, encoded as it wants it; and all packets."""
    ring, packets, cell = LiveRing(window), list[VideoPacket](), 0
    for number, gap in enumerate(gaps):
        cell += gap
        time_us = cell * window.stride_us + 50_000
        packets.append(VideoPacket(number, time_us, time_us, keyframe_due(number, window) or all_intra, b"x"))
        ring.add(packets[-1])
    return ring, packets


@settings(deadline=None)
@given(WINDOWS, GAPS, st.booleans())
def test_the_window_can_always_be_decoded_and_memory_is_bounded(
    window: LiveWindow, gaps: list[int], all_intra: bool
) -> None:
    ring, packets = filled(window, gaps, all_intra=all_intra)
    assert len(ring) <= 6 * window.cells
    chosen = ring.looked_at(8)
    assert chosen[-1].number == packets[-1].index
    covering = ring.covering([name.number for name in chosen])
    assert covering[0].keyframe
    assert [p.index for p in covering] == list(range(covering[0].index, covering[-1].index + 1))
    assert {name.number for name in chosen} <= {p.index for p in covering}
    older = window.begin(packets[-1].pts) - window.length_us  # a cloud may be behind by a window
    for packet in packets:
        assert packet.pts < older or ring.covering([packet.index])


@settings(deadline=None)
@given(WINDOWS, GAPS, st.lists(st.integers(0, 30), max_size=150))
def test_a_sender_gets_what_a_decoder_can_use_and_never_falls_back_far(
    window: LiveWindow, gaps: list[int], polls: list[int]
) -> None:
    ring, sent, cell = LiveRing(window), list[VideoPacket](), 0
    polls = [*polls, *[1] * len(gaps)]
    for number, gap in enumerate(gaps):
        cell += gap
        time_us = cell * window.stride_us
        ring.add(VideoPacket(number, time_us, time_us, keyframe_due(number, window), b"x"))
        for _ in range(polls[number]):
            packet = ring.following(sent[-1].index if sent else None)
            if packet is not None:
                sent.append(packet)
    while (packet := ring.following(sent[-1].index if sent else None)) is not None:
        sent.append(packet)
    assert sent[0].keyframe and sent[-1].index == len(gaps) - 1
    for before, after in itertools.pairwise(sent):
        assert after.index == before.index + 1 or (after.keyframe and after.index > before.index)


def test_what_is_gone_cant_be_given() -> None:
    ring, _ = filled(LiveWindow(100_000, 4), [1] * 100)
    assert ring.covering([3]) == () and ring.covering([]) == () and ring.covering([98, 100]) == ()
    assert [p.index for p in ring.covering([99])][-1] == 99


def test_a_sender_that_fell_back_goes_on_at_the_newest_keyframe() -> None:
    ring, packets = filled(LiveWindow(100_000, 4), [1] * 40, all_intra=True)
    assert ring.following(39) is None
    assert ring.following(37) == packets[38]
    assert ring.following(20) == packets[39]


def test_nothing_follows_where_nothing_is() -> None:
    ring = LiveRing(LiveWindow(100_000, 4))
    assert ring.following(None) is None and ring.newest is None and ring.looked_at(8) == ()
