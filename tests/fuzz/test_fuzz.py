"""A moment of fuzzing of each target, and all inputs that ever failed. `make fuzz SECONDS=600` takes longer."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile.mutations import mutated
from tests.fuzz.__main__ import CORPUS, GUIDED, fuzz
from tests.fuzz.targets import TARGETS

KEPT = sorted(CORPUS.glob("*/*"))


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in KEPT} == set(TARGETS)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_kept(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_without_guidance(target: str) -> None:
    """The way that is taken where atheris can't be installed; a few hundred inputs, the same each time."""
    corpus = [path.read_bytes() for path in KEPT if path.parent.name == target]
    chance = random.Random(target)
    for _ in range(300):
        TARGETS[target](mutated(chance.choice(corpus), chance, corpus))


@pytest.mark.skipif(not GUIDED, reason='atheris isn\'t installed (pip install "eventspec[fuzz]"): mutations stood in')
@pytest.mark.parametrize("target", TARGETS)
def test_a_moment_of_guided_fuzzing(target: str, tmp_path: Path) -> None:
    done = fuzz(target, 1, tmp_path)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    assert "executed_units" in done.stderr


def test_a_failure_is_found(tmp_path: Path) -> None:
    """The harness itself: an input that must not fail, but does, ends with its traceback and a file."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from tests.fuzz import mutating, targets\nimport sys\n"
        "def bad(data):\n    assert len(data) < 40\n"
        "targets.TARGETS['edge_message'] = bad\nmutating.TARGETS = targets.TARGETS\nsys.exit(mutating.main())\n"
    )
    command = [sys.executable, str(broken), "edge_message", "30", str(CORPUS / "edge_message"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert list(tmp_path.glob("crash-*"))
