"""Ways of drafting with running daemons, on the two sides of a link: times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from benchmarks.alignment.ways import Way
from benchmarks.asking import ask_clip
from benchmarks.clips import ClipQuestion
from benchmarks.link.base import EmulatedLink
from benchmarks.paradigms.ahead import watched
from benchmarks.processes import DaemonProcess
from benchmarks.results import Run, run_of_report
from common.errors import LinkError
from common.types import Pace, SamplingParams

_READY_S = 180.0


@dataclass(frozen=True, slots=True)
class Laid:
    """How daemons are laid out.

    Attributes:
        link: that is up.
        threads: of each process.
        replay: profile of stage times; empty for none.
        watched: each clip has been taken in by both models before the question comes.
    """

    link: EmulatedLink
    threads: int = 1
    replay: str = ""
    watched: bool = False

    @property
    def flags(self) -> list[str]:
        """Of every daemon."""
        return ["--threads", str(self.threads), *(["--replay", self.replay] if self.replay else [])]


@contextmanager
def serving(ways: Sequence[Way], laid: Laid) -> Iterator[dict[Way, str]]:
    """The edges' sockets, each with a cloud that has its adapter; all daemons are gone afterwards.

    Every way has an edge of its own, hence connections of its own.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="eventspec-bench-"))
        clouds: dict[str, DaemonProcess] = {}
        edges: dict[Way, DaemonProcess] = {}
        for way in ways:
            if way.cloud_adapter not in clouds:
                cloud = clouds[way.cloud_adapter] = _start_cloud(way.cloud_adapter, laid)
                stack.callback(cloud.stop)
        for number, way in enumerate(ways):
            cloud = clouds[way.cloud_adapter]
            cloud.wait_ready(_READY_S)
            where = ["--listen", f"unix:{folder}/{number}", "--cloud", laid.link.reach(cloud.address)]
            edge = edges[way] = DaemonProcess.start(
                "edge", [*where, *way.edge_arguments, *laid.flags], wrap=laid.link.edge_command
            )
            stack.callback(edge.stop)
        for edge in edges.values():
            edge.wait_ready(_READY_S)
        yield {way: edge.address for way, edge in edges.items()}


def _start_cloud(adapter: str, laid: Laid) -> DaemonProcess:
    # the link's own network namespaces: nobody else is in them
    arguments = ["--insecure", "--listen", laid.link.cloud_listen(), *laid.flags]
    arguments += ["--adapter", adapter] if adapter else []
    return DaemonProcess.start("cloud", arguments, wrap=laid.link.cloud_command)


def ask_way(
    way: Way,
    address: str,
    clip: ClipQuestion,
    *,
    laid: Laid,
    pace: Pace | None,
    draft_length: int,
    sampling: SamplingParams,
    repetition: int,
) -> Run:
    """One answer.

    Raises:
        LinkError: the link failed so that the answer isn't this way's.
        EventSpecError: there is no answer, and why.
    """
    how: dict[str, Any] = {"pace": pace, "draft_length": draft_length, "sampling": sampling}
    with watched(address, clip, way.mode) if laid.watched else nullcontext("") as watch:
        report = ask_clip(address, clip, way.mode, watch=watch, **how)
    if report["mode"] != way.mode.value:
        raise LinkError(f"{way.label}: the link failed and the answer ended as {report['mode']}; try again")
    profile = laid.link.profile
    return run_of_report(
        report,
        paradigm=way.mode.value,
        link=profile.as_dict() if profile is not None else {},
        backend=laid.link.backend,
        clip=clip.clip,
        question=clip.question,
        expected=clip.expected,
        seed=sampling.seed,
        temperature=sampling.temperature,
        repetition=repetition,
    )
