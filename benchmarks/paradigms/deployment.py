"""The running processes of a comparison, on the two sides of a link, and one way to ask all of them.

The bench process asks over unix sockets, which work across network namespaces. Every paradigm that uses the link has an
edge process of its own, hence connections of its own: none profits from a congestion window that another one's upload
has opened. All share one cloud daemon.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.asking import Values, ask_clip
from benchmarks.clips import ClipQuestion
from benchmarks.link.base import EmulatedLink
from benchmarks.paradigms.ahead import ask_when_recorded, watched
from benchmarks.paradigms.base import Need, Paradigm
from benchmarks.processes import DaemonProcess
from common.ask import Mode
from common.errors import EventSpecError, LinkError
from common.types import SamplingParams

SHIPPED_ADAPTER = "tiny-L5F"
"""Of the shipped pair, and of no other."""

_SERVING = "benchmarks.paradigms.serving"


@dataclass(frozen=True, slots=True)
class Models:
    """Which models, and how they run. None: the shipped tiny ones."""

    target: Path | None = None
    drafter: Path | None = None
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1

    def flags(self, folder: Path | None) -> list[str]:
        """Flags of a daemon's `serve`."""
        flags = ["--threads", str(self.threads), "--device", self.device, "--dtype", self.dtype]
        return [*flags, "--model", str(folder)] if folder is not None else flags


@dataclass(frozen=True, slots=True)
class Layout:
    """How processes are laid out.

    Attributes:
        models: of all processes.
        replay: profile of stage times for all daemons; empty for none.
        share_edge: one edge daemon for all paradigms, for drafters that don't fit into memory several times.
        edge_address: an edge daemon that runs elsewhere; nothing is started, only its paradigms can be asked.
        clients: edge daemons for each paradigm (or for all, if they share one).
        sessions: the cloud's.
        adapter: folder or name of the adapter of paradigms whose drafts carry states; empty if there is none.
        draft_form: what those drafts carry.
        patience_ms: how long a patient cloud waits for a draft.
        timeout_s: longest start of a process.
    """

    models: Models = Models()
    replay: str = ""
    share_edge: bool = False
    edge_address: str = ""
    clients: int = 1
    sessions: int = 8
    timeout_s: float = 300.0
    adapter: str = ""
    draft_form: str = "hidden"
    patience_ms: int = 200


class DaemonDiedError(LinkError):
    """A process of the comparison ended; its last words are in the message. Starting again may help."""


class Deployment:
    """All processes that `paradigms` need; a context manager."""

    def __init__(self, link: EmulatedLink, paradigms: Sequence[Paradigm], layout: Layout) -> None:
        self._link = link
        self._layout = layout
        self._paradigms = list(paradigms)
        self._folder = tempfile.TemporaryDirectory(prefix="eventspec-bench-")
        self._processes: list[DaemonProcess] = []
        self._asked: dict[str, DaemonProcess] = {}
        self._cloud: DaemonProcess | None = None

    def __enter__(self) -> Deployment:
        try:
            if not self._layout.edge_address:
                self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------------------- starting

    def _start(self) -> None:
        over_link = [p for p in self._paradigms if p.need is not Need.IN_PROCESS]
        if any(p.need is Need.IN_PROCESS for p in self._paradigms):
            self._asked["in_process"] = self._start_in_process()
        if over_link:
            self._cloud = self._start_cloud()
            self._ready(self._cloud)
        gateway = self._start_gateway() if any(p.need is Need.COLOCATED for p in over_link) else None
        edges = {
            self._key(p, client): p for p in over_link if p.need is Need.EDGE for client in range(self._layout.clients)
        }
        for key in sorted(edges):
            self._asked[key] = self._start_edge(key, states=edges[key].states)
        if gateway is not None:
            self._ready(gateway)
            self._asked["colocated"] = self._start_agent(gateway)
        for process in self._processes:
            self._ready(process)

    def _key(self, paradigm: Paradigm, client: int = 0) -> str:
        if paradigm.need is not Need.EDGE:
            return str(paradigm.need.value)
        shared = "edge-states" if paradigm.states else "edge"
        return f"{shared if self._layout.share_edge else paradigm.label}-{client}"

    def _socket(self, name: str) -> str:
        return f"unix:{self._folder.name}/{name.replace('/', '-')}"

    def _run(self, module: str, arguments: list[str], **how: Any) -> DaemonProcess:
        process = DaemonProcess.start(module, arguments, **how)
        self._processes.append(process)
        return process

    def _ready(self, process: DaemonProcess) -> None:
        process.wait_ready(self._layout.timeout_s)

    @property
    def _replay(self) -> list[str]:
        return ["--replay", self._layout.replay] if self._layout.replay else []

    def _start_cloud(self) -> DaemonProcess:
        models = self._layout.models
        sessions = ["--sessions", str(self._layout.sessions)]
        if any(paradigm.states for paradigm in self._paradigms):
            sessions += ["--adapter", self._layout.adapter]
        # the link's own network namespaces: nobody else is in them
        where = ["--insecure", "--listen", self._link.cloud_listen()]
        arguments = [*where, *models.flags(models.target), *sessions, *self._replay]
        return self._run("cloud", arguments, wrap=self._link.cloud_command)

    def _start_edge(self, name: str, *, states: bool) -> DaemonProcess:
        assert self._cloud is not None
        models, cloud = self._layout.models, self._link.reach(self._cloud.address)
        arguments = ["--listen", self._socket(name), "--cloud", cloud, *models.flags(models.drafter), *self._replay]
        if models.target is not None:  # loaded when edge_vision is asked for
            arguments += ["--vision-model", str(models.target)]
        if states:
            arguments += ["--adapter", self._layout.adapter, "--draft-form", self._layout.draft_form]
        return self._run("edge", arguments, wrap=self._link.edge_command)

    def _start_gateway(self) -> DaemonProcess:
        assert self._cloud is not None
        models = self._layout.models
        settings: dict[str, Any] = {
            "listen": self._link.cloud_listen(),
            "insecure": True,
            "cloud": self._cloud.address,
            "model": str(models.drafter or ""),
            "device": models.device,
            "dtype": models.dtype,
            "threads": models.threads,
        }
        if self._layout.replay:
            settings["replay"] = self._layout.replay
        return self._run(_SERVING, [json.dumps(settings)], wrap=self._link.cloud_command, word="gateway")

    def _start_agent(self, gateway: DaemonProcess) -> DaemonProcess:
        arguments = ["--gateway", self._link.reach(gateway.address), "--listen", self._socket("agent"), *self._replay]
        return self._run(_SERVING, arguments, wrap=self._link.edge_command, word="agent")

    def _start_in_process(self) -> DaemonProcess:
        models = self._layout.models
        arguments = ["--listen", self._socket("in-process"), *models.flags(models.target)]
        if models.drafter is not None:
            arguments += ["--drafter", str(models.drafter)]
        return self._run(_SERVING, arguments, word="in-process")

    # ------------------------------------------------------------------------------------------------ asking

    def address(self, paradigm: Paradigm, client: int = 0) -> str:
        """Where that client's questions to this paradigm go."""
        if self._layout.edge_address:
            return self._layout.edge_address
        return self._asked[self._key(paradigm, client)].address

    def watched(self, paradigm: Paradigm, clip: ClipQuestion, client: int = 0) -> AbstractContextManager[str]:
        """Has that client's daemon stream a clip, and names its watch as soon as both models have taken it in."""
        return watched(self.address(paradigm, client), clip, paradigm.ask)

    def ask(
        self,
        paradigm: Paradigm,
        clip: ClipQuestion,
        sampling: SamplingParams,
        max_tokens: int,
        client: int = 0,
        watch: str = "",
    ) -> Values:
        """The report of one answer; clients may ask at the same time, from threads of their own.

        `watch` names the clip, if it is watched already.

        Raises:
            DaemonDiedError: a process has ended.
            LinkError: the link failed so that the answer isn't this paradigm's.
            EventSpecError: there is no answer, and why.
        """
        try:
            ask = ask_when_recorded if paradigm.ahead else partial(ask_clip, watch=watch)
            report = ask(
                self.address(paradigm, client),
                clip,
                paradigm.ask,
                sampling=sampling,
                max_tokens=max_tokens,
                pace=paradigm.pace,
                draft_length=paradigm.draft_length,
                branches=paradigm.branches,
                patience_ms=self._layout.patience_ms,
            )
        except EventSpecError as error:
            self.check()
            raise LinkError(f"{paradigm.label}, {clip.clip}, {clip.question!r}: {error}") from error
        self.check()
        if report["mode"] != paradigm.ask.value and paradigm.ask is not Mode.EDGE_ONLY:
            raise LinkError(f"{paradigm.label}: the link failed and the answer ended as {report['mode']}; try again")
        return report

    def check(self) -> None:
        """Raise DaemonDiedError if a process has ended."""
        for process in self._processes:
            if process.process.poll() is not None:
                last = "\n".join(process.log[-6:])
                raise DaemonDiedError(f"the {process.name} daemon died (status {process.process.returncode}):\n{last}")

    def stop(self) -> None:
        """End all processes, edges first."""
        for process in reversed(self._processes):
            if process.process.poll() is None:
                process.process.terminate()
        for process in reversed(self._processes):
            process.stop()
        self._processes, self._asked, self._cloud = [], {}, None
        self._folder.cleanup()
