"""The router that docker compose runs between its two networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.link.router import find_interface
from common.errors import SettingsError
from tests.benchmarks.link.sides import needs_tun

ROOT = Path(__file__).parents[3]


@needs_tun
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")
def test_what_crosses_the_router_crosses_the_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.link.staged_router", str(tmp_path / "ready")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert "net.ipv4.ip_forward=1" in values["complaint"]
    assert abs(values["trips"][10] - 40.0) <= 3.0
    assert values["status"] == 0
    ready, counted = values["output"].splitlines()
    assert ready == "router ready: edge's network on e0, cloud's on c0, tun, profile 40ms-20M"
    assert json.loads(counted)["up"]["delivered"] >= 20
    assert "1010" not in values["rules"]
    assert json.loads((tmp_path / "ready").read_text())["backend"] == "tun"


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("no-such-dev", "there is no interface"),
        ("300.1.2.0/24", "is no network"),
        ("203.0.113.0/24", "no interface has an address"),
    ],
)
def test_sides_that_are_not_there(where: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        find_interface(where)
    assert find_interface("127.0.0.0/8") == "lo"
