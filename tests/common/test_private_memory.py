"""A process that keeps its memory private is closed to others of the same user."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# Forks twice, since another user may not be allowed to start this Python: one who is looked at, one who looks.
_LOOKING = """
import ctypes, json, os, signal, sys
from common.private_memory import keep_memory_private
libc = ctypes.CDLL(None, use_errno=True)
ready, told = os.pipe()
target = os.fork()
if target == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    keep_memory_private(False)  # as after an exec
    if sys.argv[1] == "private":
        keep_memory_private()
    os.write(told, b"x")
    signal.pause()
os.read(ready, 1)
looker = os.fork()
if looker == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    seen = []
    for name in ("environ", "mem", "maps"):
        try:
            open(f"/proc/{target}/{name}", "rb").read(1 if name != "mem" else 0)
            seen.append(name)
        except OSError:
            pass
    if libc.ptrace(16, target, None, None) == 0:
        seen.append("ptrace")
    print(json.dumps(seen), flush=True)
    os._exit(0)
os.waitpid(looker, 0)
os.kill(target, signal.SIGKILL)
os.waitpid(target, 0)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("kind", ["private", "open"])
def test_others_of_the_same_user_cannot_look_in(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOKING, kind], capture_output=True, text=True, check=True, timeout=60
    )
    seen = json.loads(done.stdout)
    assert seen == [] if kind == "private" else "environ" in seen
