"""Makes a stage take as long as a replayed profile says: waits for what is left of its time.

For threads and processes that do nothing else meanwhile: it blocks, as the work itself would, and is never called on
an event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Padding:
    """One thread's waits.

    Attributes:
        overruns: stages whose real work took longer than the profile's time: their figures are this machine's.
        overrun_s: by how much, in sum.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.overruns = 0
        self.overrun_s = 0.0
        self._clock = clock
        self._sleep = sleep

    def now(self) -> float:
        """Seconds, by the clock that `wait` reads."""
        return self._clock()

    def wait(self, started: float, wanted_ms: float) -> float:
        """Wait until `wanted_ms` have passed since `started`; 0 or less: not at all.

        Returns:
            The time then.
        """
        now = self._clock()
        if wanted_ms <= 0:
            return now
        left = started + wanted_ms / 1e3 - now
        if left < 0:
            self.overruns += 1
            self.overrun_s -= left
            return now
        self._sleep(left)
        return self._clock()
