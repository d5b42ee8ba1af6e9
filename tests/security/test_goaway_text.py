"""What a peer says with its goodbye is no line of our log: gRPC's core would write it to standard error as it came."""

from __future__ import annotations

import subprocess
import sys

_SAID = "x\\n2026-01-01 00:00:00,000 eventspec.access: forged\\x1b[2J"
_SERVING = f"""
import asyncio, contextlib, socket
from common.server import DaemonServer
import grpc

def goodbye(port):
    def frame(kind, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 0]) + payload
    with socket.create_connection(("127.0.0.1", port)) as peer:
        text = "{_SAID}".encode()
        peer.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + frame(4) + frame(7, bytes(7) + bytes([11]) + text))
        peer.settimeout(0.5)
        with contextlib.suppress(OSError):
            while peer.recv(65536):
                pass

async def main():
    server = DaemonServer("a.B", 1 << 20)
    address = await server.start(grpc.method_handlers_generic_handler("a.B", {{}}), "127.0.0.1:0")
    await asyncio.to_thread(goodbye, int(address.rpartition(":")[2]))
    await server.stop(0)
    print("lives")

asyncio.run(main())
"""


def test_a_goodbye_writes_nothing_into_the_log() -> None:
    done = subprocess.run([sys.executable, "-c", _SERVING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr[-500:]
    assert "forged" not in done.stderr
