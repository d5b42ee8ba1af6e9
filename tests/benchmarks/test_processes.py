from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import benchmarks.processes
from benchmarks.processes import wait_gone

TETHER = Path(benchmarks.processes.__file__).with_name("tether.py")
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-IS", sys.argv[1], str(os.getpid()), "sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_a_tethered_process_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(TETHER)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        os.kill(child, 0)  # it lives
        parent.kill()
        parent.wait()
        assert wait_gone([child], 10.0) == []
    finally:
        parent.kill()
        if wait_gone([child], 0.0):
            os.kill(child, signal.SIGKILL)


def test_a_tether_whose_parent_is_gone_runs_nothing() -> None:
    done = subprocess.run([sys.executable, "-IS", str(TETHER), "1", "echo", "ran"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
