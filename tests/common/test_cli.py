"""What all commands share: outputs that can't be written, packages that miss, help and version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

MODULES = {"eventspec-edge": "edge", "eventspec-cloud": "cloud", "eventspec-bench": "benchmarks"}


def run(
    *arguments: str, module: str = "edge", without: Sequence[str] = (), shell: str = "", encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; `shell` redirects, packages `without` can't be imported."""
    code = f"import sys; sys.modules.update({dict.fromkeys(without)!r}); "
    code += f"from {module}.__main__ import main; main()"
    command = [sys.executable, "-P", "-c", code, *arguments]
    if shell:
        command = ["sh", "-c", f'"$@" {shell}', "sh", *command]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@pytest.mark.parametrize(
    ("shell", "why"), [(">&-", "it is closed"), (">/dev/full", "No space left on device")], ids=["closed", "full"]
)
def test_an_output_that_cant_be_written_is_one_line(shell: str, why: str) -> None:
    done = run("--help", shell=shell)
    assert done.returncode == 1
    assert done.stderr == f"eventspec-edge: standard output can't be written ({why})\n"


def test_a_reader_who_has_seen_enough_ends_it_in_silence() -> None:
    done = run("serve", "--help", shell="| true")
    assert done.stderr == ""


def test_characters_that_the_terminal_lacks_are_spelled() -> None:
    code = "from common.cli import make_group, run_app; app = make_group('x'); "
    code += "app.command()(lambda: print('Stra\\xdfe')); run_app(app, 'eventspec-edge')"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Stra\\xdfe\n", "")


@pytest.mark.parametrize(
    ("command", "extra", "arguments", "without"),
    [
        ("eventspec-edge", "edge", ("serve",), "torch"),
        ("eventspec-edge", "edge", ("serve",), "av"),
        ("eventspec-cloud", "cloud", ("serve",), "torch"),
        ("eventspec-cloud", "cloud", ("serve",), "zmq"),
        ("eventspec-bench", "bench", ("report", "x.json", "--out", "y.html"), "jinja2"),
    ],
)
def test_a_package_that_misses_is_told_with_its_extra(
    command: str, extra: str, arguments: tuple[str, ...], without: str
) -> None:
    done = run(*arguments, module=MODULES[command], without=[without])
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{command}: this needs the Python package {without}, which isn't installed")
    assert f"its extra `{extra}`" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["edge", "cloud", "benchmarks", "training"])
def test_version_and_short_help(module: str) -> None:
    assert run("--version", module=module).stdout.startswith("eventspec 0.")
    assert "Usage:" in run("-h", module=module).stdout


def test_a_misspelt_command_is_asked_about_once() -> None:
    assert run("aks").stderr.count("Did you mean") == 1


def test_a_port_of_other_digits_is_no_port() -> None:
    done = run("serve", "--listen", "127.0.0.1:\u00b2")
    assert done.returncode == 2
    assert "must be HOST:PORT" in done.stderr
