"""The compose project under test: started, asked, looked into, and taken down whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "eventspec-test"
DAEMONS = ("cloud", "edge", "wan")
_INSIDE = Path(__file__).with_name("inside.py")


class DockerError(Exception):
    """Docker or compose failed; says what they said."""


def compose_command() -> list[str]:
    """`docker compose` (v2) where there is one, else `docker-compose` (v1.29); the environment's COMPOSE goes first."""
    if os.environ.get("COMPOSE"):
        return os.environ["COMPOSE"].split()
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise DockerError("there is neither `docker compose` nor `docker-compose`: install one")


@dataclass(frozen=True)
class Stack:
    """The project's containers. `logs` receives what builds and compose print."""

    compose: tuple[str, ...]
    environment: dict[str, str]
    artifacts: Path
    logs: IO[str]

    def run(self, *arguments: str, timeout: float = 300.0, profile: str | None = None) -> str:
        """Run compose; returns what it printed.

        Raises:
            DockerError: it failed or took too long.
        """
        command = [*self.compose, "-p", PROJECT, "-f", "docker/compose.yaml", "--profile", "bench", *arguments]
        return self._call(command, timeout, {"EVENTSPEC_PROFILE": profile} if profile else {})

    def docker(self, *arguments: str, timeout: float = 60.0) -> str:
        """Run docker; returns what it printed. Raises DockerError."""
        return self._call(["docker", *arguments], timeout, {})

    def _call(self, command: Sequence[str], timeout: float, more: dict[str, str]) -> str:
        self.logs.write(f"$ {' '.join(command)}\n")
        self.logs.flush()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # signals to our own group don't reach it: taking down is never cut short
        )
        try:
            printed, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise DockerError(f"{' '.join(command)} took longer than {timeout:.0f} s") from error
        except BaseException:
            _end(process)
            raise
        self.logs.write(errors)
        self.logs.flush()
        if process.returncode != 0:
            raise DockerError(f"{' '.join(command)} ended with status {process.returncode}:\n{errors[-3000:]}")
        return printed

    def build(self, timeout: float) -> None:
        """All images, through the script that users run."""
        more = {"COMPOSE": " ".join(self.compose)}
        self.logs.write(self._call(["docker/build.sh"], timeout, more))

    def container(self, service: str) -> str:
        """The id of a service's container."""
        found = self.run("ps", "-q", service).split()
        if not found:
            raise DockerError(f"the service {service} has no container")
        return found[-1]

    def health(self, service: str) -> str:
        """`starting`, `healthy`, `unhealthy`, or why there is none."""
        state = json.loads(self.docker("inspect", "--format", "{{json .State}}", self.container(service)))
        return str(state.get("Health", {}).get("Status", state["Status"]))

    def up(self, profile: str, timeout: float = 180.0) -> None:
        """Start all, or give a running pair another link; returns when all are healthy.

        Raises:
            DockerError: they didn't become so.
        """
        self.run("up", "-d", "--no-build", "cloud", "edge", "wan", profile=profile)
        deadline = time.monotonic() + timeout
        states: dict[str, str] = {}
        while time.monotonic() < deadline:
            states = {service: self.health(service) for service in DAEMONS}
            if all(state == "healthy" for state in states.values()):
                return
            time.sleep(0.5)
        raise DockerError(
            f"not healthy within {timeout:.0f} s: {states}\n{self.log_text('cloud', 'edge', 'wan')[-3000:]}"
        )

    def inside(self, service: str, *arguments: str) -> list[Any]:
        """Run `inside.py` in a service's container; returns the JSON list that it printed."""
        code = _INSIDE.read_text(encoding="utf-8")
        printed = self.docker("exec", self.container(service), "python", "-c", code, *arguments)
        answer = json.loads(printed)
        assert isinstance(answer, list)
        return answer

    def bench(self, *arguments: str, profile: str, timeout: float = 300.0) -> str:
        """Run `eventspec-bench` on the edge's device; returns what it printed."""
        return self.run("run", "--rm", "-T", "bench", *arguments, profile=profile, timeout=timeout)

    def log_text(self, *services: str) -> str:
        """What the containers printed so far."""
        return self.run("logs", "--no-color", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes of the project. Raises DockerError."""
        label = f"label=com.docker.compose.project={PROJECT}"
        one_off = self.docker("ps", "-aq", "--filter", label, "--filter", "label=com.docker.compose.oneoff=True")
        if one_off.split():
            self.docker("rm", "-f", *one_off.split())
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def left(self) -> list[str]:
        """What of the project is still there."""
        label = f"label=com.docker.compose.project={PROJECT}"
        return [
            line
            for kind in (["ps", "-a"], ["network", "ls"], ["volume", "ls"])
            for line in self.docker(*kind, "-q", "--filter", label).split()
        ]


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def running(artifacts: Path, first_profile: str, *, build: bool) -> Iterator[Stack]:
    """The started project, built first if asked for. Afterwards logs are in `artifacts`, and nothing else is left."""
    artifacts.mkdir(exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("EVENTSPEC_")},
        "EVENTSPEC_IMAGES": "eventspec-test",
        "EVENTSPEC_NET": os.environ.get("EVENTSPEC_NET", "10.214"),
        "EVENTSPEC_BUILD_NETWORK": os.environ.get("EVENTSPEC_BUILD_NETWORK", "default"),
        "EVENTSPEC_THREADS": "1",
    }
    with (artifacts / "docker.log").open("w", encoding="utf-8") as logs, _terminable():
        stack = Stack(tuple(compose_command()), environment, artifacts, logs)
        stack.down()
        try:
            if build:
                stack.build(timeout=1500.0)
            stack.up(first_profile)
            yield stack
        finally:
            with _uninterrupted():
                _save_logs(stack)
                stack.down()
        if left := stack.left():
            raise DockerError(f"left after taking down: {left}")


def _save_logs(stack: Stack) -> None:
    """The containers' logs, if there are any yet."""
    try:
        text = stack.log_text()
    except DockerError as error:
        text = str(error)
    (stack.artifacts / "containers.log").write_text(text, encoding="utf-8")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the tests as Ctrl-C does, with everything taken down."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C doesn't stop the taking down."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
