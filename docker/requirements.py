"""Splits the project's requirements into lists that image builds install in layers, the same in several images.

`python3 requirements.py pyproject.toml FOLDER` writes `core.txt` (what every command needs), `shared.txt` (what edge
and cloud both need), and one list for each extra, whole.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path


def flatten(requirements: Sequence[str], project: str, extras: Mapping[str, Sequence[str]]) -> list[str]:
    """Requirements, sorted, each once; the project's own extras (`project[a,b]`) are replaced by what they hold."""
    found: set[str] = set()
    for requirement in requirements:
        own = re.fullmatch(rf"{re.escape(project)}\[([^\]]*)\]", requirement.replace(" ", ""))
        if own:
            for extra in own.group(1).split(","):
                found.update(flatten(extras[extra], project, extras))
        else:
            found.add(requirement)
    return sorted(found)


def lists(metadata: Mapping[str, object]) -> dict[str, list[str]]:
    """The lists by name, from the `[project]` table of `pyproject.toml`."""
    name, core = metadata["name"], metadata["dependencies"]
    extras = metadata["optional-dependencies"]
    assert isinstance(name, str)
    assert isinstance(core, list)
    assert isinstance(extras, dict)
    flat = {extra: sorted({*core, *flatten(wanted, name, extras)}) for extra, wanted in extras.items()}
    return {**flat, "core": sorted(core), "shared": sorted(set(flat["edge"]) & set(flat["cloud"]))}


def main() -> None:
    """Write the lists."""
    metadata = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    for name, wanted in lists(metadata).items():
        (Path(sys.argv[2]) / f"{name}.txt").write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")


if __name__ == "__main__":
    main()
