"""What is reached through the environment's proxy: nothing of this machine, and never with a readable token."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from common.reach import Reaching
from common.rpc import channel_options
from common.security import SYSTEM, Reach, is_private


class Proxy:
    """Listens, notes the first line of each connection, and hangs up."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.heard.append(connection.recv(4096).split(b"\r\n")[0])

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy()
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://{made.address}")
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.close()


def call(address: str, reach: Reach) -> grpc.StatusCode:
    """The status of a call to a method that nobody has."""
    reaching = Reaching(reach)
    with reaching.channel(address, channel_options()) as channel:
        method = channel.unary_unary("/nobody/Nothing")
        try:
            method(b"", timeout=3.0, metadata=reaching.metadata(), wait_for_ready=False)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    raise AssertionError("somebody answered")


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text("evs_secret\n")
    return str(file)


def test_this_machine_is_never_reached_through_a_proxy(proxy: Proxy, token: str) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        for reach in (Reach(), Reach(token_file=token)):
            assert call(f"127.0.0.1:{port}", reach) is grpc.StatusCode.UNIMPLEMENTED  # the server's own word
            assert call(f"localhost:{port}", reach) is grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.stop(0)
    assert proxy.heard == []


def test_a_token_in_clear_goes_to_no_proxy(proxy: Proxy, token: str) -> None:
    call("cloud.example:50051", Reach(token_file=token, insecure=True))
    assert proxy.heard == []


def test_a_public_name_is_reached_as_the_environment_says(proxy: Proxy, token: str) -> None:
    call("cloud.example:50051", Reach(ca=SYSTEM, token_file=token))
    assert set(proxy.heard) == {b"CONNECT cloud.example:50051 HTTP/1.1"}


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("unix:/run/edge.sock", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", True),
        ("localhost:1", True),
        ("10.1.2.3:1", True),
        ("192.168.0.9:1", True),
        ("[fe80::1]:1", True),
        ("[fd00::1]:1", True),
        ("169.254.169.254:1", True),
        ("cloud:1", True),
        ("camera.local:1", True),
        ("cloud.corp.internal.:1", True),
        ("8.8.8.8:1", False),
        ("[2606:4700::1111]:1", False),
        ("cloud.example:1", False),
    ],
)
def test_what_is_private(address: str, private: bool) -> None:
    assert is_private(address) is private
