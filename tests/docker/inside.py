"""Runs inside the containers, with nothing but the standard library; prints a JSON list.

inside.py rtt HOST PORT COUNT      round trips in milliseconds: from SYN to SYN-ACK
inside.py hops HOST PORT           the smallest TTL with which a connection comes about, or 0
inside.py peers PORT               addresses of those connected to this port, as this side sees them
"""

import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def round_trips(host: str, port: int, count: int) -> list[float]:
    found = []
    for _ in range(count):
        begin = time.monotonic()
        with socket.create_connection((host, port), timeout=10):
            found.append((time.monotonic() - begin) * 1e3)
        time.sleep(0.01)
    return found


def hops(host: str, port: int) -> list[int]:
    for ttl in range(1, 9):
        with socket.socket() as tried:
            tried.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            tried.settimeout(3)
            try:
                tried.connect((host, port))
            except OSError:
                continue
            return [ttl]
    return [0]


def peers(port: int) -> list[str]:
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, remote, state = line.split()[:4]
            if state == "01" and int(local.rpartition(":")[2], 16) == port:
                found.add(socket.inet_ntoa(struct.pack("<I", int(remote.rpartition(":")[0][-8:], 16))))
    return sorted(found)


WORK: dict[str, Callable[..., Sequence[object]]] = {
    "rtt": lambda host, port, count: round_trips(host, int(port), int(count)),
    "hops": lambda host, port: hops(host, int(port)),
    "peers": lambda port: peers(int(port)),
}
print(json.dumps(WORK[sys.argv[1]](*sys.argv[2:])))
