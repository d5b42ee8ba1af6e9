"""Are there known vulnerabilities in what is installed? `make audit`, or `python -m tests.supply.audit`.

pip-audit asks a vulnerability service about every package in this environment, by its public version (a CPU build of
torch counts as the release that it is a build of). There is no database of them in this repository, and none that an
index ships is kept up to date: without a service nothing can be said, and that is what is said.

Exit status: 0, all packages were asked about, and nothing is known against them; 1, something is; 2, some or all could
not be asked about, and which.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from docker.requirements import normal

PROJECT = "eventspec"
CLEAN, VULNERABLE, INCOMPLETE = 0, 1, 2
_NAMED = 8
_WHAT_TO_DO = (
    "Run `make audit` where a vulnerability service answers; or `make sbom` here, and give artifacts/sbom.json to a "
    "scanner there"
)


def installed(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Public versions by package, of names and versions; the project itself left out."""
    return {normal(name): version.partition("+")[0] for name, version in found if normal(name) != PROJECT}


def verdict(wanted: dict[str, str], dependencies: list[dict[str, Any]], said: str = "") -> tuple[str, int]:
    """What to say about pip-audit's report on these packages, and the exit status; `said` are its last words."""
    audited = [entry for entry in dependencies if "skip_reason" not in entry]
    lines = [_line(entry, flaw) for entry in audited for flaw in entry["vulns"]]
    missing = sorted(set(wanted) - {normal(entry["name"]) for entry in audited})
    known = f"{len(lines)} known vulnerabilities" if lines else "none with a known vulnerability"
    summary = f"{len(audited)} of {len(wanted)} packages were asked about, {known}"
    if not audited:
        reason = f" ({said})" if said else ""
        summary = f"NOT AUDITED: of {len(wanted)} packages none could be asked about, no service answers{reason}"
    elif missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        summary += f"; INCOMPLETE, not asked about: {', '.join(missing[:_NAMED])}{more}"
    status = VULNERABLE if lines else INCOMPLETE if missing else CLEAN
    return "\n".join([*lines, summary, *([f"{_WHAT_TO_DO}."] if missing else [])]), status


def _line(entry: dict[str, Any], flaw: dict[str, Any]) -> str:
    mended = ", ".join(flaw["fix_versions"]) or "no version yet"
    return f"{entry['name']} {entry['version']}: {flaw['id']}, mended in {mended}"


def ask(wanted: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's report on these packages, and its last words if it has none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "installed.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in wanted.items()), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:300]
    return report, ""


def main() -> int:
    """Entry point."""
    wanted = installed((found.metadata["Name"], found.version) for found in distributions())
    text, status = verdict(wanted, *ask(wanted))
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
