"""Lends out child processes with limits, so that no more than a few work at a time.

    pool = ChildPool("package.module:make", Limits(), error=VideoFormatError, places=4)
    with pool.borrow() as child:  # in a thread: this blocks
        reply = child.ask(b"...")  # and again, to the same child

`make` returns the function that answers: bytes in, a sequence of buffers out (sent as one
reply). An `EventSpecError` that it raises comes back as the pool's `error` with the same text, and the child lives on.
`make` is called in the process that children are forked from (`common/child_template.py`). So a child is there in
milliseconds, and may be used `once`, so that nothing is left to the next.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from common.errors import CapacityError, EventSpecError
from common.forking import template
from common.limited_child import LimitedChild, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOOK_S = 0.1


class ChildPool:
    """Children of one kind. At most `places` work at a time; `kept` wait: used ones, or fresh ones if `once`."""

    def __init__(
        self,
        entry: str,
        limits: Limits,
        *,
        error: type[EventSpecError],
        places: int = 4,
        kept: int = 2,
        once: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.entry, self.limits = entry, limits
        self._error, self._places, self._kept, self._once = error, places, kept, once
        self._environment = environment or {}
        self._changed = threading.Condition()
        self._waiting: list[LimitedChild] = []
        self._stuck: list[LimitedChild] = []
        self._taken = 0
        os.register_at_fork(after_in_child=self._forget)  # the children are the parent's
        atexit.register(self.close)

    def acquire(self) -> LimitedChild:
        """A child, to be given back with `release`. Waits for a place, at most as long as one request may take.

        Raises:
            CapacityError: all places are taken.
        """
        due = time.monotonic() + self.limits.wall_s
        with self._changed:
            while not self._changed.wait_for(self._has_place, timeout=_LOOK_S):  # one may have ended meanwhile
                if time.monotonic() > due:
                    raise CapacityError(f"{self._places} files or videos are being read already; try again in a moment")
            self._taken += 1
            child = self._waiting.pop() if self._waiting else None
        try:
            if child is not None and child.connected:
                return child
            if child is not None:
                child.end()  # it died while it waited
            return self._start()
        except OSError as error:
            self._give_place()
            raise CapacityError(f"no process can be started to read it ({error.strerror}); try again later") from error

    def release(self, child: LimitedChild) -> None:
        """Give a child back; returns at once. One that failed, or is used up, is ended; then its place is free."""
        if child.usable and not self._once and not child.holds_too_much():
            with self._changed:
                keep = len(self._waiting) < self._kept
                if keep:
                    self._waiting.append(child)
            if keep:
                self._give_place()
                return
        child.forget()  # one that does nothing ends by itself now
        threading.Thread(target=self._end, args=(child,), name="child-end", daemon=True).start()

    def _end(self, child: LimitedChild) -> None:
        """Off everybody's way: each step waits for the process that children are forked from."""
        if child.end():
            self._give_place()
        else:
            with self._changed:
                self._stuck.append(child)
        if self._once:
            self._refill()

    def _refill(self) -> None:
        """Fresh children wait for the next; if there is no room for them now, the next will see."""
        with self._changed:
            missing = self._kept - len(self._waiting)
        with contextlib.suppress(OSError):
            fresh = [self._start() for _ in range(missing)]
            with self._changed:
                self._waiting += fresh

    @contextlib.contextmanager
    def borrow(self) -> Iterator[LimitedChild]:
        """A child for a `with` block; see `acquire`."""
        child = self.acquire()
        finished = False
        try:
            yield child
            finished = True
        except self._error:
            finished = True  # `usable` says whether it may go on
            raise
        finally:
            child.usable = child.usable and finished
            self.release(child)

    def warm_up(self) -> None:
        """Start what children are forked from, ahead of the first request; returns at once."""
        template(self._environment).start(self.entry)

    def close(self) -> None:
        """End the children that wait. The pool may be used again."""
        with self._changed:
            waiting, self._waiting = self._waiting, []
        for child in waiting:
            child.end()

    def _start(self) -> LimitedChild:
        return LimitedChild(self.entry, self.limits, self._error, self._environment)

    def _has_place(self) -> bool:
        gone = [child for child in self._stuck if not child.alive]
        self._stuck = [child for child in self._stuck if child not in gone]
        self._taken -= len(gone)
        return self._taken < self._places

    def _give_place(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def _forget(self) -> None:
        """In a fork of this process: its children aren't ours."""
        for child in self._waiting:
            child.forget()
        self._changed = threading.Condition()
        self._waiting, self._stuck, self._taken = [], [], 0
