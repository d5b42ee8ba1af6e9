"""Links whose two sides are network namespaces, held by the emulator's process: `tun` and `netem`.

Nothing has a name outside that process: when it ends, however it ends, devices and namespaces end with it, as soon as
no process is left in them; and it kills those before it ends by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.link.child import HelperProcess
from benchmarks.link.kernel import network_namespace
from benchmarks.link.namespaces import CLOUD_ADDRESS, kill_inhabitants
from benchmarks.link.profile import LinkProfile

_ENTER = str(Path(__file__).with_name("enter.py"))


class NamespacedLink:
    """See `EmulatedLink` for what it offers. Commands run where only the link leads out.

    Raises:
        SettingsError: a right or a device is missing, or the backend can't emulate the profile.
        LinkError: the emulator's process failed.
    """

    def __init__(self, backend: str, module: str, profile: LinkProfile) -> None:
        self.backend = backend
        self.profile: LinkProfile | None = profile
        self._process = HelperProcess(module, message=profile.as_dict())
        try:
            self._paths = [f"/proc/{self._process.pid}/fd/{n}" for n in self._process.ready["namespaces"]]
            self._spaces = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in self._paths]
        except BaseException:
            self._process.close()
            raise
        self.notes = tuple(self._process.ready["notes"])

    def edge_command(self, command: Sequence[str]) -> list[str]:
        return self._command(0, command)

    def cloud_command(self, command: Sequence[str]) -> list[str]:
        return self._command(1, command)

    def _command(self, side: int, command: Sequence[str]) -> list[str]:
        return [sys.executable, "-I", "-S", _ENTER, self._paths[side], *command]

    def cloud_listen(self) -> str:
        return f"{CLOUD_ADDRESS}:0"

    def reach(self, address: str) -> str:
        return address

    def cloud_path(self) -> str:
        """The cloud's namespace as a file, as long as the link is up."""
        return self._paths[1]

    def statistics(self) -> dict[str, Any]:
        """What the emulator counted so far, by direction (`up`, `down`); empty where it can't count."""
        return self._process.request({"do": "statistics"})

    def cut(self, seconds: float) -> None:
        """Drop every packet for so long, from now on. Only `tun` can."""
        self._process.request({"do": "cut", "seconds": seconds})

    def close(self) -> None:
        if not self._spaces:
            return
        self._process.close()
        home = network_namespace()
        kill_inhabitants(self._spaces, home)  # it did so itself, unless it was killed
        for descriptor in (home, *self._spaces):
            os.close(descriptor)
        self._spaces = []
