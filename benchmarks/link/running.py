"""Runs a user's command on the edge's side of a link: `eventspec-bench link run`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.link.base import EmulatedLink
from benchmarks.link.child import HelperProcess
from benchmarks.link.kernel import die_with_parent
from benchmarks.link.namespaced import NamespacedLink
from common.errors import SettingsError

_PATIENCE_S = 8.0
_INTERRUPTS = 3


def check_forward(address: str) -> str:
    """A cloud's address, HOST:PORT.

    Raises:
        SettingsError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"--forward takes HOST:PORT, not {address!r}")
    return address


@contextmanager
def forwarded(link: EmulatedLink, addresses: Sequence[str]) -> Iterator[list[str]]:
    """Where the edge's side reaches each address of this machine's network, over the link.

    Raises:
        SettingsError: two have the same port, or the far side can't listen.
    """
    if not isinstance(link, NamespacedLink):
        yield [link.reach(address) for address in addresses]
        return
    ports = [address.rpartition(":")[2] for address in addresses]
    if len(set(ports)) < len(ports):
        raise SettingsError("two addresses to forward to have the same port")
    host = link.cloud_listen().rpartition(":")[0]
    relay = HelperProcess("benchmarks.link.forward_process", [link.cloud_path(), host, *addresses])
    try:
        yield [f"{host}:{port}" for port in ports]
    finally:
        relay.close()


def edge_environment(clouds: Sequence[str]) -> dict[str, str]:
    """What a command behind the link is told: the edge daemon reads the last of these as its setting `cloud`."""
    return {
        "EVENTSPEC_LINK_CLOUD": clouds[0],
        "EVENTSPEC_LINK_HOST": clouds[0].rpartition(":")[0],
        "EVENTSPEC_EDGE_CLOUD": clouds[0],
    }


def run_behind(link: EmulatedLink, command: Sequence[str], clouds: Sequence[str]) -> int:
    """Run a command on the edge's side until it ends; `{cloud}` in its words is the first cloud's address.

    Ctrl-C goes to the command; the third one kills it. Returns its status, 128 and the signal's number if one ended it.
    """
    words = [word.replace("{cloud}", clouds[0]) for word in command]
    environment: Mapping[str, str] = {**os.environ, **edge_environment(clouds)}
    process = subprocess.Popen(link.edge_command(words), env=environment, preexec_fn=die_with_parent)
    try:
        status = _wait(process)
    finally:
        _end(process)
    return status if status >= 0 else 128 - status


def _wait(process: subprocess.Popen[bytes]) -> int:
    interrupts = 0
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts == _INTERRUPTS:
                process.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
