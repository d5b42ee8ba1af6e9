"""Opens a link: the best backend that this machine and user can have, or the one that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.link.base import EmulatedLink, OnThisHost
from benchmarks.link.profile import LinkProfile
from common.errors import SettingsError

BACKENDS = ("tun", "netem", "proxy", "loopback")


class LoopbackLink(OnThisHost):
    """No link: both sides on this machine's loopback."""

    backend = "loopback"
    profile: LinkProfile | None = None
    notes: tuple[str, ...] = ("nothing is emulated: both sides are on this machine's loopback",)


def tun_missing() -> str | None:
    """Why `tun` can't work here, and what to do; None if nothing is known to be in its way."""
    if os.geteuid() != 0:
        return "tun needs root (network namespaces): run with sudo, or take --backend proxy"
    node = Path("/dev/net/tun")
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return (
            f"tun needs {node} ({error.strerror}): load the kernel module (modprobe tun), give the container the "
            "device (--device /dev/net/tun), or take --backend proxy"
        )
    return None


def missing(backend: str, profile: LinkProfile) -> str | None:
    """Why `backend` can't emulate `profile` here, and what to do; None if it should."""
    if backend == "tun":
        return tun_missing()
    if backend == "netem":
        from benchmarks.link.netem import netem_missing

        return netem_missing(profile)
    return None


def choose_backend(profile: LinkProfile | None) -> str:
    """What `auto` means: `loopback` without a profile, else the first of tun, netem and proxy that works here."""
    if profile is None:
        return "loopback"
    return next(backend for backend in ("tun", "netem", "proxy") if missing(backend, profile) is None)


def start_link(profile: LinkProfile | None, backend: str = "auto") -> EmulatedLink:
    """A link that is up; `close` it. See `open_link`."""
    if backend == "auto":
        backend = choose_backend(profile)
    if backend not in BACKENDS:
        raise SettingsError(f"there is no link backend {backend!r}; there are {', '.join(BACKENDS)} and auto")
    if backend == "loopback":
        return LoopbackLink()
    if profile is None:
        raise SettingsError(f"the backend {backend} needs a link to emulate: give --profile, or --rtt and --uplink")
    if (reason := missing(backend, profile)) is not None:
        raise SettingsError(reason)
    if backend == "proxy":
        from benchmarks.link.proxy import ProxyLink

        return ProxyLink(profile)
    from benchmarks.link.namespaced import NamespacedLink

    return NamespacedLink(backend, f"benchmarks.link.{backend}_process", profile)


@contextmanager
def open_link(profile: LinkProfile | None, backend: str = "auto") -> Iterator[EmulatedLink]:
    """A link for the time of the context; nothing of it is left afterwards.

    Args:
        profile: what to emulate; None: nothing, which only `loopback` can.
        backend: `tun`, `netem`, `proxy`, `loopback`, or `auto` for the best that works here.

    Raises:
        SettingsError: the backend can't be had here, or can't emulate the profile; says what to do.
        LinkError: the emulator failed.
    """
    link = start_link(profile, backend)
    try:
        yield link
    finally:
        with suppress(KeyboardInterrupt):
            link.close()
