"""Temporary folders: of the living they stay, of the dead they go, whoever starts at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import SettingsError
from common.scratch import PREFIX, ScratchFolder, sweep

HOLDER = """
import sys, time
from pathlib import Path
from common.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.path / "engine.sock").touch()
print(folder.path, flush=True)
time.sleep(600)
"""
STARTER = """
import sys
from pathlib import Path
from common.scratch import ScratchFolder
for _ in range(200):
    folder = ScratchFolder(Path(sys.argv[1]))
    (folder.path / "mine").touch()
    assert folder.path.is_dir()
    folder.remove()
    assert not folder.path.exists()
"""


def start(code: str, base: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, str(base)], stdout=subprocess.PIPE, text=True)


def names(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def test_a_folder_is_private_and_goes_with_its_daemon(tmp_path: Path) -> None:
    folder = ScratchFolder(tmp_path)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "engine.sock").touch()
    assert list(folder.emptied().iterdir()) == []
    folder.path.rmdir()
    assert folder.emptied().is_dir()
    folder.remove()
    folder.remove()
    assert names(tmp_path) == []


def test_one_that_is_forgotten_goes_with_the_interpreter(tmp_path: Path) -> None:
    code = "import sys, pathlib; from common.scratch import ScratchFolder; f = ScratchFolder(pathlib.Path(sys.argv[1]))"
    with start(code, tmp_path) as process:
        assert process.wait(60) == 0
    assert names(tmp_path) == []


def test_what_a_killed_daemon_left_goes_at_the_next_start_and_the_livings_stays(tmp_path: Path) -> None:
    with start(HOLDER, tmp_path) as dead, start(HOLDER, tmp_path) as living:
        try:
            paths = []
            for process in (dead, living):
                assert process.stdout is not None
                paths.append(Path(process.stdout.readline().strip()))
            assert sweep(tmp_path) == 0
            os.kill(dead.pid, signal.SIGKILL)
            dead.wait()
            assert paths[0].is_dir()  # nobody could remove it
            next_one = ScratchFolder(tmp_path)
            assert next_one.swept == 1
            assert names(tmp_path) == sorted([paths[1].name, next_one.path.name])
            assert (paths[1] / "engine.sock").exists()
        finally:
            living.kill()
            dead.kill()


def test_only_what_is_ours_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}dangling").symlink_to("nowhere")
    (tmp_path / f"{PREFIX}open").mkdir(mode=0o755)
    (tmp_path / "eventspec-bench-1").mkdir(mode=0o700)
    before = names(tmp_path)
    assert sweep(tmp_path) == 0
    (tmp_path / f"{PREFIX}private").mkdir(mode=0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert sweep(tmp_path) == 0
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == before
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_daemons_that_start_at_the_same_time_leave_each_others_folders_alone(tmp_path: Path) -> None:
    starters = [start(STARTER, tmp_path) for _ in range(4)]
    assert [starter.wait(120) for starter in starters] == [0] * 4
    for starter in starters:
        starter.communicate()
    assert names(tmp_path) == []


def test_a_place_that_isnt_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TMPDIR"):
        ScratchFolder(tmp_path / "nowhere")
