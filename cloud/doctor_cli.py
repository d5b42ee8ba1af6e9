"""`eventspec-cloud doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud.config import CloudSettings
    from common.doctor import Check

HELP = """Check machine, target, settings, ports, certificates and tokens; say what to do. Status 1: a failure.

    Settings come from where `serve` takes them: the file, EVENTSPEC_CLOUD_... variables, flags, all of `serve`'s.
    Harmless beside a running daemon, which is asked how it is: no weights are loaded."""


def load() -> tuple[type[CloudSettings], Callable[[CloudSettings], Iterator[Check]]]:
    """The settings' class, and the checks."""
    from cloud.config import CloudSettings
    from cloud.doctor import examine

    return CloudSettings, examine
