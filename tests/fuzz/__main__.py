"""Fuzzes one target, or all in turn: `python -m tests.fuzz [--seconds N] [--keep DIR] [TARGET ...]`.

With atheris (extra `fuzz`) inputs are guided by coverage, without it they are mutations of the corpus. What is found
new goes to `--keep`, what fails is written there as `crash-...`, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
_WITH_ATHERIS = """
import sys
import atheris
with atheris.instrument_imports(include=["common", "edge", "cloud.ingest"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
atheris.Fuzz()
"""
GUIDED = importlib.util.find_spec("atheris") is not None


def fuzz(target: str, seconds: int, keep: Path) -> subprocess.CompletedProcess[str]:
    """Run one target in a process of its own, bounded in time and memory."""
    keep.mkdir(parents=True, exist_ok=True)
    seeds = CORPUS / target
    if GUIDED:
        own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # the kernel counts it to a child's peak
        options = [f"-max_total_time={seconds}", "-timeout=20", f"-rss_limit_mb={own_mb + 2_048}", "-max_len=16384"]
        options += ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={keep}/", str(keep), str(seeds)]
        command = [sys.executable, "-c", _WITH_ATHERIS, target, *options]
    else:
        command = [sys.executable, "-m", "tests.fuzz.mutating", target, str(seconds), str(seeds), str(keep)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=False)


def main() -> int:
    """Entry point."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="for each target [10]")
    parser.add_argument("--keep", type=Path, help="folder for new inputs and failures [a temporary one]")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="[all]")
    arguments = parser.parse_args()
    keep = arguments.keep or Path(tempfile.mkdtemp(prefix="eventspec-fuzz-"))
    failed = []
    for target in arguments.targets or TARGETS:
        done = fuzz(target, arguments.seconds, keep / target)
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "executed_units" in line), "?")
        print(f"{target}: {runs} runs, {'clean' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode != 0:
            failed.append(target)
            print(done.stdout[-3_000:], done.stderr[-3_000:], sep="\n", flush=True)
    print(f"inputs are in {keep}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
