"""Which hosts a live address may name. Pure: names and addresses in, yes or no out.

Askers choose addresses, the daemon opens them: without rules it would open for them what they can't reach themselves,
such as services of its own machine or a cloud's metadata.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum

from common.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "100.64.0.0/10")  # the last: shared, VPNs
)
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)


class Network(str, Enum):
    """Kinds of networks by their addresses. What is of none (reserved, unspecified, multicast) is never opened."""

    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"
    LINK_LOCAL = "link-local"  # with the addresses of clouds' metadata services


def network_of(address: Address) -> Network | None:
    """Which kind an address is of; IPv4 addresses within IPv6 ones are looked at."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return network_of(inner)
    if address in _METADATA or address.is_link_local:
        return Network.LINK_LOCAL
    if address.is_loopback:
        return Network.LOOPBACK
    if any(address.version == network.version and address in network for network in _PRIVATE):
        return Network.PRIVATE
    return Network.PUBLIC if address.is_global and not address.is_multicast else None


@dataclass(frozen=True, slots=True)
class HostRules:
    """What may be opened: kinds of networks, networks, and hosts by name, whatever addresses they have.

    `redirects`: an HTTP server may send on to the same host, and to hosts that are named here.
    """

    kinds: frozenset[Network] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    names: frozenset[str] = frozenset()
    redirects: bool = False

    def allows(self, host: str, address: Address) -> bool:
        """Whether this address of this host may be opened."""
        plain = address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
        return (
            self.is_named(host)
            or network_of(address) in self.kinds
            or any(plain.version == network.version and plain in network for network in self.networks)
        )

    def is_named(self, host: str) -> bool:
        """Whether a host is allowed by its name."""
        return host.lower().rstrip(".") in self.names


def parse_hosts(text: str, *, redirects: bool = False) -> HostRules:
    """Rules from the setting: `private`, `public`, `loopback`, `link-local`, `none`, addresses, networks, host names.

    Raises:
        SettingsError: an entry is none of them.
    """
    kinds, networks, names = set[Network](), [], set[str]()
    for entry in (part.strip().lower() for part in text.split(",")):
        if entry in ("", "none"):
            continue
        if entry in set(Network):
            kinds.add(Network(entry))
            continue
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if not entry.replace(".", "").replace("-", "").replace("_", "").isalnum() or "/" in entry:
                raise SettingsError(
                    f"live_hosts: {entry!r} is no host; say private, public, loopback, link-local, none, an address, a "
                    "network such as 10.1.0.0/16, or a host name"
                ) from None
            names.add(entry.rstrip("."))
    return HostRules(frozenset(kinds), tuple(networks), frozenset(names), redirects)


def default_hosts(*, local: bool) -> str:
    """What is allowed where the setting is empty: what an asker of this machine can reach itself; else none."""
    return "loopback,private,public" if local else "none"
