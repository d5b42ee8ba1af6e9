"""The link as a TCP relay in user space, for machines without root. What it can't emulate is in `NOTES`."""

from __future__ import annotations

from typing import Any

from benchmarks.link.base import OnThisHost
from benchmarks.link.child import HelperProcess
from benchmarks.link.profile import LinkProfile

NOTES: tuple[str, ...] = (
    "congestion control is not emulated: a relay delays and paces bytes, so connections have no slow start and don't "
    "slow down after a loss; a lost packet is a stall of one round trip",
)


class ProxyLink(OnThisHost):
    """See `EmulatedLink` for what it offers. Both sides are on this machine's loopback; `reach` opens a relay.

    Raises:
        SettingsError: the profile's trace can't be read.
        LinkError: the relay's process failed.
    """

    backend = "proxy"
    notes: tuple[str, ...] = NOTES

    def __init__(self, profile: LinkProfile) -> None:
        self.profile: LinkProfile | None = profile
        self._process = HelperProcess("benchmarks.link.proxy_process", message=profile.as_dict())
        self._relays: dict[str, str] = {}

    def reach(self, address: str) -> str:
        if address not in self._relays:
            self._relays[address] = self._process.request({"do": "relay", "to": address})["address"]
        return self._relays[address]

    def statistics(self) -> dict[str, Any]:
        """What the relay counted so far, by direction (`up`, `down`)."""
        return self._process.request({"do": "statistics"})

    def cut(self, seconds: float) -> None:
        """Deliver nothing for so long, from now on; a relay keeps what comes, and delivers it afterwards."""
        self._process.request({"do": "cut", "seconds": seconds})

    def close(self) -> None:
        self._process.close()
