"""`tc netem`: the kernel's own emulator, where the kernel has it (CONFIG_NET_SCH_NETEM). The commands, and a probe."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.link.packets import Direction
from benchmarks.link.profile import PACKET_BYTES, LinkProfile
from common.errors import SettingsError

NOTES: tuple[str, ...] = (
    "netem: its limit counts packets under way as well as those that wait; jitter can reorder packets",
)


def netem_arguments(profile: LinkProfile, direction: Direction) -> list[str]:
    """The words after `tc qdisc add dev DEVICE root` that emulate one direction, on the device that sends it."""
    mbps = profile.uplink_mbps if direction is Direction.UP else profile.downlink_mbps
    delay_ms = profile.rtt_ms / 2
    under_way = delay_ms * mbps * 125.0
    limit = math.ceil((profile.queue_bytes(mbps) + under_way) / PACKET_BYTES)
    words = ["netem", "limit", str(limit), "delay", f"{delay_ms * 1e3:.0f}us"]
    if profile.jitter_ms:
        words += [f"{profile.jitter_ms / 2 * 1e3:.0f}us"]
    if profile.loss_pct:
        words += ["loss", f"{profile.loss_pct:.6g}%"]
    return [*words, "rate", f"{mbps * 1e6:.0f}bit"]


def unsupported(profile: LinkProfile) -> str | None:
    """What netem can't emulate of the profile, and what to do; None if it can."""
    if profile.uplink_trace or profile.downlink_trace:
        return "netem can't replay a trace: take --backend tun"
    if profile.outages:
        return "netem has no outages: take --backend tun"
    return None


def netem_missing(profile: LinkProfile) -> str | None:
    """Why netem can't emulate `profile` here, and what to do; None if nothing is known to be in its way."""
    if os.geteuid() != 0:
        return "netem needs root (network namespaces): run with sudo, or take --backend proxy"
    tools = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if tools:
        return f"netem needs the command {' and '.join(tools)}: install iproute2, or take --backend tun"
    if (reason := unsupported(profile)) is not None:
        return reason
    if not kernel_has_netem():
        return (
            "this machine's kernel has no netem (CONFIG_NET_SCH_NETEM; perhaps: modprobe sch_netem): take --backend "
            "tun, which needs no module"
        )
    return None


def kernel_has_netem() -> bool:
    """Whether a netem queue can be made, tried on the loopback of a namespace that is gone at once."""
    program = (
        "import ctypes, os, sys\n"
        "sys.exit(1) if ctypes.CDLL(None).unshare(0x40000000) else os.execvp(sys.argv[1], sys.argv[1:])"
    )
    command = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    tried = subprocess.run([sys.executable, "-I", "-c", program, *command], capture_output=True, check=False)
    return tried.returncode == 0


def run_tool(command: Sequence[str]) -> str:
    """Run `ip` or `tc`; returns what it printed.

    Raises:
        SettingsError: it isn't there, or it failed; with its own words.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SettingsError(f"{command[0]} can't be run ({error.strerror}): install iproute2") from error
    if done.returncode != 0:
        raise SettingsError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
