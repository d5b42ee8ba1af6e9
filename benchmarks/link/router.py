"""A router between two networks whose forwarded packets cross an emulated link: `python -m benchmarks.link.router`.

Made for a container on both networks (`docs/link.md`). `tun`: packets that come in from one network are routed into a
TUN device by a rule for their interface; the emulator reads them there, writes them back when they are due, and the
main table then routes them out. `netem`: a queueing discipline on each interface. Both are taken down at the end.
"""

from __future__ import annotations

import ipaddress
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.link import options
from benchmarks.link.kernel import be_punctual, configure_interface, open_tun
from benchmarks.link.netem import netem_arguments, run_tool, unsupported
from benchmarks.link.packets import Direction, make_queue
from benchmarks.link.profile import LinkProfile
from benchmarks.link.pump import Way, pump
from common.cli import make_group, run_app
from common.errors import SettingsError

_TABLES = {Direction.UP: 10101, Direction.DOWN: 10102}  # also the rules' preference
_DEVICES = {Direction.UP: "ta", Direction.DOWN: "tb"}

app = make_group("Routes between an edge's network and a cloud's, over an emulated link.")


def find_interface(where: str) -> str:
    """The interface of that name, or the one with an address in that network (CIDR).

    Raises:
        SettingsError: there is none.
    """
    if "/" not in where:
        if where in (name for _, name in socket.if_nameindex()):
            return where
        raise SettingsError(f"there is no interface {where!r}; name one, or its network (e.g. 172.28.1.0/24)")
    try:
        network = ipaddress.ip_network(where, strict=False)
    except ValueError as error:
        raise SettingsError(f"{where!r} is no network: {error}") from error
    for interface in json.loads(run_tool(["ip", "-j", "addr"])):
        for address in interface["addr_info"]:
            if ipaddress.ip_address(address["local"]) in network:
                return str(interface["ifname"])
    raise SettingsError(f"no interface has an address in {where}")


def check_forwarding() -> None:
    """Whether this machine forwards, and doesn't filter what comes back another way.

    Raises:
        SettingsError: it doesn't; says which settings to make.
    """
    wanted = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"}
    wrong = [path for path, value in wanted.items() if Path("/proc/sys", path).read_text().strip() != value]
    if wrong:
        needed = ", ".join(f"{path.replace('/', '.')}={wanted[path]}" for path in wrong)
        raise SettingsError(f"set {needed} (compose: sysctls of the service; docker run: --sysctl)")


def _rules(interface: str, direction: Direction) -> tuple[list[str], list[str]]:
    table, device = str(_TABLES[direction]), _DEVICES[direction]
    rule = ["iif", interface, "table", table, "pref", table]
    return rule, ["default", "dev", device, "table", table]


def _remove(command: list[str]) -> None:
    """Until there is no more of it: a router that was killed may have left one."""
    while subprocess.run(command, capture_output=True, check=False).returncode == 0:
        continue


@contextmanager
def _policy_routes(interfaces: dict[Direction, str]) -> Iterator[None]:
    try:
        for direction, interface in interfaces.items():
            rule, route = _rules(interface, direction)
            _remove(["ip", "rule", "del", "pref", str(_TABLES[direction])])
            run_tool(["ip", "route", "replace", *route])
            run_tool(["ip", "rule", "add", *rule])
        yield
    finally:
        for direction in interfaces:
            _remove(["ip", "rule", "del", "pref", str(_TABLES[direction])])


def _route_over_tun(profile: LinkProfile, interfaces: dict[Direction, str], ready: Path | None) -> None:
    ways = []
    for direction in Direction:
        descriptor = open_tun(_DEVICES[direction])
        configure_interface(_DEVICES[direction])
        ways.append(Way(descriptor, descriptor, make_queue(profile, direction)))
    with _policy_routes(interfaces):
        _announce("tun", profile, interfaces, ready)
        be_punctual()
        try:
            pump(ways, None, lambda: True)
        finally:
            counted = {direction.value: way.statistics() for direction, way in zip(Direction, ways, strict=True)}
            typer.echo(json.dumps(counted))


def _route_over_netem(profile: LinkProfile, interfaces: dict[Direction, str], ready: Path | None) -> None:
    with _netem(profile, interfaces):
        _announce("netem", profile, interfaces, ready)
        while True:
            signal.pause()


@contextmanager
def _netem(profile: LinkProfile, interfaces: dict[Direction, str]) -> Iterator[None]:
    if (reason := unsupported(profile)) is not None:
        raise SettingsError(reason)
    leaving = {Direction.UP: interfaces[Direction.DOWN], Direction.DOWN: interfaces[Direction.UP]}
    try:
        for direction, interface in leaving.items():
            run_tool(["tc", "qdisc", "replace", "dev", interface, "root", *netem_arguments(profile, direction)])
        yield
    finally:
        for interface in leaving.values():
            subprocess.run(["tc", "qdisc", "del", "dev", interface, "root"], capture_output=True, check=False)


def _netem_works(profile: LinkProfile, interfaces: dict[Direction, str]) -> bool:
    try:
        with _netem(profile, interfaces):
            return True
    except SettingsError:
        return False


def _announce(backend: str, profile: LinkProfile, interfaces: dict[Direction, str], ready: Path | None) -> None:
    edge, cloud = interfaces[Direction.UP], interfaces[Direction.DOWN]
    typer.echo(f"router ready: edge's network on {edge}, cloud's on {cloud}, {backend}, profile {profile.name}")
    sys.stdout.flush()
    if ready is not None:
        ready.write_text(json.dumps({"backend": backend, "profile": profile.as_dict()}) + "\n", encoding="utf-8")


@app.command()
def route(
    edge: Annotated[str, typer.Option(metavar="WHERE", help="The edge's side: an interface, or its network (CIDR).")],
    cloud: Annotated[str, typer.Option(metavar="WHERE", help="The cloud's side: an interface, or its network (CIDR).")],
    profile: options.ProfileOption = None,
    rtt: options.RttOption = None,
    uplink: options.UplinkOption = None,
    downlink: options.DownlinkOption = None,
    jitter: options.JitterOption = None,
    loss: options.LossOption = None,
    queue: options.QueueOption = None,
    trace: options.TraceOption = None,
    downlink_trace: options.DownlinkTraceOption = None,
    backend: options.BackendOption = options.Backend.AUTO,
    ready_file: Annotated[Path | None, typer.Option(help="Written (JSON) when packets cross the link.")] = None,
) -> None:
    """Route until a signal comes. `auto` takes netem where the kernel has it and it can do the profile, else tun."""
    emulated = options.link_profile(
        profile,
        rtt=rtt,
        uplink=uplink,
        downlink=downlink,
        jitter=jitter,
        loss=loss,
        queue=queue,
        trace=trace,
        downlink_trace=downlink_trace,
    )
    if emulated is None:
        raise SettingsError("say what to emulate: --profile, or --rtt and --uplink")
    interfaces = {Direction.UP: find_interface(edge), Direction.DOWN: find_interface(cloud)}
    if interfaces[Direction.UP] == interfaces[Direction.DOWN]:
        raise SettingsError(f"both sides are on {interfaces[Direction.UP]}: a router needs two interfaces")
    check_forwarding()
    if backend is options.Backend.AUTO:
        backend = options.Backend.NETEM if _netem_works(emulated, interfaces) else options.Backend.TUN
    if backend is options.Backend.TUN:
        _route_over_tun(emulated, interfaces, ready_file)
    elif backend is options.Backend.NETEM:
        _route_over_netem(emulated, interfaces, ready_file)
    else:
        raise SettingsError(f"a router can't use {backend}; it can use tun and netem")


def main() -> None:
    """Entry point; SIGTERM and Ctrl-C take rules and devices down."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    run_app(app, "router")


if __name__ == "__main__":
    main()
