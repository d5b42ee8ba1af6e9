"""Fills `docker/local/` with the settings that pip has on this machine, so that image builds install as the host does.

Carried: index addresses, proxy and time-outs into `pip.conf`, the CA bundle into `ca.crt`, and wheels of local
`find-links` folders that fit a pin of `constraints.txt` into `wheels/`. Not carried: indexes on this machine's disk.
What is there already and isn't this script's stays. Needs nothing but Python and pip: `python3 docker/carry_pip.py`.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

HERE = Path(__file__).resolve().parent
MARK = "# Carried from the host by docker/carry_pip.py.\n"
COPIED = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries", "no-index")


def settings_of(listing: str) -> dict[str, str]:
    """Pip's settings from what `pip config list` prints; the environment's override the files'."""
    found: dict[str, str] = {}
    lines = [line for line in listing.splitlines() if "=" in line]
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return found


def is_local(place: str) -> bool:
    """Whether an index or a folder of wheels lies on this machine's disk."""
    return "://" not in place or place.startswith("file:")


def folder_of(place: str) -> Path:
    """The folder that a path or file address names."""
    return Path(unquote(urlparse(place).path) if place.startswith("file:") else place).expanduser()


def pip_conf(settings: Mapping[str, str]) -> str:
    """The text of `pip.conf`: what makes sense on another machine too."""
    lines = []
    for name in COPIED:
        kept = [word for word in settings.get(name, "").split() if not ("index-url" in name and is_local(word))]
        if kept:
            lines.append(f"{name} = {' '.join(kept)}\n")
    remote = [place for place in settings.get("find-links", "").split() if not is_local(place)]
    if remote:
        lines.append(f"find-links = {' '.join(remote)}\n")
    return MARK + "[global]\n" + "".join(lines)


def pinned(constraints: str) -> list[tuple[str, str]]:
    """Names (as wheels spell them) and versions that `constraints.txt` pins."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", constraints, re.MULTILINE)
    return [(re.sub(r"[-_.]+", "_", name).lower(), version) for name, version in pins]


def fitting_wheels(names: Iterable[str], pins: Sequence[tuple[str, str]]) -> list[str]:
    """Those file names of wheels whose project and version (local part aside) are pinned."""
    chosen = []
    for name in names:
        project, _, rest = name.partition("-")
        version = rest.partition("-")[0].partition("+")[0]
        if name.endswith(".whl") and (project.lower(), version) in pins:
            chosen.append(name)
    return chosen


def carry(settings: Mapping[str, str], constraints: str, into: Path) -> list[str]:
    """Write the folder; returns what was carried, in words."""
    said = []
    conf = into / "pip.conf"
    if not conf.exists() or conf.read_text(encoding="utf-8").startswith(MARK):
        conf.write_text(pip_conf(settings), encoding="utf-8")
        said.append("pip.conf")
    bundle = settings.get("cert", "")
    if bundle and Path(bundle).is_file() and not (into / "ca.crt").exists():
        shutil.copyfile(bundle, into / "ca.crt")
        said.append("ca.crt")
    for place in filter(is_local, settings.get("find-links", "").split()):
        folder = folder_of(place)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        for name in fitting_wheels(names, pinned(constraints)):
            (into / "wheels").mkdir(exist_ok=True)
            if not (into / "wheels" / name).exists():
                shutil.copyfile(folder / name, into / "wheels" / name)
            said.append(f"wheels/{name}")
    return said


def main() -> None:
    """Carry this machine's settings."""
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    constraints = (HERE.parent / "constraints.txt").read_text(encoding="utf-8")
    said = carry(settings_of(listing), constraints, HERE / "local")
    print(f"docker/local: {', '.join(said) or 'nothing to carry'}")


if __name__ == "__main__":
    main()
