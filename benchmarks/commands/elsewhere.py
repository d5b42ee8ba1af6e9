"""Daemons and a link that somebody else made: only what the caller says of them is known."""

from __future__ import annotations

from types import TracebackType

from benchmarks.link.base import OnThisHost
from benchmarks.link.profile import LinkProfile


class ElsewhereLink(OnThisHost):
    """An `EmulatedLink` in form: it makes nothing. `backend` is what the caller named, or `elsewhere`."""

    def __init__(self, profile: LinkProfile | None, backend: str) -> None:
        self.profile = profile
        self.backend = "elsewhere" if backend == "auto" else backend
        self.notes: tuple[str, ...] = ("the link was made elsewhere; its profile is what the caller said",)

    def __enter__(self) -> ElsewhereLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
