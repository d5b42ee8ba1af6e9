"""`netem`: the commands, what it can't do, and the two namespaces that it joins."""

from __future__ import annotations

import os
import shutil
import threading

import pytest

from benchmarks.link import netem
from benchmarks.link.kernel import new_network_namespace, within
from benchmarks.link.netem_process import join_sides
from benchmarks.link.opening import start_link, tun_missing
from benchmarks.link.packets import Direction
from benchmarks.link.profile import LinkProfile, Outage
from common.errors import SettingsError

PROFILE = LinkProfile("x", rtt_ms=100.0, uplink_mbps=10.0, downlink_mbps=30.0, jitter_ms=30.0, loss_pct=0.2)
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or tun_missing() is not None or shutil.which("tc") is None, reason="needs root and iproute2"
)


def test_the_words_for_tc() -> None:
    up = netem.netem_arguments(PROFILE, Direction.UP)
    assert up == [*["netem", "limit", "125", "delay", "50000us", "15000us", "loss", "0.2%", "rate", "10000000bit"]]
    down = netem.netem_arguments(LinkProfile("y", 1.0, 10.0, 0.5), Direction.DOWN)
    assert down == [*["netem", "limit", "65", "delay", "500us", "rate", "500000bit"]]


def test_what_it_cannot_do() -> None:
    outage = LinkProfile("x", 5, 1, 1, outages=(Outage(1, 1),))
    assert "no outages" in str(netem.unsupported(outage))
    traced = LinkProfile("x", 5, 1, 1, uplink_trace="file")
    assert "trace" in str(netem.unsupported(traced))
    assert netem.unsupported(PROFILE) is None


@needs_root
def test_it_is_probed_for() -> None:
    if netem.kernel_has_netem():
        start_link(PROFILE, "netem").close()
    else:
        with pytest.raises(SettingsError, match="CONFIG_NET_SCH_NETEM"):
            start_link(PROFILE, "netem")


@needs_root
def test_two_namespaces_are_joined_with_a_queue_on_each_end() -> None:
    def check() -> None:
        edge, cloud = new_network_namespace(), new_network_namespace()
        queue = ["tbf", "rate", "1mbit", "burst", "5kb", "latency", "50ms"]
        join_sides(edge, cloud, queue, queue)
        import socket

        with within(cloud):
            server = socket.create_server(("10.79.0.2", 0))
        with within(edge):
            client = socket.create_connection(server.getsockname(), timeout=5)
        client.sendall(b"across")
        received.append(server.accept()[0].recv(9))

    received: list[bytes] = []
    worker = threading.Thread(target=check)  # a thread of its own, as it changes its namespace
    worker.start()
    worker.join()
    assert received == [b"across"]
