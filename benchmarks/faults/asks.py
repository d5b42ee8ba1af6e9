"""The askers: one thread an answer, which writes down all it sees; and a client process that can be killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

from benchmarks.clips import ClipQuestion
from benchmarks.faults.judge import Witness
from benchmarks.faults.schedule import Question
from common.ask import Answer, AskRequest, Mode, Notice, Report
from edge.asking import ask_daemon

RECONNECT_S = 100.0


def request_for(question: Question, clip: ClipQuestion, answer_id: str = "") -> AskRequest:
    """The question as the edge daemon takes it."""
    return AskRequest(
        question=clip.question,
        events_path="" if question.mode is Mode.CLOUD_ONLY else str(clip.events.resolve()),
        video_path=str(clip.video.resolve()),
        mode=question.mode,
        sampling=question.sampling,
        max_tokens=question.max_tokens,
        pace=question.pace,
        answer_id=answer_id,
    )


class Asker:
    """One answer, asked for in a thread."""

    def __init__(self, address: str, request: AskRequest) -> None:
        self.request = request
        self.witness = Witness()
        self.asked_at = time.monotonic()
        self.ended_at: float | None = None
        self._address = address
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for event in ask_daemon(self._address, self.request, reconnect_s=RECONNECT_S):
                match event:
                    case Answer():
                        if not self.witness.shown or event.committed_text != self.witness.shown[-1][1]:
                            self.witness.shown.append((time.monotonic(), event.committed_text))
                    case Notice(text):
                        self.witness.notices.append(text)
                    case Report(values):
                        self.witness.report = values
        except BaseException as error:
            self.witness.error = error
        self.ended_at = time.monotonic()

    @property
    def committed(self) -> str:
        """The committed text so far."""
        shown = self.witness.shown
        return shown[-1][1] if shown else ""

    @property
    def done(self) -> bool:
        """Whether it ended, well or not."""
        return self.ended_at is not None

    def wait(self, deadline: float) -> bool:
        """Until it ended, or the deadline (monotonic) came."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return self.done


class ClientProcess:
    """`eventspec-edge ask` as a process of its own."""

    def __init__(self, address: str, request: AskRequest) -> None:
        command = [sys.executable, "-P", "-m", "edge", "ask", request.question, "--edge", address]
        command += ["--video", request.video_path, "--mode", request.mode.value]
        command += ["--events", request.events_path] if request.events_path else []
        command += ["--max-tokens", str(request.max_tokens), "--answer-id", request.answer_id]
        command += ["--pace", request.pace.value] if request.pace is not None else []
        sampling = request.sampling
        command += ["--temperature", str(sampling.temperature), "--top-p", str(sampling.top_p)]
        command += ["--seed", str(sampling.seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def read_some(self) -> bytes:
        """Wait for its first words."""
        assert self._process.stdout is not None
        return self._process.stdout.read(1)

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.communicate()


def new_id() -> str:
    """An id for an answer."""
    return uuid.uuid4().hex
