"""What a broken daemon could do: runs inside its container as its user, with the standard library alone.

Tries to write where nothing may be written, to reach other processes, the host and its kernel, and to take more than
its share. Prints one JSON object: by attempt, what stopped it (an error's name), or "DONE" if nothing did. Leaves
nothing.
"""

import ctypes
import errno
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MOST_CHILDREN = 2_000
PLACES = (
    "/",
    "/etc",
    "/usr/bin",
    "/opt/eventspec",
    "/opt/eventspec/lib",
    "/model",
    "/data",
    "/root",
    "/var",
    "/run",
    "/home",
)
X86_64 = {"unshare": 272, "bpf": 321, "perf_event_open": 298, "init_module": 175, "kexec_load": 246, "setns": 308}
SECRET = re.compile(rb"evs_[\w-]{20,}|PRIVATE KEY")


def tried(attempt: Callable[[], object]) -> str:
    """What stopped an attempt."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "DONE"


def call(result: int) -> None:
    """Raise what a C function left."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def system_call(number: int, flags: int) -> None:
    call(LIBC.syscall(number, flags, 0, 0, 0, 0))


def opened(path: str, how: str) -> None:
    Path(path).open(how).close()


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(path)


def write_in(folder: str) -> None:
    path = Path(folder) / f".attack-{os.getpid()}"
    path.write_bytes(b"x")
    path.unlink()


def run_from_tmp() -> None:
    path = Path("/tmp/attack.sh")
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    try:
        os.waitpid(os.posix_spawn(str(path), [str(path)], {}), 0)
    finally:
        path.unlink()


def daemons() -> list[int]:
    """Other processes that run this project."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            line = (entry / "cmdline").read_bytes()
            if b"eventspec" in line and b"/sbin/" not in line and b"sh\0" not in line[:4] and b"\0serve" in line:
                found.append(int(entry.name))
    return found


def look_into(pid: int, name: str) -> None:
    with Path(f"/proc/{pid}/{name}").open("rb") as file:
        file.read(1 if name != "mem" else 0)


def trace(pid: int) -> None:
    call(LIBC.ptrace(16, pid, None, None))
    LIBC.ptrace(17, pid, None, None)


def told_in_the_open() -> str:
    """Secrets in the command lines of all processes, which anybody may read, or in this container's environment."""
    others = [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.name != str(os.getpid())]
    told = [path.read_bytes() for path in others] + [os.fsencode(value) for value in os.environ.values()]
    return "DONE" if any(SECRET.search(text) for text in told) else "none"


def fork_many() -> str:
    """How many children there may be before the limit stops it; "DONE" if none does."""
    children = []
    try:
        for _ in range(MOST_CHILDREN):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
    return "DONE"


def fill(folder: str, most: int = 3 << 30) -> str:
    """How much a folder in memory takes; "DONE" if it takes everything."""
    path = Path(folder) / "attack-fill"
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(most >> 20):
                file.write(b"\0" * (1 << 20))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        path.unlink(missing_ok=True)
    return "DONE"


def status(name: str) -> str:
    return next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))


def main() -> None:
    found = {f"write in {place}": tried(partial(write_in, place)) for place in PLACES}
    found["run a file of /tmp"] = tried(run_from_tmp)
    found["become root"] = tried(lambda: os.setuid(0))
    found["give a file away"] = tried(lambda: os.chown("/tmp", 0, 0))
    found["make a device"] = tried(lambda: os.mknod("/tmp/attack-device", 0o60600, os.makedev(8, 0)))
    found["mount"] = tried(lambda: call(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)))
    found["raw socket"] = tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close())
    found["packet socket"] = tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).close())
    found["host name"] = tried(lambda: socket.sethostname("attacked"))
    if os.uname().machine == "x86_64":
        for name, number in X86_64.items():
            flags = 0x10000000 if name == "unshare" else 0
            found[name] = tried(partial(system_call, number, flags))
    for path in ("/etc/shadow", "/proc/kcore", "/dev/mem", "/dev/sda", "/dev/kmsg"):
        found[f"read {path}"] = tried(partial(opened, path, "rb"))
    for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/mm/transparent_hugepage/enabled"):
        found[f"write {path}"] = tried(partial(opened, path, "wb"))
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
        found[f"reach {path}"] = tried(partial(connect, path))
    pids = daemons()
    found["find the daemon"] = "none" if not pids else "found"
    for name in ("environ", "mem", "maps", "fd/0"):
        how = {tried(partial(look_into, pid, name)) for pid in pids}
        found[f"look into the daemon's {name}"] = ",".join(sorted(how))
    found["trace the daemon"] = ",".join(sorted({tried(partial(trace, pid)) for pid in pids}))
    found["secrets in the open"] = told_in_the_open()
    found["gain rights by a program"] = "none" if status("NoNewPrivs") == "1" else "DONE"
    found["system calls without a filter"] = "none" if status("Seccomp:") == "2" else "DONE"
    found["rights"] = (
        "none" if {status(f"Cap{kind}") for kind in ("Eff", "Prm", "Bnd", "Inh", "Amb")} == {"0" * 16} else "DONE"
    )
    if "--share" in sys.argv:
        found["fill /tmp"] = fill("/tmp")
        found["fill /dev/shm"] = fill("/dev/shm")
        found["fork without end"] = fork_many()
        time.sleep(0.2)
    print(json.dumps(found))


main()
