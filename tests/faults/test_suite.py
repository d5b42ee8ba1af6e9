"""A hundred faults against running daemons, as `eventspec-bench faults` injects them: none may end wrong or hang.

`EVENTSPEC_FAULTS` changes how many: a person in a hurry takes 10, a release 1000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

COUNT = int(os.environ.get("EVENTSPEC_FAULTS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * COUNT)
def test_no_fault_ends_wrong_or_hangs_and_no_session_is_left() -> None:
    command = [sys.executable, "-m", "benchmarks", "faults", "--count", str(COUNT), "--seed", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    bad = [o for o in summary["outcomes"] if o["ending"] in ("wrong", "hung")]
    assert bad == [], done.stderr[-3000:]
    assert summary["leaked"] == {}
    assert done.returncode == 0
    assert summary["injected"] + sum(summary["skipped"].values()) == COUNT
    assert summary["identical"] >= 0.7 * summary["injected"]  # ... and mostly nobody notices anything
    assert summary["trouble"] == []
