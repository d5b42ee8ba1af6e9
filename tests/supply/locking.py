"""Writes the lock files: every package that an install takes, with its version and the hashes of its files.

`make lock`, after a change of `pyproject.toml` or `constraints.txt`. Asks the package index; what has been locked stays
as it is unless it doesn't fit any more, or `--upgrade` is said (`make lock UPGRADE=1`). `locks/dev.txt` has everything,
and the others are parts of it. torch isn't in them: its builds (CPU, CUDA) have the same version and other hashes, and
`constraints.txt` pins it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from docker.requirements import entries

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "locks"
WHOLE = "dev"
EXTRAS: Mapping[str, Sequence[str]] = {
    "dev": ("dev", "bench", "train"),
    "bench": ("bench",),
    "edge": ("edge",),
    "cloud": ("cloud",),
    "core": (),
}
UNLOCKED = "torch"
OLDEST_PYTHON = "3.11"


def compile_command(inputs: Sequence[str], out: Path, extras: Sequence[str], constraints: Sequence[str]) -> list[str]:
    """The call of uv that writes one lock file."""
    return [
        *(sys.executable, "-P", "-m", "uv", "pip", "compile", *inputs),
        *(word for extra in extras for word in ("--extra", extra)),
        *(word for file in constraints for word in ("--constraint", file)),
        *("--config-file", "tests/supply/uv.toml", "--no-emit-package", UNLOCKED),
        *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes"),
        *("--custom-compile-command", "make lock", "--quiet", "--output-file", str(out.relative_to(ROOT))),
    ]


def main() -> int:
    """Entry point."""
    more = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    LOCKS.mkdir(exist_ok=True)
    for name, extras in EXTRAS.items():
        bounds = ["constraints.txt"] if name == WHOLE else ["constraints.txt", f"locks/{WHOLE}.txt"]
        command = compile_command(["pyproject.toml"], LOCKS / f"{name}.txt", extras, bounds)
        subprocess.run([*command, *more], cwd=ROOT, check=True)
    bounds = ["constraints.txt", f"locks/{WHOLE}.txt"]
    subprocess.run([*compile_command(["locks/build.in"], LOCKS / "build.txt", (), bounds), *more], cwd=ROOT, check=True)
    for file in sorted(LOCKS.glob("*.txt")):
        print(f"{file.relative_to(ROOT)}: {len(entries(file.read_text(encoding='utf-8')))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
