"""The locks cover what `pyproject.toml` asks for, and nothing in them is without a hash."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from docker.requirements import entries, normal
from tests.supply.locking import EXTRAS, LOCKS, ROOT, UNLOCKED, WHOLE

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMES = [*EXTRAS, "build"]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def lock(name: str) -> str:
    return (LOCKS / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, set[str]]:
    """Versions by package; one may have several, for different Pythons."""
    found: dict[str, set[str]] = {}
    for package, version in _PIN.findall(lock(name)):
        found.setdefault(normal(package), set()).add(version)
    return found


def wanted(extras: Iterable[str]) -> list[Requirement]:
    """What an install with these extras asks for; the project's own extras stand for what they hold."""
    project = PROJECT["project"]
    lines = [Requirement(line) for line in project["dependencies"]]
    for extra in extras:
        for line in map(Requirement, project["optional-dependencies"][extra]):
            lines += wanted(line.extras) if line.name == project["name"] else [line]
    return lines


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_pinned_and_has_hashes(name: str) -> None:
    text = lock(name)
    found = entries(text)
    assert set(found) == set(pins(name))
    for package, entry in found.items():
        for part in re.split(r"^(?=\S)", entry, flags=re.MULTILINE)[1:]:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", part), package
    starts = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert all(_PIN.match(line) for line in starts)


@pytest.mark.parametrize("name", NAMES)
def test_no_place_is_named(name: str) -> None:
    """Where packages come from is pip's setting, and no file's."""
    assert not re.search(r"://|^-|index-url|find-links|@ ", lock(name), re.MULTILINE)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_what_is_asked_for(name: str) -> None:
    found = pins(name)
    for requirement in wanted(EXTRAS[name]):
        package = normal(requirement.name)
        if package == UNLOCKED:
            continue
        assert package in found, f"{requirement} isn't in locks/{name}.txt: run `make lock`"
        versions = found[package]
        assert all(requirement.specifier.contains(v) for v in versions), f"{requirement}: run `make lock`, {versions}"


def test_the_build_is_locked() -> None:
    listed = (LOCKS / "build.in").read_text(encoding="utf-8").splitlines()
    inputs = {normal(Requirement(line).name): Requirement(line) for line in listed if not line.startswith("#")}
    for line in PROJECT["build-system"]["requires"]:
        requirement = Requirement(line)
        assert inputs[normal(requirement.name)].specifier == requirement.specifier
    for name, requirement in inputs.items():
        assert all(requirement.specifier.contains(version) for version in pins("build")[name])


def test_parts_agree_with_the_whole() -> None:
    whole = pins(WHOLE)
    for name in set(NAMES) - {WHOLE, "build"}:
        for package, versions in pins(name).items():
            assert versions <= whole[package], f"{package} in locks/{name}.txt: run `make lock`"


def test_constraints_hold_in_the_locks() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = {normal(r.name): r.specifier for r in (Requirement(x) for x in lines if x and x[0] != "#")}
    assert constraints[UNLOCKED] != SpecifierSet(), "the one package that no lock has is pinned there"
    for name in NAMES:
        found = pins(name)
        assert UNLOCKED not in found
        for package, specifier in constraints.items():
            assert all(specifier.contains(version) for version in found.get(package, ()))
