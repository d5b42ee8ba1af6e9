"""How each kind of fault is injected. Each returns when its harm is over: the moment from which answers recover."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.faults.asks import Asker, ClientProcess, new_id, request_for
from benchmarks.faults.rig import Rig, kill
from benchmarks.faults.schedule import Fault, Kind
from common.ask import Mode
from common.errors import LinkError


@dataclass
class Struck:
    """What an injection did.

    Attributes:
        healed: the monotonic time from which answers can recover.
        load_s: how long a process took to load meanwhile.
        extra: askers that the injection itself began, and whether the first question's truth is theirs; of others only
            the way in which they end counts.
        skipped: why nothing was injected.
    """

    healed: float
    load_s: float = 0.0
    extra: tuple[tuple[Asker, bool], ...] = ()
    skipped: str = ""


def strike(rig: Rig, fault: Fault) -> Struck:
    """Inject a fault, and wait until its harm is over."""
    return _STRIKES[fault.kind](rig, fault)


def _kill_cloud(rig: Rig, _: Fault) -> Struck:
    os.kill(rig.front.pid, signal.SIGKILL)
    rig.front.daemon.process.wait()
    cloud = rig.start_cloud().wait_ready()
    return Struck(cloud.ready, load_s=cloud.ready - cloud.started)


def _wait_engine(rig: Rig, timeout: float = 240.0) -> float:
    """When the front said that a new engine is ready. Its log was empty before the fault."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if any("the engine is ready again" in line for line in rig.front.daemon.log):
            return time.monotonic()
        time.sleep(0.01)
    raise LinkError("the engine didn't come back")


def _kill_engine(rig: Rig, _: Fault) -> Struck:
    engine = rig.engine
    if engine is None:
        return Struck(time.monotonic(), skipped="there was no engine process")
    began = time.monotonic()
    kill(engine)
    healed = _wait_engine(rig)
    return Struck(healed, load_s=healed - began)


def _kill_edge(rig: Rig, fault: Fault) -> Struck:
    """And while nobody is there, the same is asked under another name."""
    index = fault.questions[0].edge
    edge = rig.edges[index]
    edge.daemon.kill()
    question = fault.questions[0]
    meanwhile = Asker(rig.address(index), request_for(question, rig.clips[question.clip], new_id()))
    edge = rig.start_edge(index).wait_ready()
    return Struck(edge.ready, load_s=edge.ready - edge.started, extra=((meanwhile, True),))


def _kill_asker(rig: Rig, fault: Fault) -> Struck:
    """A client process of its own; then whoever killed it asks again, by the same id."""
    question = fault.questions[0]
    request = request_for(question, rig.clips[question.clip], new_id())
    client = ClientProcess(rig.address(question.edge), request)
    try:
        client.read_some()
        time.sleep(random.Random(fault.seed).uniform(0.0, 0.4))
    finally:
        client.kill()
    again = Asker(rig.address(question.edge), request)
    return Struck(time.monotonic(), extra=((again, True),))


def _cut(rig: Rig, fault: Fault) -> Struck:
    if not hasattr(rig.link, "cut"):
        return Struck(time.monotonic(), skipped=f"the backend {rig.link.backend} can't be cut")
    rig.link.cut(fault.seconds)
    healed = time.monotonic() + fault.seconds
    time.sleep(fault.seconds)
    return Struck(healed)


def _relay(rig: Rig, fault: Fault) -> Struck:
    order = {"do": str(fault.kind), "way": fault.way, "seconds": fault.seconds, "rate": fault.rate, "seed": fault.seed}
    if not rig.strike_relay(order).get("struck"):
        return Struck(time.monotonic(), skipped="there was no connection")
    return Struck(time.monotonic())


def _clock_jump(rig: Rig, fault: Fault) -> Struck:
    if not rig.clock.here:
        return Struck(time.monotonic(), skipped="no C compiler for the shim")
    draw = random.Random(fault.seed)
    for _ in range(4):
        rig.clock.jump(draw.choice((-1.0, 1.0)) * draw.choice((1.5, 3600.0, 86_400.0 * 400)))
        time.sleep(draw.uniform(0.02, 0.2))
    rig.clock.jump(0.0)
    return Struck(time.monotonic())


def _full_disk(rig: Rig, fault: Fault) -> Struck:
    """No file of the edge may grow: writing fails as on a full disk."""
    pid = rig.edges[fault.questions[0].edge].pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    question = fault.questions[0]
    during = Asker(rig.address(question.edge), request_for(question, rig.clips[question.clip], new_id()))
    during.wait(time.monotonic() + 20.0)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    return Struck(time.monotonic(), extra=((during, True),))


def _engine_order(rig: Rig, fault: Fault) -> Struck:
    taken = rig.order_engine({"do": str(fault.kind), "seconds": fault.seconds, "seed": fault.seed})
    return Struck(time.monotonic(), skipped="" if taken else "no step came: the answers were over")


def _hang(rig: Rig, fault: Fault) -> Struck:
    began, ordered = time.monotonic(), _engine_order(rig, fault)
    if ordered.skipped:
        return ordered
    healed = _wait_engine(rig)
    return Struck(healed, load_s=healed - began)


def _bad_neighbour(rig: Rig, fault: Fault) -> Struck:
    question, draw = fault.questions[0], random.Random(fault.seed)
    request = request_for(question, rig.clips[question.clip], new_id())
    if draw.random() < 0.5:
        broken = rig.folder / f"broken-{fault.index}.mp4"
        data = bytearray(Path(request.video_path).read_bytes())
        for _ in range(200):
            data[draw.randrange(len(data) // 4, len(data))] ^= draw.randrange(1, 256)
        broken.write_bytes(data)
        request = replace(request, video_path=str(broken), mode=Mode.CLOUD_ONLY, events_path="")
    else:
        request = replace(request, question="why? " * 2_000)
    neighbour = Asker(rig.address(question.edge), request)
    return Struck(time.monotonic(), extra=((neighbour, False),))


_STRIKES: dict[Kind, Callable[[Rig, Fault], Struck]] = {
    Kind.KILL_CLOUD: _kill_cloud,
    Kind.KILL_ENGINE: _kill_engine,
    Kind.KILL_EDGE: _kill_edge,
    Kind.KILL_ASKER: _kill_asker,
    Kind.CUT: _cut,
    Kind.HALF_OPEN: _relay,
    Kind.RESET: _relay,
    Kind.REORDER: _relay,
    Kind.DUPLICATE: _relay,
    Kind.DAMAGE: _relay,
    Kind.CORRUPT: _relay,
    Kind.TRICKLE: _relay,
    Kind.CLOCK_JUMP: _clock_jump,
    Kind.FULL_DISK: _full_disk,
    Kind.NO_MEMORY: _engine_order,
    Kind.HANG: _hang,
    Kind.ERROR: _engine_order,
    Kind.NOT_FINITE: _engine_order,
    Kind.BAD_NEIGHBOUR: _bad_neighbour,
}
