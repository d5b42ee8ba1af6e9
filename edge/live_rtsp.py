"""RTSP through a relay on loopback: FFmpeg follows a camera's redirects wherever they lead, and the relay doesn't.

FFmpeg speaks to the relay, and the relay to the one address that was checked. What the camera replies is followed
message by message, as FFmpeg reads it; a redirect, or what isn't RTSP, ends the stream.
"""

from __future__ import annotations

import socket
import threading

from edge.live_connection import OPEN_S, READ_S, Guard

_MOST_HEADER, _MOST_BODY = 64 << 10, 1 << 20
_LEAST_PACKET = 8  # bytes: FFmpeg reads less as text


class RelayError(Exception):
    """A camera said what isn't handed on."""


class RtspReplies:
    """What a camera sends, cut into whole messages and media packets. Pure."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; returns those that may go on: whole messages.

        Raises:
            RelayError: a redirect, or no RTSP.
        """
        self._data += data
        end = 0
        while (length := self._whole(end)) is not None:
            end += length
        ready = bytes(self._data[:end])
        del self._data[:end]
        return ready

    def _whole(self, start: int) -> int | None:
        """Length of the message that begins there; None if it isn't all here."""
        data = self._data
        if start >= len(data):
            return None
        if data[start] == ord("$"):
            if start + 4 > len(data):
                return None
            length = int.from_bytes(data[start + 2 : start + 4], "big")
            if length < _LEAST_PACKET:
                raise RelayError("it sends a media packet that is too short")
            return 4 + length if start + 4 + length <= len(data) else None
        header = self._header(start)
        if header is None:
            return None
        length = len(header) + _body_length(header)
        return length if start + length <= len(data) else None

    def _header(self, start: int) -> bytes | None:
        """Up to the empty line. A newline ends a line, and carriage returns count for nothing, as FFmpeg has it."""
        at = start
        while (found := self._data.find(b"\n", at)) >= 0:
            if not self._data[at:found].strip(b"\r"):
                return bytes(self._data[start : found + 1])
            at = found + 1
        if len(self._data) - start > _MOST_HEADER:
            raise RelayError("its reply has no end")
        return None


def _body_length(header: bytes) -> int:
    """Bytes after a header; checks it on the way."""
    lines = [line.replace(b"\r", b"") for line in header.split(b"\n")][:-2]
    if not lines or any(line.startswith(b"$") or b"\0" in line for line in lines):
        raise RelayError("its reply is no RTSP")
    _check_first(lines[0])
    lengths = [line.partition(b":") for line in lines[1:] if line.strip().lower().startswith(b"content-length")]
    if not lengths:
        return 0
    value = lengths[0][2].strip()
    if len(lengths) > 1 or lengths[0][0].lower() != b"content-length" or not value.isdigit() or len(value) > 8:
        raise RelayError("its reply has no clear length")
    if int(value) > _MOST_BODY:
        raise RelayError(f"its reply has more than {_MOST_BODY:,} bytes")
    return int(value)


def _check_first(line: bytes) -> None:
    words = line.split()
    if line.startswith(b"RTSP/"):
        if len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
            raise RelayError("its reply has no status")
        if words[1].startswith(b"3"):
            raise RelayError("it sends on to another address: name that one itself")
    elif len(words) != 3 or not words[0].isalpha() or words[0].upper() == b"REDIRECT":
        raise RelayError("its reply is no RTSP, or sends on to another address: name that one itself")


class RtspRelay:
    """One connection's way between FFmpeg and a camera, on a free port of loopback."""

    def __init__(self, camera: socket.socket, guard: Guard) -> None:
        """Take over a connection to the camera."""
        self.error: RelayError | None = None
        self._camera, self._guard = camera, guard
        guard.add(camera)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(OPEN_S)
        guard.add(self._listener)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, name="live-rtsp", daemon=True).start()

    def _serve(self) -> None:
        try:
            with self._listener:
                player, _ = self._listener.accept()
        except OSError:
            self._guard.close()
            return
        self._guard.add(player)
        player.settimeout(None)  # the player waits for pictures, the camera must send them
        self._camera.settimeout(READ_S)
        upwards = threading.Thread(target=self._copy_up, args=(player,), name="live-rtsp-up", daemon=True)
        upwards.start()
        try:
            self._copy_down(player)
        except RelayError as error:
            self.error = error
        except OSError:
            pass
        finally:
            self._guard.close()
            upwards.join()
            player.close()
            self._camera.close()

    def _copy_down(self, player: socket.socket) -> None:
        replies = RtspReplies()
        while data := self._camera.recv(65_536):
            player.sendall(replies.feed(data))

    def _copy_up(self, player: socket.socket) -> None:
        try:
            while data := player.recv(65_536):
                self._camera.sendall(data)
        except OSError:
            pass
        finally:
            self._guard.close()

    def close(self) -> None:
        """End it."""
        self._guard.close()
