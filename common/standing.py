"""Whether a stream that was let in would be let in now: tokens and certificates are revoked, tokens expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from common.access import Scope, TokenBook, require_scope
from common.errors import AccessError, RevokedError

LOOK_EVERY_S = 1.0


class Standing:
    """Of one stream. Asked often, it looks a token up only when the file has changed, or the token's time is over."""

    def __init__(
        self,
        book: TokenBook | None = None,
        token: str = "",
        scope: Scope | None = None,
        *,
        certificate: Callable[[], None] | None = None,
    ) -> None:
        """Without a book, or a scope, everybody is welcome for ever.

        `certificate` raises AccessError once the caller's certificate isn't valid any more.

        Raises:
            AccessError: the token isn't valid.
        """
        self._certificate = certificate
        self._book = book if scope is not None else None
        self._token = token
        self._scope = scope
        self._version = -1
        self._expires: datetime | None = None
        if self._book is not None:
            self._look_up(self._book)

    def _look_up(self, book: TokenBook) -> None:
        self._version = book.version
        entry = book.entry(self._token)
        assert self._scope is not None
        require_scope(entry, self._scope)
        self._expires = entry.expires

    def check(self) -> None:
        """Raise RevokedError if the stream's token or certificate isn't valid any more."""
        if self._certificate is not None:
            try:
                self._certificate()
            except AccessError as error:
                raise RevokedError(str(error)) from error
        book = self._book
        if book is None:
            return
        in_time = self._expires is None or datetime.now(UTC) < self._expires
        if in_time and book.version == self._version:
            return
        try:
            self._look_up(book)
        except AccessError as error:
            raise RevokedError("this stream's token isn't valid any more: connect again with one that is") from error

    async def lost(self) -> RevokedError:
        """Wait until it isn't valid any more; returns what to tell the peer."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self.check()
            except RevokedError as error:
                return error

    async def watching(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same messages, as long as it is valid. Raises RevokedError."""
        async for data in requests:
            self.check()
            yield data
