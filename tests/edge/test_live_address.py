"""Nothing but the named address is ever connected to, whatever a server or a stream says."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import VideoFormatError
from edge import live_connection
from edge.live_address import shown_address
from edge.live_hosts import HostRules, parse_hosts
from edge.live_rtsp import RelayError, RtspReplies
from edge.live_source import LiveSource, pictures
from tests.clips import encode, number_of

LOOPBACK = parse_hosts("loopback")
Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    options = {"tune": "zerolatency", "g": "4"}
    path: Path = encode(tmp_path_factory.mktemp("address") / "clip.ts", "libx264", 12, options=options)
    return path.read_bytes()


@pytest.fixture(scope="module")
def indexed_late(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An mp4 whose index is behind the pictures."""
    path: Path = encode(tmp_path_factory.mktemp("address") / "clip.mp4", "libx264", 12)
    return path.read_bytes()


class Trap:
    """A server that nobody may come to; it counts who does."""

    def __init__(self) -> None:
        self.came = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.came += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    time.sleep(0.1)
    made.close()
    assert made.came == 0, "another address was connected to"


@contextmanager
def web(reply: Reply) -> Iterator[int]:
    """An HTTP server; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def speaking(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server for one connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            with listener.accept()[0] as connection:
                talk(connection)
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()
    thread.join(5)


def sends(body: bytes, kind: str = "video/mp2t", status: int = 200, **headers: str) -> Reply:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def numbers(name: str, rules: HostRules = LOOPBACK) -> list[int]:
    return [
        number_of(f.to_ndarray(format="rgb24")) for _, f in pictures(LiveSource(name, hosts=rules), threading.Event())
    ]


def refused(name: str, why: str, rules: HostRules = LOOPBACK) -> None:
    with pytest.raises(VideoFormatError, match=why):
        numbers(name, rules)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(trap: Trap, status: int) -> None:
    with web(sends(b"", status=status, Location=f"http://127.0.0.1:{trap.port}/x.ts")) as port:
        refused(f"http://127.0.0.1:{port}/clip.ts", "name that one itself")


def test_redirects_by_setting_go_to_the_same_host_only(trap: Trap, clip: bytes) -> None:
    rules = parse_hosts("loopback", redirects=True)

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        place = {"/a": "/b", "/c": f"http://localhost:{trap.port}/", "/d": f"ftp://127.0.0.1:{trap.port}/", "/e": "/e"}
        if (to := place.get(handler.path)) is not None:
            sends(b"", status=302, Location=to)(handler)
        else:
            sends(clip)(handler)

    with web(reply) as port:
        assert numbers(f"http://127.0.0.1:{port}/a", rules) == list(range(12))
        refused(f"http://127.0.0.1:{port}/c", "which --live-hosts doesn't name", rules)
        refused(f"http://127.0.0.1:{port}/d", "isn't followed|can't be reached", rules)
        refused(f"http://127.0.0.1:{port}/e", "answers 302", rules)


def test_a_named_host_may_be_sent_on_to(clip: bytes) -> None:
    with web(sends(clip)) as there, web(sends(b"", status=302, Location=f"http://localhost:{there}/x")) as port:
        assert numbers(f"http://127.0.0.1:{port}/", parse_hosts("loopback,localhost", redirects=True)) == list(
            range(12)
        )


def hls(port: int) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n".encode()


def dash(port: int) -> bytes:
    return (
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' mediaPresentationDuration='PT2S'"
        f"><BaseURL>http://127.0.0.1:{port}/</BaseURL><Period><AdaptationSet mimeType='video/mp4'>"
        "<Representation id='1' bandwidth='1'><BaseURL>x.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def concat(port: int) -> bytes:
    return f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/x.ts\n".encode()


def sdp(port: int) -> bytes:
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 33\n".encode()


@pytest.mark.parametrize("kind", ["application/vnd.apple.mpegurl", "application/dash+xml", "video/mp2t", "video/mp4"])
@pytest.mark.parametrize("body", [hls, dash, concat, sdp])
def test_playlists_are_never_followed(trap: Trap, kind: str, body: Callable[[int], bytes]) -> None:
    for name in ("clip.m3u8", "clip.mpd", "clip.ts", "clip.sdp"):
        with web(sends(body(trap.port), kind)) as port:
            refused(f"http://127.0.0.1:{port}/{name}", "can't watch|is a playlist")
    with speaking(lambda connection: connection.sendall(body(trap.port))) as port:
        refused(f"tcp://127.0.0.1:{port}", "can't watch")


def test_an_index_at_the_end_is_fetched(indexed_late: bytes) -> None:
    ranges = []

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        sends(indexed_late[start:], "video/mp4", 206 if asked else 200, Accept_Ranges="bytes")(handler)

    with web(reply) as port:
        assert numbers(f"http://127.0.0.1:{port}/clip.mp4") == list(range(12))
    assert len(ranges) > 1


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_a_camera_with_a_password(clip: bytes, scheme: str) -> None:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization", "").startswith(scheme):
            return sends(clip)(handler)
        return sends(b"", status=401, WWW_Authenticate=f'{scheme} realm="camera", nonce="abc", qop="auth"')(handler)

    with web(reply) as port:
        assert numbers(f"http://me:se%20cret@127.0.0.1:{port}/clip.ts") == list(range(12))
        refused(f"http://127.0.0.1:{port}/clip.ts", "answers 401")


def test_passwords_are_not_told() -> None:
    assert shown_address("rtsp://me:p@ss@camera/1@2") == "rtsp://camera/1@2"
    with pytest.raises(VideoFormatError) as caught:
        numbers(f"rtsp://me:secret@127.0.0.1:{unused_port()}/1")
    assert "secret" not in str(caught.value)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtmp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_hosts_that_are_not_allowed_are_not_connected_to(trap: Trap, scheme: str, host: str) -> None:
    refused(f"{scheme}://{host}:{trap.port}/x", "live-hosts|no host", parse_hosts("private,public,link-local"))


def test_a_host_is_resolved_once(monkeypatch: pytest.MonkeyPatch, clip: bytes, trap: Trap) -> None:
    """A name that answers with an allowed address first and another one then leads nowhere else."""
    asked = []

    def resolver(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    with speaking(lambda connection: connection.sendall(clip)) as port:
        plain = socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        monkeypatch.setattr(socket, "create_connection", lambda at, **more: connect(at, plain, more))
        assert numbers(f"tcp://rebinding.example:{port}", parse_hosts("127.0.0.1")) == list(range(12))
    assert asked == ["rebinding.example"]


def connect(at: tuple[str, int], plain: Any, more: dict[str, Any]) -> socket.socket:
    assert at[0] == "127.0.0.1"
    made = socket.socket()
    made.settimeout(more["timeout"])
    made.connect(at)
    return made


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tcp://127.0.0.1", "needs a port"),
        ("http:///x", "names no host"),
        ("http://127.0.0.1:99999/", "is no address"),
        ("http://127.0.0.1:1/a\nb", "spaces or control"),
        ("rtmp://127.0.0.1/a swfUrl=http://127.0.0.1/", "spaces or control"),
        ("udp://127.0.0.1:5000?fifo_size=1000000000", "options"),
        ("srt://127.0.0.1:1", "can't be watched"),
        ("hls+http://127.0.0.1:1/", "can't be watched"),
        ("ftp://127.0.0.1/", "can't be watched"),
        ("tcp://127.0.0.1:1?listen=1", "can't watch"),
    ],
)
def test_odd_addresses(name: str, why: str) -> None:
    refused(name, why)


def test_a_server_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_connection, "OPEN_S", 0.6)

    def drip(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    with speaking(drip) as port:
        started = time.monotonic()
        refused(f"http://127.0.0.1:{port}/", "can't be reached|can't watch")
        assert time.monotonic() - started < 5


def rtsp(connection: socket.socket, replies: Callable[[str, str], bytes]) -> None:
    """Answer requests, until the player leaves."""
    data = b""
    while more := connection.recv(65_536):
        data += more
        while b"\r\n\r\n" in data:
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            number = next(line for line in lines if line.lower().startswith("cseq:"))
            connection.sendall(replies(lines[0].split()[0], number))


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
@pytest.mark.parametrize("at", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_an_rtsp_redirect_is_refused(trap: Trap, at: str, ending: str) -> None:
    def reply(method: str, number: str) -> bytes:
        if method == at:
            head = ["RTSP/1.0 302 Found", number, f"Location: rtsp://127.0.0.1:{trap.port}/x", "", ""]
            before = ending.join(["RTSP/1.0 200 OK", number, "", ""]) if ending == "\n" else ""
            return (before + ending.join(head)).encode()
        return described(method, number)

    with speaking(lambda connection: rtsp(connection, reply)) as port:
        refused(f"rtsp://127.0.0.1:{port}/x", "name that one itself")


def described(method: str, number: str) -> bytes:
    body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
    more = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}",
        "SETUP": "Session: 12345\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
    }
    play = "Session: 12345\r\n\r\n"
    return f"RTSP/1.0 200 OK\r\n{number}\r\n{more.get(method, play)}".encode()


def test_a_camera_by_rtsp(clip: bytes) -> None:
    def reply(method: str, number: str) -> bytes:
        if method != "PLAY":
            return described(method, number)
        packets = bytearray(described(method, number))
        for n, start in enumerate(range(0, len(clip), 7 * 188)):
            body = (
                bytes([0x80, 33])
                + n.to_bytes(2, "big")
                + (n * 900).to_bytes(4, "big")
                + b"abcd"
                + clip[start : start + 7 * 188]
            )
            packets += b"$\0" + len(body).to_bytes(2, "big") + body
        return bytes(packets)

    def talk(connection: socket.socket) -> None:
        def then_end(method: str, number: str) -> bytes:
            answer = reply(method, number)
            if method == "PLAY":
                connection.sendall(answer)
                time.sleep(0.5)
                connection.shutdown(socket.SHUT_RDWR)
                return b""
            return answer

        rtsp(connection, then_end)

    with speaking(talk) as port:
        found = numbers(f"rtsp://127.0.0.1:{port}/x")
    assert found[:10] == list(range(10))


def test_datagrams(clip: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stop.is_set():
                for start in range(0, len(clip), 7 * 188):
                    sender.sendto(clip[start : start + 7 * 188], ("127.0.0.1", port))
                    time.sleep(0.005)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        source = LiveSource(f"udp://127.0.0.1:{port}", hosts=LOOPBACK)
        found = [frame.width for _, frame in itertools.islice(pictures(source, threading.Event()), 3)]
    finally:
        stop.set()
        sending.join()
    assert len(found) == 3


def test_rtmp_goes_to_the_checked_address() -> None:
    heard = []
    with speaking(lambda connection: heard.append(connection.recv(1))) as port:
        refused(f"rtmp://localhost:{port}/live/stream", "can't watch")
    assert heard == [b"\x03"]  # the version that RTMP begins with


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"RTSP/1.0 200 OK\r\n", b"\r\n", b"$\0\0\x08", b"\n"])))
def test_replies_are_cut_alike_however_they_come(pieces: list[bytes]) -> None:
    """The same bytes go on, piece by piece or at once; nothing but a RelayError is raised."""

    def through(parts: list[bytes]) -> tuple[bytes, bool]:
        replies, out = RtspReplies(), b""
        try:
            for part in parts:
                out += replies.feed(part)
        except RelayError:
            return out, True
        return out, False

    whole = b"".join(pieces)
    together, apart = through([whole]), through([bytes([b]) for b in whole])
    assert together[1] == apart[1]
    assert apart[0].startswith(together[0])
    assert whole.startswith(apart[0])


@pytest.mark.parametrize(
    "data",
    [
        b"RTSP/1.0 302 Found\n\n",
        b"RTSP/1.0 301 x\r\n\r\n",
        b"RTSP/1.0  307 x\r\n\r\n",
        b"RTSP/1.0 3 x\r\n\r\n",
        b"REDIRECT rtsp://a RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 5\r\ncontent-length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length : 5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n$\0\0\x08abcdefgh\r\n\r\n",
        b"$\0\0\x01R",
        b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_replies_that_do_not_go_on(data: bytes) -> None:
    with pytest.raises(RelayError):
        RtspReplies().feed(data)
