"""Programs for the two sides of a link under test, and how to run them there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.link.base import EmulatedLink
from benchmarks.link.opening import tun_missing

needs_tun = pytest.mark.skipif(tun_missing() is not None, reason=str(tun_missing()))

_SERVER = """
import socket, sys, threading, hashlib
server = socket.create_server((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
def serve(client):
    digest = hashlib.sha256()
    while data := client.recv(65536):
        digest.update(data)
    client.sendall(digest.hexdigest().encode())
    client.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

_CLIENT = """
import hashlib, random, socket, sys, time
host, port = sys.argv[1].split(":")
data = random.Random(5).randbytes(int(sys.argv[2]))
begin = time.monotonic()
client = socket.create_connection((host, int(port)))
client.sendall(data)
client.shutdown(socket.SHUT_WR)
answer = b""
while piece := client.recv(4096):
    answer += piece
assert answer.decode() == hashlib.sha256(data).hexdigest(), answer
print(time.monotonic() - begin)
"""


@contextmanager
def digest_server(link: EmulatedLink) -> Iterator[str]:
    """A server on the cloud's side that answers a stream by its digest; gives the address for the edge's side."""
    host = link.cloud_listen().rpartition(":")[0]
    command = link.cloud_command([sys.executable, "-c", _SERVER, host])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield link.reach(f"{host}:{server.stdout.readline().strip()}")
        finally:
            server.kill()


def upload_seconds(link: EmulatedLink, address: str, size: int) -> float:
    """How long it takes from the connection's start to the answer; asserts that the bytes arrived whole."""
    command = link.edge_command([sys.executable, "-c", _CLIENT, address, str(size)])
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
