"""Processes that a link consists of, as the process that started them sees them."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import LinkError, SettingsError

_PROJECT = str(Path(__file__).parents[2])


class HelperProcess:
    """Starts `python -m MODULE`, hands it a message if there is one, and waits for its first answer (`ready`).

    `wrap` makes the command one that runs elsewhere, e.g. on a link's side (`EmulatedLink.cloud_command`).
    It ends when its input does: at the latest when this process is gone.

    Raises:
        SettingsError: it says what is missing.
        LinkError: it ended, or said nothing for too long.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        message: Mapping[str, Any] | None = None,
        timeout: float = 20.0,
        wrap: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        path = os.pathsep.join(filter(None, [_PROJECT, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            wrap([sys.executable, "-P", "-m", module, *arguments]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._lock = threading.Lock()
        try:
            self.ready = self.request(message, timeout)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def request(self, message: Mapping[str, Any] | None, timeout: float = 10.0) -> dict[str, Any]:
        """Its answer to a message (None: to nothing); as the constructor for what it raises."""
        assert self._process.stdin is not None
        with self._lock:
            try:
                if message is not None:
                    self._process.stdin.write(json.dumps(message).encode() + b"\n")
                    self._process.stdin.flush()
                answer: dict[str, Any] = json.loads(self._read_line(timeout))
            except (OSError, ValueError) as error:
                raise LinkError(f"the process that emulates the link is gone: {error}") from error
        if "error" in answer:
            raise SettingsError(answer["error"])
        return answer

    def _read_line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        line, deadline = b"", time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise LinkError(f"the process that emulates the link said nothing for {timeout:.0f} s")
                piece = os.read(self._process.stdout.fileno(), 65536)
                if not piece:
                    raise LinkError(f"the process that emulates the link ended with status {self._process.wait()}")
                line += piece
        return line

    def close(self) -> None:
        """End it; what it holds goes with it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
