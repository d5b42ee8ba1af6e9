"""Two daemons that are closed to strangers, as processes: one answer, and what they show and do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.faults.victims import family
from benchmarks.processes import DaemonProcess, start_cloud
from common.certificates import write_authority
from common.errors import AuthenticationError
from tests.e2e.pairs import ask

# An audit hook in every Python process of the two daemons: each unpickling of a name, and who did it.
HOOK = """
import os, sys
def hook(event, arguments):
    if event == "pickle.find_class":
        import traceback
        with open(os.environ["EVENTSPEC_TEST_UNPICKLED"], "a") as file:
            file.write(f"{arguments} {''.join(traceback.format_stack(limit=8))}")
sys.addaudithook(hook)
with open(os.environ["EVENTSPEC_TEST_HOOKED"], "a") as file:
    file.write(f"{os.getpid()}\\n")
"""
UNPICKLING = "import pickle, collections; pickle.loads(pickle.dumps(collections.OrderedDict()))"


@dataclass
class Closed:
    """A pair behind TLS and tokens, and what was noted of it."""

    cloud: DaemonProcess
    edge: DaemonProcess
    token: str
    folder: Path

    @property
    def hooked(self) -> set[int]:
        return {int(line) for line in (self.folder / "hooked").read_text().split()}

    @property
    def unpickled(self) -> str:
        path = self.folder / "unpickled"
        return path.read_text() if path.exists() else ""


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cloud", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    (folder / "sitecustomize.py").write_text(HOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("EVENTSPEC_TEST_UNPICKLED", str(folder / "unpickled"))
        patch.setenv("EVENTSPEC_TEST_HOOKED", str(folder / "hooked"))
        write_authority(folder / "certs", hosts=["127.0.0.1"])
        tokens, token = folder / "tokens.toml", folder / "edge.token"
        command("token", "new", "edge-1", "--file", str(tokens), "--out", str(token))
        tls = ["--tls-cert", f"{folder}/certs/cloud.pem", "--tls-key", f"{folder}/certs/cloud.key"]
        cloud = start_cloud(*tls, "--tokens", str(tokens), "--verbose", listen="0.0.0.0:0")
        edge = None
        try:
            cloud.wait_ready(120)
            address = f"127.0.0.1:{cloud.address.rpartition(':')[2]}"
            reach = ["--cloud-ca", f"{folder}/certs/ca.pem", "--token-file", str(token), "--verbose"]
            edge = DaemonProcess.start("edge", ["--listen", "127.0.0.1:0", "--cloud", address, *reach])
            edge.wait_ready(120)
            yield Closed(cloud, edge, token.read_text().strip(), folder)
        finally:
            for daemon in (edge, cloud):
                if daemon is not None:
                    daemon.stop()


@pytest.fixture(scope="module")
def question() -> ClipQuestion:
    return load_questions()[0]


def test_an_answer_through_closed_doors(closed: Closed, question: ClipQuestion) -> None:
    asked = ask(closed.edge.address, question, max_tokens=24)
    assert asked.values["mode"] == "stream_to_cloud"
    assert asked.values["token_ids"]
    assert asked.notices == []


def test_nothing_was_unpickled(closed: Closed, question: ClipQuestion) -> None:
    ask(closed.edge.address, question, max_tokens=8)
    daemons = {pid for daemon in (closed.cloud, closed.edge) for pid in family(daemon.process.pid)}
    assert len(daemons & closed.hooked) >= 3, "front, engine and edge bear the hook"
    assert closed.unpickled == ""


def test_the_hook_would_tell(closed: Closed, tmp_path: Path) -> None:
    noted = tmp_path / "unpickled"
    environment = {
        **os.environ,
        "PYTHONPATH": str(closed.folder),
        "EVENTSPEC_TEST_UNPICKLED": str(noted),
        "EVENTSPEC_TEST_HOOKED": str(tmp_path / "hooked"),
    }
    subprocess.run([sys.executable, "-c", UNPICKLING], env=environment, check=True, timeout=60)
    assert "OrderedDict" in noted.read_text()


def test_the_engine_is_behind_a_private_socket(closed: Closed) -> None:
    sockets = [
        argument.removeprefix("ipc://")
        for pid in family(closed.cloud.process.pid)
        for argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if argument.startswith("ipc://")
    ]
    assert len(sockets) == 1
    folder = Path(sockets[0]).parent
    assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, os.getuid())


def test_one_door_only(closed: Closed) -> None:
    """The cloud's processes listen on the one port that was asked for, and the edge's on theirs."""
    for daemon in (closed.cloud, closed.edge):
        ports = {port for pid in family(daemon.process.pid) for port in _listening(pid)}
        assert ports == {int(daemon.address.rpartition(":")[2])}


def _listening(pid: int) -> set[int]:
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_the_token_shows_nowhere(closed: Closed) -> None:
    for daemon in (closed.cloud, closed.edge):
        for pid in family(daemon.process.pid):
            for shown in ("cmdline", "environ"):
                assert closed.token.encode() not in Path(f"/proc/{pid}/{shown}").read_bytes()
        assert closed.token not in "\n".join(daemon.log)
    assert any("target" in line for line in closed.cloud.log)


def test_a_token_taken_back_ends_what_it_could(closed: Closed, question: ClipQuestion) -> None:
    tokens = str(closed.folder / "tokens.toml")
    identifier = command("token", "list", "--file", tokens).split()[0]
    command("token", "revoke", identifier, "--file", tokens)
    time.sleep(1.0)  # the daemon looks twice a second
    with pytest.raises(AuthenticationError, match="isn't known here"):
        ask(closed.edge.address, question)
