"""The few system calls that Python 3.11 has no function for: namespaces, devices, a process's end, its timers."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import SettingsError

MTU = 1500
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8922, 0x8943
_IFF_UP = 1
_TX_QUEUE_PACKETS = 4000  # between a burst of the kernel's and the emulator's next read

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing}: {os.strerror(number)}")


def new_network_namespace() -> int:
    """Put this thread into a network namespace of its own; returns a descriptor that holds the namespace."""
    _check(_libc.unshare(_CLONE_NEWNET), "unshare(CLONE_NEWNET)")
    return network_namespace()


def network_namespace() -> int:
    """A descriptor of this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter_network_namespace(descriptor: int) -> None:
    """Put this thread into the namespace."""
    _check(_libc.setns(descriptor, _CLONE_NEWNET), "setns")


@contextmanager
def within(namespace: int) -> Iterator[None]:
    """This thread is in the namespace for a while. Sockets opened meanwhile stay there."""
    home = network_namespace()
    try:
        enter_network_namespace(namespace)
        yield
    finally:
        enter_network_namespace(home)
        os.close(home)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def be_punctual() -> None:
    """Timers without slack, and ahead of what else runs here, if the user may have that; new threads inherit it."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def open_tun(name: str) -> int:
    """A TUN device in this thread's network namespace; it is gone when the descriptor is closed.

    Raises:
        SettingsError: the device node is missing, or may not be used.
    """
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"/dev/net/tun can't be opened ({error.strerror}): load the kernel module (modprobe tun), or give the "
            "container the device (--device /dev/net/tun)"
        ) from error
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        raise SettingsError(
            f"the TUN device {name} can't be made ({error.strerror}): run as root, or with the capability NET_ADMIN"
        ) from error
    return descriptor


def configure_interface(name: str, address: str | None = None, prefix: int = 24) -> None:
    """Give an interface of this thread's namespace an address (if any), full-size packets, a long queue; take it up."""
    label = name.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def set_value(request: int, value: bytes) -> bytes:
            return fcntl.ioctl(control, request, struct.pack("16s24s", label, value))

        if name != "lo":
            set_value(_SIOCSIFMTU, struct.pack("i", MTU))
            set_value(_SIOCSIFTXQLEN, struct.pack("i", _TX_QUEUE_PACKETS))
        if address is not None:
            mask = socket.inet_ntoa(struct.pack("!I", (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF))
            set_value(_SIOCSIFADDR, _sockaddr(address))
            set_value(_SIOCSIFNETMASK, _sockaddr(mask))
        (flags,) = struct.unpack_from("H", set_value(_SIOCGIFFLAGS, b""), 16)
        set_value(_SIOCSIFFLAGS, struct.pack("H", flags | _IFF_UP))


def _sockaddr(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def set_sysctl(path: str, value: str) -> bool:
    """Set a setting of this thread's namespace, e.g. `net/ipv4/tcp_rmem`; False where it can't be set."""
    try:
        Path("/proc/sys", path).write_text(value, encoding="ascii")
    except OSError:
        return False
    return True
