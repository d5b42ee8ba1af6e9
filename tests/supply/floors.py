"""Tests with the oldest versions that `pyproject.toml` allows: `make test-floors`.

uv chooses for each package that is named there the lowest version that fits, and for what these need the newest. They
are installed into a venv of their own, `artifacts/floors`, and a part of the suite runs there: the codec, both daemons'
insides, all readers, a real pair. A floor that nothing can reach (others ask for more) is named, and is wrong.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from docker.requirements import normal
from tests.supply.locking import OLDEST_PYTHON, ROOT, UNLOCKED

FOLDER = ROOT / "artifacts" / "floors"
EXTRAS = ("dev", "bench", "train")
TESTS = (
    "tests/common",
    "tests/cloud/test_engine.py",
    "tests/cloud/test_security.py",
    "tests/cloud/test_service.py",
    "tests/edge/events",
    "tests/edge/test_drafter.py",
    "tests/edge/test_session.py",
    "tests/edge/test_video.py",
    "tests/operations/test_metrics.py",
    "tests/operations/test_tracing.py",
    "tests/e2e/test_pair.py",
)


def floors(requirements: Iterable[Requirement]) -> dict[str, Version]:
    """The lowest versions that requirements name, by package; the highest of several."""
    found: dict[str, Version] = {}
    for requirement in requirements:
        for bound in requirement.specifier:
            if bound.operator in (">=", "=="):
                name, version = normal(requirement.name), Version(bound.version)
                found[name] = max(version, found.get(name, version))
    return found


def named(project: dict[str, Any]) -> list[Requirement]:
    """All requirements of the `[project]` table but those that mean the project itself."""
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != project["name"]]


def out_of_reach(named_floors: dict[str, Version], chosen: dict[str, Version]) -> list[str]:
    """Floors that are lower than the lowest version that fits the others, in words."""
    return [
        f"{name}>={floor}: the lowest that fits is {chosen[name]}"
        for name, floor in sorted(named_floors.items())
        if name in chosen and ((*chosen[name].release, 0, 0))[:2] != ((*floor.release, 0, 0))[:2]
    ]


def pinned(text: str) -> dict[str, Version]:
    """The versions of what uv chose."""
    requirements = [Requirement(line) for line in text.splitlines() if line and line[0] not in "# "]
    return {normal(r.name): Version(next(iter(r.specifier)).version) for r in requirements}


def choose(out: Path) -> str:
    """Let uv choose; returns the file's text."""
    command = [sys.executable, "-P", "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--no-header"]
    command += [word for extra in EXTRAS for word in ("--extra", extra)]
    command += ["--config-file", "tests/supply/uv.toml", "--no-emit-package", UNLOCKED, "--no-annotate"]
    command += ["--python-version", OLDEST_PYTHON, "--resolution", "lowest-direct", "--output-file", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return out.read_text(encoding="utf-8")


def install(file: Path, torch: Version) -> Path:
    """A venv with these; returns its Python."""
    python = FOLDER / "venv" / "bin" / "python"
    shutil.rmtree(FOLDER / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-P", "-m", "venv", str(FOLDER / "venv")], check=True)
    pip = [str(python), "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "-r", str(file)], check=True)
    subprocess.run([*pip, f"{UNLOCKED}=={torch}"], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
    return python


def main() -> int:
    """Entry point."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = floors(named(project))
    text = choose(FOLDER / "floors.txt")
    wrong = out_of_reach(lowest, pinned(text))
    for line in wrong:
        print(line)
    python = install(FOLDER / "floors.txt", lowest[UNLOCKED])
    arguments = sys.argv[1:] or [*TESTS, "-m", "not slow"]
    tested = subprocess.run([str(python), "-P", "-m", "pytest", "-q", *arguments], cwd=ROOT, check=False).returncode
    if wrong:
        print("these floors can't be reached, so nothing tests them: raise them in pyproject.toml")
    return tested or int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
