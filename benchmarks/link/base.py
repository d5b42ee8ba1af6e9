"""What a backend of link emulation offers: two places to run processes in, and a way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchmarks.link.profile import LinkProfile


class EmulatedLink(Protocol):
    """A link that is up. The edge's and the cloud's processes run "on" their side of it.

    Attributes:
        backend: `tun`, `netem`, `proxy` or `loopback`; goes into every result.
        profile: what is emulated (None: nothing, on `loopback`).
        notes: what results must say about this backend (e.g. that congestion control isn't emulated).
    """

    backend: str
    profile: LinkProfile | None
    notes: tuple[str, ...]

    def edge_command(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` on the edge's side."""

    def cloud_command(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` on the cloud's side."""

    def cloud_listen(self) -> str:
        """What a server on the cloud's side should listen on: `HOST:0`."""

    def reach(self, address: str) -> str:
        """The address at which the edge's side reaches the cloud's server that listens on `address` (HOST:PORT)."""

    def close(self) -> None:
        """Take the link down: nothing of it is left."""


class OnThisHost:
    """Places of an `EmulatedLink` without a network of its own: processes run here, and find each other on loopback."""

    def edge_command(self, command: Sequence[str]) -> list[str]:
        """As it is."""
        return list(command)

    def cloud_command(self, command: Sequence[str]) -> list[str]:
        """As it is."""
        return list(command)

    def cloud_listen(self) -> str:
        """Any port of loopback."""
        return "127.0.0.1:0"

    def reach(self, address: str) -> str:
        """As it is."""
        return address

    def close(self) -> None:
        """Nothing to do."""
