"""Nothing unpickles: what the code says. That nothing does at run time, `test_closed_pair.py` shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "edge", "cloud", "training", "benchmarks", "docker")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}


def offences(source: str) -> Iterator[str]:
    """Ways to run what a file or a peer says."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in UNPICKLERS)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in UNPICKLERS:
                yield module
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load"), keywords=keywords):
                if not any(k.arg == "weights_only" and _is(k.value, True) for k in keywords):
                    yield "torch.load without weights_only=True"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "unsafe_load" as name)):
                yield f"yaml.{name}"
            case ast.Call(func=ast.Attribute(attr="load" | "load_npz" as name), keywords=keywords):
                if any(k.arg == "allow_pickle" and not _is(k.value, False) for k in keywords):
                    yield f"{name} with allow_pickle"
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                yield name


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("package", PACKAGES)
def test_no_code_unpickles(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {offence}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package)
        for offence in offences(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import os, dill.source",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trust)",
        "eval(text)",
        "yaml.load(text)",
    ],
)
def test_what_would_be_found(source: str) -> None:
    assert list(offences(source))


def test_what_is_fine() -> None:
    fine = ["import pickletools", "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "model.eval()"]
    assert list(offences("\n".join(fine))) == []
