"""How a client reaches a daemon: in clear on this machine, over TLS elsewhere, with a token from a file.

A token is never a value of a flag or a variable: those can be read by others. It is never sent in clear beyond this
machine, unless told so, and never part of what is printed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from common.access import AUTHORIZATION
from common.errors import SettingsError
from common.security import Reach, TlsFiles, is_private
from common.tls import channel_credentials
from common.watched_file import Stamp, WatchedFile

log = logging.getLogger("eventspec.access")

Metadata = tuple[tuple[str, str], ...]


@dataclass
class Reaching:
    """A `Reach` in use: makes channels, follows changed files. `repr` doesn't tell the token."""

    reach: Reach
    _token: str = field(default="", repr=False)
    _credentials: grpc.ChannelCredentials | None = field(default=None, repr=False)
    _stamps: tuple[Stamp, ...] | None = field(default=None, repr=False)
    _file: WatchedFile | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.reach.token_file:
            self._file = WatchedFile(Path(self.reach.token_file))
            self._token = _checked(self._file.read_text(), self.reach.token_file)

    @property
    def files(self) -> TlsFiles:
        """The files of TLS."""
        return TlsFiles(self.reach.cert, self.reach.key, self.reach.ca)

    def metadata(self) -> Metadata:
        """For each call: the token as the file has it now. A file that can't be read any more changes nothing."""
        if self._file is None:
            return ()
        try:
            text = self._file.changed_text()
            if text is not None:
                self._token = _checked(text, self.reach.token_file)
        except SettingsError:
            pass  # it is being replaced; the daemon will say if the one before isn't valid any more
        return ((AUTHORIZATION, f"Bearer {self._token}"),)

    def aio_channel(self, address: str, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
        """A channel for an event loop. Raises SettingsError."""
        options = self._direct(address, options)
        if not self.reach.ca:
            return grpc.aio.insecure_channel(address, options=options)
        return grpc.aio.secure_channel(address, self._secured(), options=self._named(options))

    def channel(self, address: str, options: list[tuple[str, Any]]) -> grpc.Channel:
        """A channel for a thread. Raises SettingsError."""
        options = self._direct(address, options)
        if not self.reach.ca:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, self._secured(), options=self._named(options))

    def _direct(self, address: str, options: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Options for an address: gRPC uses the proxy that the environment names (`http_proxy`, but for `no_proxy`).

        Never to an address of this machine or of a private network, and never with a token that the proxy could read.
        """
        readable = bool(self.reach.token_file) and not self.reach.ca
        return [*options, ("grpc.enable_http_proxy", 0)] if readable or is_private(address) else options

    def _secured(self) -> grpc.ChannelCredentials:
        """Of the files as they are now; of the last good ones, if these can't be used."""
        stamps = self.files.stamps
        if self._credentials is None or stamps != self._stamps:
            self._stamps = stamps
            try:
                self._credentials = channel_credentials(self.files)
            except SettingsError as error:
                if self._credentials is None:
                    raise
                log.warning("%s; what was read before stays in force", error)
        return self._credentials

    def renewed(self) -> bool:
        """Whether the files of TLS have changed since the last channel was made, and those there now can be used."""
        before = self._credentials
        return before is not None and self._secured() is not before

    def _named(self, options: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [*options, ("grpc.ssl_target_name_override", self.reach.name)] if self.reach.name else options


def _checked(text: str, name: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or any(c.isspace() for c in token):
        raise SettingsError(f"{name} must hold one token and nothing else: copy it again")
    return token
