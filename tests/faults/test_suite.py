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
PART = 25  # faults to the same daemons
PARTS = [range(first, min(first + PART, COUNT)) for first in range(0, COUNT, PART)]


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * PART)
@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.start}-{part.stop - 1}")
def test_no_fault_ends_wrong_or_hangs_and_no_session_is_left(part: range) -> None:
    command = [sys.executable, "-m", "benchmarks", "faults", "--count", str(COUNT), "--seed", "1", "--json"]
    command += [word for index in part for word in ("--only", str(index))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    bad = [o for o in summary["outcomes"] if o["ending"] in ("wrong", "hung")]
    assert bad == [], done.stderr[-3000:]
    assert summary["leaked"] == {}
    assert done.returncode == 0
    assert summary["injected"] + sum(summary["skipped"].values()) == len(part)
    assert summary["identical"] >= 0.7 * summary["injected"]  # ... and mostly nobody notices anything
    assert summary["trouble"] == []
