"""Faults inside the engine, for the fault suite alone: off unless the hidden setting `faults` names a folder.

A file `order.json` in that folder is taken (and removed) at the next step: `{"do": ..., "seconds": S, "seed": N}`.
`hang`: the step takes S seconds. `error`: the forward raises over one session. `not_finite`: one session's logits
aren't finite. `no_memory`: the process may not get another byte during the step. `exit`: the process ends.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloud.runner import ForwardResult, Runner, Work


class FaultyRunner:
    """A `cloud.runner.Runner` around another one, whose forward fails as ordered. All else is the other one's."""

    def __init__(self, inner: Runner, folder: Path) -> None:
        self._inner = inner
        self._order = folder / "order.json"
        self._bad_slot: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        """One packed forward, if nothing is ordered."""
        order = self._take()
        if self._bad_slot is not None and any(work.slot == self._bad_slot for work in works):
            if len(works) == 1:
                self._bad_slot = None
            raise RuntimeError("an ordered error")
        if order is None:
            return self._inner.forward(works)
        return self._obey(order, works)

    def _take(self) -> dict[str, Any] | None:
        try:
            order: dict[str, Any] = json.loads(self._order.read_text())
        except FileNotFoundError:
            return None
        self._order.unlink()
        return order

    def _obey(self, order: dict[str, Any], works: Sequence[Work]) -> ForwardResult:
        chosen = random.Random(order.get("seed", 0)).randrange(len(works))
        match order["do"]:
            case "hang":
                time.sleep(order["seconds"])
            case "exit":
                os._exit(9)
            case "error":
                self._bad_slot = works[chosen].slot
                raise RuntimeError("an ordered error")
            case "not_finite":
                result = self._inner.forward(works)
                choices = [None if i == chosen else c for i, c in enumerate(result.choices)]
                return ForwardResult(choices, result.forward_us)
            case "no_memory":
                return self._starved(works)
        return self._inner.forward(works)

    def _starved(self, works: Sequence[Work]) -> ForwardResult:
        """The forward, and something larger than what the process has: allocations fail as where memory is over."""
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), hard))
        try:
            bytearray(256 << 20)  # what a longer prompt's activations would ask for
            return self._inner.forward(works)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
