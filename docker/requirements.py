"""Splits the locks into lists that image builds install in layers, the same in several images.

`python3 requirements.py locks FOLDER` writes `shared.txt` (what edge and cloud both need), and each lock as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==[^\n]*\n(?:[ ]{4}[^\n]*\n)*", re.MULTILINE)


def normal(name: str) -> str:
    """A package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(text: str) -> dict[str, str]:
    """A lock's entries by package, each with its hashes; versions for different Pythons are together."""
    found: dict[str, str] = {}
    for entry in _ENTRY.finditer(text):
        name = normal(entry[1])
        found[name] = found.get(name, "") + entry[0]
    return found


def shared(locks: Mapping[str, str]) -> str:
    """What the locks `edge` and `cloud` have in common."""
    cloud = entries(locks["cloud"])
    return "".join(entry for name, entry in entries(locks["edge"]).items() if name in cloud)


def main() -> None:
    """Write the lists."""
    locks = {path.stem: path.read_text(encoding="utf-8") for path in Path(sys.argv[1]).glob("*.txt")}
    for name, text in {**locks, "shared": shared(locks)}.items():
        (Path(sys.argv[2]) / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
