"""The emulator's process: two namespaces, a TUN device in each, and the packets between them.

Reads a profile as one line of JSON, answers `{"namespaces": [edge, cloud], "notes": [...]}` or `{"error": ...}`, then a
line of statistics for each further line: `{"do": "statistics"}`, or `{"do": "cut", "seconds": S}`, for which every
packet is dropped from then on. When its input ends (its parent closed it, or is gone) it kills what still
runs in the two namespaces and ends; with its descriptors go devices and namespaces.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from benchmarks.link.child_side import read_line, say, stay_behind
from benchmarks.link.kernel import (
    be_punctual,
    configure_interface,
    enter_network_namespace,
    network_namespace,
    new_network_namespace,
    open_tun,
)
from benchmarks.link.namespaces import (
    CLOUD_ADDRESS,
    EDGE_ADDRESS,
    kill_inhabitants,
    prepare_namespace,
)
from benchmarks.link.packets import Direction, make_queue
from benchmarks.link.profile import LinkProfile
from benchmarks.link.pump import Way, pump
from common.errors import EventSpecError


def _make_side(device: str, address: str) -> tuple[int, int, list[str]]:
    """A namespace and a TUN device in it: descriptors of both, and what could not be set."""
    namespace = new_network_namespace()
    notes = prepare_namespace()
    tun = open_tun(device)
    configure_interface(device, address)
    return namespace, tun, notes


def _statistics(ways: dict[str, Way]) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(usage.ru_utime + usage.ru_stime, 3)
    return {"cpu_s": cpu, **{name: way.statistics() for name, way in ways.items()}}


def main() -> None:
    """Run until standard input ends."""
    stay_behind()
    try:
        home = network_namespace()
        profile = LinkProfile.from_dict(json.loads(read_line()))
        queues = {direction: make_queue(profile, direction) for direction in Direction}
        edge_space, edge, notes = _make_side("edge", EDGE_ADDRESS)
        cloud_space, cloud, _ = _make_side("cloud", CLOUD_ADDRESS)
        enter_network_namespace(home)
    except (EventSpecError, OSError, ValueError) as error:
        say({"error": str(error)})
        sys.exit(1)
    be_punctual()
    ways = {
        "up": Way(edge, cloud, queues[Direction.UP]),
        "down": Way(cloud, edge, queues[Direction.DOWN]),
    }

    def on_control() -> bool:
        line = read_line()
        if not line:
            return False
        order = json.loads(line)
        if order["do"] == "cut":
            for way in ways.values():
                way.cut_until = time.monotonic() + order["seconds"]
        say(_statistics(ways))
        return True

    say({"namespaces": [edge_space, cloud_space], "notes": notes})
    try:
        pump(list(ways.values()), 0, on_control)
    finally:
        kill_inhabitants([edge_space, cloud_space], home)


if __name__ == "__main__":
    main()
