"""Which hosts live addresses may name."""

from __future__ import annotations

import ipaddress

import pytest

from common.errors import SettingsError
from edge.config import EdgeSettings
from edge.live_hosts import Network, network_of, parse_hosts


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", Network.LOOPBACK),
        ("127.9.9.9", Network.LOOPBACK),
        ("::1", Network.LOOPBACK),
        ("::ffff:127.0.0.1", Network.LOOPBACK),
        ("64:ff9b::7f00:1", Network.LOOPBACK),
        ("2002:7f00:1::", Network.LOOPBACK),
        ("192.168.1.5", Network.PRIVATE),
        ("10.0.0.1", Network.PRIVATE),
        ("100.64.0.9", Network.PRIVATE),
        ("fd12::1", Network.PRIVATE),
        ("93.184.215.14", Network.PUBLIC),
        ("2606:2800::1", Network.PUBLIC),
        ("169.254.169.254", Network.LINK_LOCAL),
        ("::ffff:169.254.169.254", Network.LINK_LOCAL),
        ("fe80::1", Network.LINK_LOCAL),
        ("fd00:ec2::254", Network.LINK_LOCAL),
        ("100.100.100.200", Network.LINK_LOCAL),
        ("192.0.0.192", Network.LINK_LOCAL),
        ("0.0.0.0", None),
        ("::", None),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
        ("240.0.0.1", None),
    ],
)
def test_kinds_of_networks(address: str, network: Network | None) -> None:
    assert network_of(ipaddress.ip_address(address)) is network


def test_rules() -> None:
    rules = parse_hosts("private, 203.0.113.0/24, 2001:db8::7, Camera.example.")

    def allows(host: str, address: str) -> bool:
        return rules.allows(host, ipaddress.ip_address(address))

    assert allows("x", "10.1.2.3")
    assert allows("x", "203.0.113.9")
    assert allows("x", "::ffff:203.0.113.9")
    assert allows("x", "2001:db8::7")
    assert not allows("x", "2001:db8::8")
    assert not allows("x", "8.8.8.8")
    assert not allows("x", "127.0.0.1")
    assert allows("camera.EXAMPLE", "127.0.0.1")
    assert not allows("other.camera.example", "127.0.0.1")
    assert not parse_hosts("none").allows("x", ipaddress.ip_address("8.8.8.8"))


@pytest.mark.parametrize("text", ["http://a", "10.0.0.0/99", "a b", "*"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="live_hosts"):
        EdgeSettings(live_hosts=text)


def test_the_default_is_what_an_asker_reaches_itself() -> None:
    near = EdgeSettings().host_rules
    far = EdgeSettings(listen="0.0.0.0:50052", insecure=True).host_rules
    local, metadata = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("169.254.169.254")
    assert near.allows("x", local)
    assert not near.allows("x", metadata)
    assert not far.allows("x", local)
    assert not far.allows("x", ipaddress.ip_address("8.8.8.8"))
    assert EdgeSettings(listen="0.0.0.0:50052", insecure=True, live_hosts="private").host_rules.kinds
