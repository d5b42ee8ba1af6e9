"""What a daemon that is broken into can't do: an attacker inside the running containers, as the daemon's own user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docker.stack import Stack

pytestmark = [pytest.mark.timeout(2400), pytest.mark.slow]

_ATTACK = Path(__file__).with_name("attack.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("service", ["cloud", "edge"])
def test_nothing_is_got_from_inside(stack: Stack, service: str) -> None:
    container = stack.container(service)
    found = json.loads(stack.docker("exec", container, "python", "-I", "-c", _ATTACK, "--share", timeout=120))
    assert found.pop("find the daemon") == "found", "nothing was attacked"
    assert [attempt for attempt, how in found.items() if "DONE" in how] == []
    assert found["fork without end"] == "EAGAIN"
    assert found["fill /tmp"] == "ENOSPC"
    stack.up("lan")  # and it is still healthy
    assert stack.health(service) == "healthy"
