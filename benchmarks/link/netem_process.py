"""The process that holds two namespaces joined by a veth pair, netem on both ends. Protocol as `tun_process.py`."""

from __future__ import annotations

import json
import os
import sys

from benchmarks.link.child_side import read_line, say, stay_behind
from benchmarks.link.kernel import (
    configure_interface,
    enter_network_namespace,
    network_namespace,
    new_network_namespace,
    within,
)
from benchmarks.link.namespaces import CLOUD_ADDRESS, EDGE_ADDRESS, kill_inhabitants, prepare_namespace
from benchmarks.link.netem import NOTES, netem_arguments, run_tool
from benchmarks.link.packets import Direction
from benchmarks.link.profile import LinkProfile
from common.errors import EventSpecError


def join_sides(edge: int, cloud: int, uplink: list[str], downlink: list[str]) -> list[str]:
    """A veth pair between the two namespaces, with a queueing discipline on each end; returns notes.

    Raises:
        SettingsError: a tool or the kernel can't do it.
        OSError: a system call failed.
    """
    me = f"/proc/{os.getpid()}/fd"
    with within(edge):
        run_tool(["ip", "link", "add", "edge", "type", "veth", "peer", "name", "cloud", "netns", f"{me}/{cloud}"])
    for space, device, address, queue in (
        (edge, "edge", EDGE_ADDRESS, uplink),
        (cloud, "cloud", CLOUD_ADDRESS, downlink),
    ):
        with within(space):
            notes = prepare_namespace()
            configure_interface(device, address)
            run_tool(["tc", "qdisc", "add", "dev", device, "root", *queue])
    return notes


def main() -> None:
    """Run until standard input ends."""
    stay_behind()
    try:
        home = network_namespace()
        profile = LinkProfile.from_dict(json.loads(read_line()))
        edge, cloud = spaces = [new_network_namespace(), new_network_namespace()]
        enter_network_namespace(home)
        uplink, downlink = (netem_arguments(profile, direction) for direction in Direction)
        notes = join_sides(edge, cloud, uplink, downlink)
    except (EventSpecError, OSError, ValueError) as error:
        say({"error": str(error)})
        sys.exit(1)
    say({"namespaces": spaces, "notes": [*NOTES, *notes]})
    try:
        while read_line():
            say({})
    finally:
        kill_inhabitants(spaces, home)


if __name__ == "__main__":
    main()
