"""The limit of open files: raised at the start, shown by doctor, and kept to where it can't be raised."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
import asyncio, logging, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
logging.basicConfig()
from common.doctor_checks import open_files
from common.server import DaemonServer
(check,) = open_files()
print(check)
async def main():
    DaemonServer("eventspec.v1.Test", 1 << 20)
asyncio.run(main())
print("now", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "now", "said"),
    [
        (200, 2_000, 2_000, "the limit of open files allows 744 connections: raise it (ulimit -n, LimitNOFILE)"),
        (200, 2_000, 2_000, "which a daemon raises to 2,000; 1,024 connections need 2,560"),
        (200, 4_000, 4_000, "200, which a daemon raises to 4,000"),
        (4_000, 4_000, 4_000, "4,000"),
    ],
)
def test_the_limit_is_raised_or_told(soft: int, hard: int, now: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(soft=soft, hard=hard)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"now {now}" in done.stdout
    assert said in done.stdout + done.stderr
    assert ("allows" in done.stderr) == (hard < 2_560)
