"""`eventspec-edge doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.doctor import Check
    from edge.config import EdgeSettings

HELP = """Check machine, drafter, settings, certificates, and the way to the cloud; say what to do. Status 1: a failure.

    Settings come from where `serve` takes them: the file, EVENTSPEC_EDGE_... variables, flags, all of `serve`'s.
    Harmless beside a running daemon, which is asked how it is: no weights are loaded. To the cloud go a few small calls
    and 256 KiB."""


def load() -> tuple[type[EdgeSettings], Callable[[EdgeSettings], Iterator[Check]]]:
    """The settings' class, and the checks."""
    from edge.config import EdgeSettings
    from edge.doctor import examine

    return EdgeSettings, examine
