"""Both command lines without a model: quick, without torch, and every mistake is one line with status 2."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "tokenizers", "av", "h5py", "scipy")
QUICK = [
    ("edge", ["--help"]),
    ("edge", ["serve", "--help"]),
    ("edge", ["ask", "--help"]),
    ("edge", ["events", "--help"]),
    ("cloud", ["--help"]),
    ("cloud", ["serve", "--help"]),
]
# Half a second is for a machine with a core to spare. The suite shares its cores with whatever else runs, so the best
# of several runs counts, and it may take twice as long: an import of torch (seconds) is still found.
SECONDS = 0.5
SLACK = 2.0

WATCHED = """
import runpy, sys
sys.argv = [{module!r}, *{arguments!r}]
status = 0
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as leaving:
    status = leaving.code
print("IMPORTED", sorted(set(sys.modules) & set({heavy!r})))
sys.exit(status)
"""


def run(
    module: str, *arguments: str, environment: dict[str, str] | None = None, columns: int = 200
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": str(columns), **(environment or {})},
    )


def refused(done: subprocess.CompletedProcess[str], program: str = "eventspec-edge") -> str:
    """The one line of a command that the user must correct."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: ")
    return line


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address on which nobody listens (the port stays taken until the test ends)."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


def imported(module: str, *arguments: str) -> tuple[int, str]:
    code = WATCHED.format(module=module, arguments=list(arguments), heavy=list(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.partition("IMPORTED ")[2].strip()


@pytest.mark.parametrize(("module", "arguments"), QUICK, ids=lambda value: " ".join(value) if value else "")
def test_help_imports_nothing_heavy(module: str, arguments: list[str]) -> None:
    assert imported(module, *arguments) == (0, "[]")


def test_ask_and_status_import_nothing_heavy(nobody: str, tmp_path: Path) -> None:
    for arguments in (["ask", "what moves?", "--events", "e.h5", "--video", "v.mp4", "--reconnect-s", "0"], ["status"]):
        assert imported("edge", *arguments, "--edge", nobody) == (2, "[]")


def test_settings_that_make_no_sense_are_found_before_anything_heavy_is_imported() -> None:
    assert imported("edge", "serve", "--cloud", "nowhere") == (2, "[]")
    assert imported("cloud", "serve", "--listen", "nowhere") == (2, "[]")


def first_character(module: str, arguments: list[str]) -> float:
    """Seconds until a command says something."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        took = time.perf_counter() - started
        process.stdout.read()
    return took


@pytest.mark.parametrize(
    ("module", "arguments"), [("edge", ["--help"]), ("edge", ["ask", "what moves?"]), ("cloud", ["--help"])]
)
def test_the_first_character_comes_at_once(nobody: str, module: str, arguments: list[str]) -> None:
    arguments = [*arguments, "--edge", nobody, "--reconnect-s", "0.1"] if "ask" in arguments else arguments
    best = float("inf")
    for _ in range(10):
        best = min(best, first_character(module, arguments))
        if best < SECONDS:
            return
    assert best < SECONDS * SLACK


def test_help_explains_every_flag() -> None:
    said = run("edge", "ask", "--help").stdout
    for flag in ("--events", "--video", "--mode", "--max-tokens", "--temperature", "--seed", "--pace", "--json"):
        assert flag in said
    for module in ("edge", "cloud"):
        said = run(module, "serve", "--help").stdout
        for flag in ("--model", "--device", "--dtype", "--quantize", "--config"):
            assert flag in said


def test_no_daemon_is_told_with_what_to_do(nobody: str) -> None:
    for arguments in (["ask", "what moves?", "--events", "e", "--video", "v", "--reconnect-s", "0"], ["status"]):
        said = refused(run("edge", *arguments, "--edge", nobody))
        assert f"no edge daemon answers at {nobody}" in said
        assert "eventspec-edge serve" in said
    assert "eventspec-cloud" in refused(run("cloud", "info", nobody), "eventspec-cloud")


@pytest.mark.parametrize("words", [["ask", "what?"], ["watch", "--video", "v.mp4", "what?"]], ids=lambda w: str(w[0]))
def test_a_daemon_that_isnt_there_is_waited_for_and_that_is_told(nobody: str, words: list[str]) -> None:
    done = run("edge", *words, "--edge", nobody, "--reconnect-s", "0.4")
    assert done.returncode == 2
    told, error = done.stderr.splitlines()
    assert told == f"· no edge daemon answers at {nobody}; waiting for one, for 0.4 s at most"
    assert "eventspec-edge serve" in error


def test_a_host_that_isnt_there_isnt_waited_for() -> None:
    done = run("edge", "ask", "what?", "--edge", "nowhere.invalid:50052")
    assert "no edge daemon answers" in refused(done)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--reconnect-s", "-1", "reconnect-s must be"),
        ("--reconnect-s", "nan", "reconnect-s must be"),
        ("--temperature", "-1", "temperature must be between 0 and 100, not -1.0"),
        ("--temperature", "nan", "temperature must be"),
        ("--top-p", "0", "top_p must be in (0, 1], not 0.0"),
        ("--top-k", "-3", "top_k must be"),
        ("--seed", "-1", "seed must be"),
        ("--max-tokens", "-1", "max-tokens"),
        ("--patience-ms", "-1", "patience-ms"),
        ("--draft-length", "-1", "draft-length"),
        ("--window-start-us", "-1", "window-start-us"),
        ("--max-tokens", "99999999999", "max-tokens"),
    ],
)
def test_numbers_out_of_range(nobody: str, flag: str, value: str, words: str) -> None:
    done = run("edge", "ask", "what moves?", flag, value, "--edge", nobody)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert words in done.stderr


def test_a_path_that_isnt_text(nobody: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "ask", "what?", "--events", b"caf\xe9.h5", "--edge", nobody],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["edge", "cloud"])
def test_settings_come_from_file_environment_and_flags(tmp_path: Path, module: str) -> None:
    """The last one wins, which the error names; all three are seen."""
    file = tmp_path / "eventspec.toml"
    file.write_text(f'[{module}]\nlisten = "from-the-file"\n')
    name = f"EVENTSPEC_{module.upper()}_LISTEN"
    program = f"eventspec-{module}"
    assert "'from-the-file'" in refused(run(module, "serve", "--config", str(file)), program)
    done = run(module, "serve", "--config", str(file), environment={name: "from-outside"})
    assert "'from-outside'" in refused(done, program)
    done = run(module, "serve", "--config", str(file), "--listen", "a-flag", environment={name: "from-outside"})
    assert "'a-flag'" in refused(done, program)


@pytest.mark.parametrize("module", ["edge", "cloud"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("listn = '127.0.0.1:0'", "there is no setting listn; did you mean listen?"),
        ("threads = 'many'", "threads in"),
        ("threads = -1", "threads must be 0"),
        ("dtype = 'float12'", "dtype must be one of"),
        ("listen = ", "isn't valid TOML"),
    ],
)
def test_mistakes_in_a_settings_file(tmp_path: Path, module: str, content: str, words: str) -> None:
    file = tmp_path / "eventspec.toml"
    file.write_text(f"[{module}]\n{content}\n")
    assert words in refused(run(module, "serve", "--config", str(file)), f"eventspec-{module}")


def test_a_settings_file_that_isnt_there() -> None:
    assert "can't read the settings file" in refused(run("edge", "serve", "--config", "/nowhere/eventspec.toml"))


def test_a_variable_with_a_typing_error() -> None:
    done = run("cloud", "serve", environment={"EVENTSPEC_CLOUD_SESIONS": "3"})
    assert "did you mean sessions?" in refused(done, "eventspec-cloud")


def test_without_arguments_there_is_help() -> None:
    for module in ("edge", "cloud"):
        done = run(module)
        assert "serve" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_ask_reaches_its_mistakes_without_a_daemon() -> None:
    assert json.dumps(refused(run("edge", "ask", "what?", "--edge", "nowhere:0")))
