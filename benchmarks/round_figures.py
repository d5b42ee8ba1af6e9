"""Draft-verify rounds of running daemons: what the runtime costs over loopback, and what an upload beside them costs.

Both look at rounds under the patient pace with drafts of a fixed length: a draft goes up, the cloud checks it, the
commit comes down. Each answer's first commit, which waits for the prompt, is left out.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.asking import ask_clip
from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.figures import Figure
from benchmarks.link.base import EmulatedLink
from benchmarks.link.namespaces import EDGE_ADDRESS
from benchmarks.link.opening import open_link
from benchmarks.link.profile import LinkProfile
from benchmarks.paradigms.catalogue import TOKENS_PATIENT
from benchmarks.paradigms.deployment import Deployment, Layout, Models
from benchmarks.paradigms.latency import long_questions
from benchmarks.paradigms.statistics import percentile
from benchmarks.processes import running_pair
from common.ask import Mode, WatchRequest
from common.errors import EventSpecError
from common.types import Pace
from edge.asking import watch_daemon

_DRAFT = 4
_ALONE = 12  # answers before each upload: about as many rounds as beside it
_UPLINK_MBPS, _RTT_MS = 5.0, 50.0
_MJPEG = {"strict": "unofficial", "qmin": "3", "qmax": "3"}


@dataclass(frozen=True, slots=True)
class Round:
    """One draft's way, in milliseconds: to its commit, and the cloud's own share of that.

    `handover_ms` is the time from the end of the drafter's work until the draft was sent.
    """

    whole_ms: float
    queue_ms: float
    forward_ms: float
    handover_ms: float

    @property
    def link_ms(self) -> float:
        """Without the cloud's queue and forward."""
        return max(0.0, self.whole_ms - self.queue_ms - self.forward_ms)


def rounds_of(report: Mapping[str, Any]) -> list[Round]:
    """The rounds of an answer behind its first commit."""
    ends = sorted(span["end_ms"] for span in report["stages"] if span["name"] == "draft")
    first = report["ttft_ms"]
    found = []
    for sent, heard, queue, forward in report["draft_trace"]:
        made = [end for end in ends if end <= sent]
        if heard > first and made:
            found.append(Round(heard - sent, queue, forward, sent - made[-1]))
    return found


def _ask(address: str, clip: ClipQuestion, watch: str = "") -> list[Round]:
    report = ask_clip(
        address, clip, Mode.STREAM_TO_CLOUD, pace=Pace.PATIENT, draft_length=_DRAFT, max_tokens=64, watch=watch
    )
    return rounds_of(report)


def measure_round(repetitions: int, model: Path | None) -> Figure:
    """Everything but the two models' forwards in a round over loopback, in the median of all rounds."""
    threads = ["--threads", "1"]
    questions = long_questions(load_questions(), 3)
    rounds: list[Round] = []
    with running_pair(target=model, cloud_arguments=threads, edge_arguments=threads) as pair:
        _ask(pair.edge.address, questions[0])
        for _ in range(repetitions):
            for question in questions:
                rounds += _ask(pair.edge.address, question)
    if not rounds:
        raise EventSpecError("no draft was checked after any first commit: the answers are too short for this figure")
    costs = [one.handover_ms + one.link_ms for one in rounds]
    details = {
        "rounds": len(rounds),
        "p95": _rounded(percentile(costs, 0.95)),
        "drafter's end to sending": _rounded(median(one.handover_ms for one in rounds)),
        "sending to commit, without queue and forward": _rounded(median(one.link_ms for one in rounds)),
        "queue": _rounded(median(one.queue_ms for one in rounds)),
        "forward": _rounded(median(one.forward_ms for one in rounds)),
        "load": round(os.getloadavg()[0], 2),
    }
    return Figure(
        "round", "a round without the models' forwards, loopback", median(costs), "ms", 3, at_least=False,
        details=details,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- video beside drafts


@dataclass
class _Phase:
    """Rounds without, or during, uploads."""

    rounds: list[Round] = field(default_factory=list)
    mbps: list[float] = field(default_factory=list)

    def p95(self, link_only: bool = False) -> float:
        values = [one.link_ms if link_only else one.whole_ms for one in self.rounds]
        found = percentile(values, 0.95)
        if found is None:
            raise EventSpecError("no round ended in time: the machine is too slow for this figure now; try again")
        return found

    def details(self) -> dict[str, Any]:
        return {
            "rounds": len(self.rounds),
            "p95": _rounded(self.p95()),
            "median": _rounded(median(one.whole_ms for one in self.rounds)),
            "p95 without queue and forward": _rounded(self.p95(link_only=True)),
            "median without queue and forward": _rounded(median(one.link_ms for one in self.rounds)),
        }


def measure_blocking(repetitions: int, model: Path | None, backend: str = "tun") -> Figure:
    """p95 of the time from draft to commit during another clip's upload, over the p95 without one.

    Raises:
        SettingsError: the link can't be had here; says what to do.
    """
    link_profile = LinkProfile("upload", rtt_ms=_RTT_MS, uplink_mbps=_UPLINK_MBPS, downlink_mbps=20.0)
    alone, beside = _Phase(), _Phase()
    question = long_questions(load_questions(), 1)[0]
    with tempfile.TemporaryDirectory() as folder, open_link(link_profile, backend) as link:
        video, congestion = _large_video(Path(folder) / "large.mkv"), _take_cubic(link)
        with Deployment(link, [TOKENS_PATIENT], Layout(Models(model))) as deployment:
            address = deployment.address(TOKENS_PATIENT)
            with _watched(address, question) as watch:
                _ask(address, question, watch)
                for _ in range(max(2, repetitions)):
                    alone.rounds += [one for _ in range(_ALONE) for one in _ask(address, question, watch)]
                    _beside_an_upload(address, question, watch, video, beside)
    details = {
        "link": f"{_UPLINK_MBPS:g} Mbit/s up, {_RTT_MS:g} ms, {link.backend}",
        "without upload": alone.details(),
        "during upload": beside.details(),
        "without the cloud's share": _rounded(beside.p95(link_only=True) / alone.p95(link_only=True), 2),
        "upload Mbit/s": [_rounded(mbps, 2) for mbps in beside.mbps],
        "load": round(os.getloadavg()[0], 2),
        "congestion control of the edge": congestion,
    }
    return Figure(
        "blocking", "draft to commit (p95), during a video upload against without", beside.p95() / alone.p95(), "x",
        1.3, at_least=False, details=details,
    )  # fmt: skip


def _take_cubic(link: EmulatedLink) -> str:
    """Let what the edge sends use CUBIC, which most devices have and which fills queues; what it uses then."""
    route = ["10.79.0.0/24", "dev", "edge", "proto", "kernel", "scope", "link", "src", EDGE_ADDRESS]
    try:
        command = link.edge_command(["ip", "route", "replace", *route, "congctl", "cubic"])
        done = subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0
    except OSError:
        done = False
    return "cubic" if done else "; ".join(link.notes)


@contextmanager
def _watched(address: str, clip: ClipQuestion) -> Iterator[str]:
    """A clip that is up, with a drafter that has its events."""
    states = watch_daemon(address, WatchRequest(str(clip.video.resolve()), str(clip.events.resolve())))
    try:
        yield next(state.watch for state in states if state.complete and state.drafter_ready)
    finally:
        states.close()


def _beside_an_upload(address: str, question: ClipQuestion, watch: str, video: Path, phase: _Phase) -> None:
    """Ask for as long as a large video goes up; rounds of answers that outlast it don't count."""
    up, done = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def upload() -> None:
        states = watch_daemon(address, WatchRequest(str(video)))
        try:
            for state in states:
                if state.bytes_sent > 128 << 10:
                    up.set()
                if state.complete:
                    phase.mbps.append(state.bytes_sent * 8e-3 / state.at_ms)
                    return
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()
            up.set()
            states.close()

    uploading = threading.Thread(target=upload, daemon=True)
    uploading.start()
    up.wait()
    while not done.is_set():
        rounds = _ask(address, question, watch)
        if not done.is_set():
            phase.rounds += rounds
    uploading.join()
    if failed:
        raise failed[0]


def _large_video(path: Path, megabytes: float = 6.0) -> Path:
    """Noise as MJPEG, each picture large: about ten seconds of the link's whole rate, and cheap to decode."""
    import numpy as np

    from edge.video import write_video

    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(4)]
    write_video(path, pictures, fps=10, codec="mjpeg", options=_MJPEG)
    count = max(8, round(megabytes * 1e6 / (path.stat().st_size / len(pictures))))
    frames = (pictures[number % len(pictures)] for number in range(count))
    write_video(path, frames, fps=10, codec="mjpeg", options=_MJPEG)
    return path


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
