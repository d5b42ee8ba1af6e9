"""No command, and no process that one starts, runs modules of the folder that it is started in."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import DaemonProcess, wait_gone
from common.shipped import shipped_clips
from tests.e2e.pairs import family

ROOT = Path(__file__).parents[2]
READY = 200.0  # seconds that a daemon may take to load on a busy machine
HOSTILE = "open({mark!r} + __name__, 'w').close()\nraise SystemExit(77)\n"  # it may import nothing itself
PYTHON = re.compile(r'(?:^ *|exec |RUN |&& |\["|CMD \[")python3?"?,? "?([^\s",]+)')
OWN = ("common", "edge", "cloud", "training", "benchmarks", "eventspec", "tests", "sitecustomize", "usercustomize")


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where modules that were run leave their names."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def hostile(tmp_path: Path, marks: Path) -> Path:
    """A folder with a file for every module that Python, any package here, or this project has at its top."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), *OWN}
    for name in names:
        if name.isidentifier():
            (folder / f"{name}.py").write_text(HOSTILE.format(mark=f"{marks}/"))
    assert {"zmq.py", "torch.py", "json.py", "numpy.py", "common.py"} <= {path.name for path in folder.iterdir()}
    return folder


def installed(name: str) -> str:
    """A command as users start it."""
    return str(Path(sys.executable).with_name(name))


def start(hostile: Path, name: str, *arguments: str) -> DaemonProcess:
    into = ["sh", "-c", 'cd "$0" && exec "$@"', str(hostile)]
    return DaemonProcess.start(name, arguments, wrap=lambda _: [*into, installed(name), "serve", *arguments])


@pytest.fixture
def pair(hostile: Path) -> Iterator[tuple[DaemonProcess, DaemonProcess]]:
    """Both daemons, started there."""
    started = [start(hostile, "eventspec-cloud", "--listen", "127.0.0.1:0", "--threads", "1")]
    try:
        started[0].wait_ready(READY)
        where = ["--cloud", started[0].address, "--listen", "127.0.0.1:0"]
        started.append(start(hostile, "eventspec-edge", *where, "--threads", "1"))
        started[1].wait_ready(READY)
        yield started[0], started[1]
    finally:
        everyone = family(*(daemon.process.pid for daemon in started))
        for daemon in reversed(started):
            daemon.stop()
        assert wait_gone(everyone, 10.0) == []


def test_neither_daemon_nor_asker_runs_the_working_directory(
    pair: tuple[DaemonProcess, DaemonProcess], hostile: Path, marks: Path
) -> None:
    clips = shipped_clips()
    question = ["ask", "what moves?", "--events", str(clips / "race.h5"), "--video", str(clips / "race.mp4")]
    for words in (
        [installed("eventspec-edge"), *question, "--edge", pair[1].address, "--json"],
        [installed("eventspec-cloud"), "info", pair[0].address],
        [installed("eventspec-edge"), "events", "info", str(clips / "race.h5")],  # a reader's process
    ):
        done = subprocess.run(words, cwd=hostile, capture_output=True, text=True, timeout=READY, check=False)
        assert done.returncode == 0, done.stderr
    assert list(marks.iterdir()) == []


def test_the_bench_and_its_processes_neither(hostile: Path, marks: Path) -> None:
    """A link with its helper process, and all of a demo's processes."""
    bench = installed("eventspec-bench")
    for words in (
        [bench, "link", "run", "--rtt", "2", "--uplink", "20", "--backend", "proxy", "--", "true"],
        [bench, "demo", "--questions", "1"],
    ):
        done = subprocess.run(words, cwd=hostile, capture_output=True, text=True, timeout=2 * READY, check=False)
        assert done.returncode == 0, done.stderr
        assert list(marks.iterdir()) == []


def test_the_hostile_folder_would_be_run(hostile: Path, marks: Path) -> None:
    """What the tests above rely on: `python -m`, without more, does run it."""
    done = subprocess.run([sys.executable, "-m", "cloud.engine_process"], cwd=hostile, capture_output=True, timeout=60)
    assert done.returncode == 77
    assert list(marks.iterdir()) != []


# ------------------------------------------------------------------------------------------------ nobody forgets it


def python_commands(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lists and calls in a source file that begin with this interpreter: their line, and the words behind it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.List | ast.Tuple | ast.Call):
            continue
        items = node.args if isinstance(node, ast.Call) else node.elts
        for place, item in enumerate(items):
            if isinstance(item, ast.Attribute) and ast.unparse(item) == "sys.executable":
                words = [one.value for one in items[place + 1 :] if isinstance(one, ast.Constant)]
                yield node.lineno, [word for word in words if isinstance(word, str)]


def is_closed(words: list[str]) -> bool:
    return bool(words) and re.fullmatch(r"-[A-Za-z]*[PI][A-Za-z]*", words[0]) is not None


def test_every_child_of_ours_is_started_so() -> None:
    found = 0
    for package in ("common", "edge", "cloud", "training", "benchmarks", "docker"):
        for path in (ROOT / package).rglob("*.py"):
            for line, words in python_commands(path):
                if words:
                    found += 1
                    assert is_closed(words), f"{path.relative_to(ROOT)}:{line} starts Python without -P or -I"
    assert found >= 8
    for path in [*(ROOT / "docker").glob("*.sh"), *(ROOT / "docker").glob("Dockerfile.*")]:
        for text in path.read_text().splitlines():
            if (run := PYTHON.search(text)) and not text.startswith("#"):
                assert run[1] in ("-P", "-I"), f"{path.name} starts Python without -P or -I: {text}"


@pytest.mark.parametrize(
    ("source", "closed"),
    [
        ("[sys.executable, '-m', 'cloud']", False),
        ("run(sys.executable, '-c', code)", False),
        ("[sys.executable, '-P', '-m', 'cloud']", True),
        ("wrap([sys.executable, '-IS', tether])", True),
    ],
)
def test_such_a_command_is_recognised(tmp_path: Path, source: str, closed: bool) -> None:
    (tmp_path / "source.py").write_text(source)
    ((_, words),) = python_commands(tmp_path / "source.py")
    assert is_closed(words) is closed
