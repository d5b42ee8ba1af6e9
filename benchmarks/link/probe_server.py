"""The far end of a measurement, on the cloud's side: `python -m benchmarks.link.probe_server HOST`.

Prints `{"tcp": PORT, "udp": PORT}`. A TCP connection begins with a line of JSON that says what it is for: `echo`
(messages of 16 bytes), `sink`, `source`, or `control`, whose further lines are answered by a line each. UDP packets
that begin with E come back; all are counted. Ends when its standard input ends.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

from benchmarks.link.kernel import be_punctual
from benchmarks.link.probing import Arrivals, flood, read_message

_CHUNK = 1 << 16


class ProbeServer:
    """Sockets on `host`, and threads that serve them."""

    def __init__(self, host: str) -> None:
        self._tcp = socket.create_server((host, 0), backlog=64)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind((host, 0))
        self.ports = {"tcp": self._tcp.getsockname()[1], "udp": self._udp.getsockname()[1]}
        self._streams = Arrivals()
        self._packets = Arrivals()
        for work in (self._echo_packets, self._accept):
            threading.Thread(target=work, daemon=True).start()

    def _echo_packets(self) -> None:
        while True:
            packet, sender = self._udp.recvfrom(2048)
            self._packets.add(len(packet))
            if packet.startswith(b"E"):
                self._udp.sendto(packet, sender)

    def _accept(self) -> None:
        while True:
            client, _ = self._tcp.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as lines:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                what = json.loads(lines.readline())["do"]
                if what == "control":
                    for line in lines:
                        client.sendall(json.dumps(self._react(json.loads(line))).encode() + b"\n")
                elif what == "echo":
                    while message := read_message(lines):
                        client.sendall(message)
                elif what == "sink":
                    while size := len(client.recv(_CHUNK)):
                        self._streams.add(size)
                elif what == "source":
                    while True:
                        client.sendall(bytes(_CHUNK))
        except (OSError, ValueError):  # the client is through with this connection
            return

    def _react(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "reset":
            self._streams.reset()
            self._packets.reset()
        elif request["do"] == "flood":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                flood(sender, tuple(request["to"]), request["mbps"], request["seconds"])
        return {"streams": self._streams.as_dict(), "packets": self._packets.as_dict()}


def main() -> None:
    """Serve until standard input ends."""
    be_punctual()
    print(json.dumps(ProbeServer(sys.argv[1]).ports), flush=True)
    while os.read(0, 4096):
        continue


if __name__ == "__main__":
    main()
