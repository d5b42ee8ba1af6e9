"""What the containers are: all packets cross the router, unmasked; daemons have no rights."""

from __future__ import annotations

import json

import pytest

from tests.docker.stack import Stack

pytestmark = [pytest.mark.timeout(2400), pytest.mark.slow]


def _counted(stack: Stack) -> dict[str, int]:
    """Bytes that the router's interfaces have received so far."""
    read = "import json, pathlib; print(json.dumps({p.name: int((p / 'statistics/rx_bytes').read_text()) "
    read += "for p in pathlib.Path('/sys/class/net').glob('eth*')}))"
    counted = json.loads(stack.docker("exec", stack.container("wan"), "python", "-c", read))
    assert isinstance(counted, dict)
    return counted


def test_the_cloud_is_behind_the_router(stack: Stack) -> None:
    (hops,) = stack.inside("edge", "hops", "cloud", "50051")
    assert hops > 1, "a packet that no router handed on reached the cloud"


def test_all_bytes_cross_the_router(stack: Stack) -> None:
    before = _counted(stack)
    clips = "/opt/eventspec/lib/python3*/site-packages/common/tiny/clips"
    ask = f"eventspec-edge ask 'what moves?' --events {clips}/race.h5 --video {clips}/race.mp4 --json"
    report = json.loads(stack.docker("exec", stack.container("edge"), "sh", "-c", ask))
    after = _counted(stack)
    received = sorted(after[name] - before[name] for name in after)
    assert received[0] > report["downlink_bytes"]
    assert received[1] > sum(report["uplink_bytes"].values())


def test_the_cloud_sees_the_edge_itself(stack: Stack) -> None:
    """No masquerading: the connection's other end is the edge's own address."""
    assert stack.inside("cloud", "peers", "50051") == [f"{stack.environment['EVENTSPEC_NET']}.3.1"]


@pytest.mark.parametrize("service", ["edge", "cloud"])
def test_daemons_have_no_rights(stack: Stack, service: str) -> None:
    status = stack.docker("exec", stack.container(service), "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert "0" not in fields["Uid"].split()
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}


def test_a_daemon_that_died_comes_back_behind_the_link(stack: Stack) -> None:
    """The route belongs to the network's owner, so a restarted daemon still has it."""
    before = stack.docker("inspect", "--format", "{{.State.StartedAt}}", stack.container("edge"))
    stack.docker("restart", "--time", "5", stack.container("edge"))
    stack.up("lan")
    assert stack.docker("inspect", "--format", "{{.State.StartedAt}}", stack.container("edge")) != before
    (hops,) = stack.inside("edge", "hops", "cloud", "50051")
    assert hops > 1
