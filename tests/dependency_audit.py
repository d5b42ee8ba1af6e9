"""Are there known vulnerabilities in what is installed? `python -m tests.dependency_audit`; status 1 if there are.

Asks the vulnerability service that pip-audit knows. Where none answers, it says so and ends with status 0: no answer is
not a finding, and not a clean bill either.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def verdict(dependencies: list[dict[str, Any]]) -> tuple[str, int]:
    """What to say about pip-audit's report, and the exit status."""
    audited = [entry for entry in dependencies if "skip_reason" not in entry]
    found = [(entry["name"], entry["version"], flaw) for entry in audited for flaw in entry["vulns"]]
    if found:
        lines = [
            f"{name} {version}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
            for name, version, flaw in found
        ]
        return "\n".join([*lines, f"{len(found)} known vulnerabilities"]), 1
    if not audited:
        return "NOT AUDITED: no vulnerability service answers from here; run `make audit` where one does", 0
    left = len(dependencies) - len(audited)
    return f"{len(audited)} packages without known vulnerabilities" + (f", {left} not known there" if left else ""), 0


def main() -> int:
    """Entry point."""
    command = [sys.executable, "-P", "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, "--timeout", "10"], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(done.stderr[-1_000:], file=sys.stderr)
        report = []
    text, status = verdict(report)
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
