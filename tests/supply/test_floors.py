"""Which versions the lowest ones are."""

from __future__ import annotations

import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from tests.supply.floors import TESTS, floors, named, out_of_reach, pinned
from tests.supply.locking import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_requirement_names_its_floor() -> None:
    for requirement in named(PROJECT):
        assert any(bound.operator in (">=", "==") for bound in requirement.specifier), f"{requirement} has no floor"


def test_what_is_tested_is_there() -> None:
    assert all((ROOT / test).exists() for test in TESTS)


def test_the_highest_of_several_floors_counts() -> None:
    found = floors(map(Requirement, ("a>=1,<3", "A>=2", "b==4", "c<9")))
    assert found == {"a": Version("2"), "b": Version("4")}


def test_floors_that_nothing_can_reach_are_found() -> None:
    chosen = pinned("a==1.2.9\n# c\nb==2.0 ; python_version > '3'\n    # via x\nd==1\n")
    lowest = {"a": Version("1.2"), "b": Version("1.9"), "e": Version("1")}
    assert out_of_reach(lowest, chosen) == ["b>=1.9: the lowest that fits is 2.0"]
