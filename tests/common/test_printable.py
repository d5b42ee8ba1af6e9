"""Nothing that a peer or a file chose can begin a line of a log, or steer a terminal."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from common.ask import Answer, Notice, Report
from common.cli import run_app, say
from common.doctor import as_text, failure
from common.errors import LinkError, MessageError
from common.logs import JsonLines, Lines, Sparing, in_session
from common.printable import as_json, one_line, paragraphs
from edge.display import LiveDisplay, PlainDisplay, answer_of, summary

ROOT = Path(__file__).resolve().parents[2]
FORGED = "\n2026-01-01 00:00:00,000 eventspec.access: forged\x1b[2K\x9b1A\u2028\u202e\udc80\x7f"
TEXTS = st.text(st.characters(codec=None)) | st.text("\x00\x1b\n\r\t\x85\x9b\x7f\u2028\u2029\u202e\u2066\ufeff\udc80ab")


def harmless(text: str, kept: str = "") -> bool:
    return all(c in kept or c.isprintable() or c in " \u200c\u200d\u00ad" or _only_odd(c) for c in text)


def _only_odd(character: str) -> bool:
    """Spaces, unassigned and private characters: not printable to Python, and without any effect."""
    import unicodedata

    return unicodedata.category(character) in ("Zs", "Cn", "Co") or (
        unicodedata.category(character) == "Cf" and one_line(character) == character
    )


def record(message: str, *values: object, error: BaseException | None = None, **fields: object) -> logging.LogRecord:
    caught = (type(error), error, None) if error is not None else None
    made = logging.LogRecord("eventspec.test", logging.WARNING, "", 0, message, values, caught)
    made.fields = fields
    return made


@given(TEXTS)
def test_lines_are_one_line_without_control_characters(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert harmless(shown)
    assert one_line(shown) == shown
    shown.encode()


@given(TEXTS)
def test_answers_keep_newlines_and_tabs_only(text: str) -> None:
    shown = paragraphs(text)
    assert harmless(shown, "\n\t")
    assert shown.count("\n") == text.count("\n")


@given(TEXTS, TEXTS)
def test_json_is_one_line_and_reads_back(name: str, text: str) -> None:
    line = as_json({name: text})
    assert json.loads(line) == {name: text}
    assert len(line.splitlines()) == 1
    assert harmless(line)


def test_plain_text_stays_as_it_is() -> None:
    for text in ("Was bewegt sich? 什么在动", "नमस्ते", "a\\b [red] ⟨x⟩ 👩\u200d🔬"):
        assert one_line(text) == text
    assert one_line("a\nb\x1b[1m\u202e") == "a\\nb\\x1b[1m\\u202e"


@pytest.mark.parametrize("formatter", [Lines(), JsonLines()])
async def test_logs_cannot_be_forged(formatter: logging.Formatter) -> None:
    in_session(FORGED)
    text = formatter.format(record("opened %s", FORGED, model=FORGED, names=[FORGED]))
    assert len(text.splitlines()) == 1
    assert harmless(text)
    text.encode()


def test_lines_of_a_traceback_are_marked() -> None:
    first, *others = Lines().format(record("it failed", error=ValueError(f"no {FORGED}"))).split("\n")
    assert first.endswith("it failed")
    assert others
    assert all(line.startswith("  | ") and harmless(line) for line in others)
    line = JsonLines().format(record("it failed", error=ValueError(f"no {FORGED}")))
    assert "forged" in json.loads(line)["error"]
    assert len(line.splitlines()) == 1


def test_lines_that_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"· {FORGED}", err=True)

    def fails() -> None:
        raise LinkError(f"the cloud said {FORGED}")

    with pytest.raises(SystemExit) as left:
        run_app(fails, "eventspec-edge")  # type: ignore[arg-type]
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert [line[:1] for line in printed.splitlines()] == ["·", "e"]
    assert harmless(printed, "\n")


CRASH = """
import sys, threading
from common.printable import escape_tracebacks
escape_tracebacks()
text = sys.argv[1]
def fails():
    raise ValueError(text)
thread = threading.Thread(target=fails)
thread.start()
thread.join()
fails()
"""


def test_errors_that_nobody_catches() -> None:
    text = "no\n2026-01-01 00:00:00,000 eventspec.access: forged\x1b[2K\u2028\u202e"
    done = subprocess.run([sys.executable, "-c", CRASH, text], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.count("ValueError: no") == 2
    assert harmless(done.stderr, "\n")
    assert all(line.startswith(("  | ", "ended by ValueError")) for line in done.stderr.splitlines())


def test_what_doctor_found() -> None:
    shown = as_text(failure("adapter", f"{FORGED} isn't there", f"mend {FORGED}"))
    assert [line[:9] for line in shown.split("\n")] == ["failure  ", "         "]
    assert harmless(shown, "\n")


def test_an_answer_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=200)
    display = LiveDisplay(console)
    display.show(Answer(f"one\n[red]two {FORGED}", f"three{FORGED}", 1.0))
    display.show(Notice(f"gone [red]{FORGED}"))
    display.close(f"one\n[red]two {FORGED}")
    shown = out.getvalue()
    assert "[red]two" in shown
    assert "gone [red]" in shown
    assert "\x1b[2K\x9b" not in shown
    assert not set("\x9b\u2028\u202e\x7f") & set(shown)
    assert "\\x1b[2K\\x9b1A" in shown


def test_an_answer_in_a_pipe() -> None:
    out, notices = io.StringIO(), io.StringIO()
    display = PlainDisplay(out, notices)
    display.show(Answer("one\n\ttwo\x1b", "", 1.0))
    display.show(Notice(FORGED))
    display.close("one\n\ttwo\x1b[2J")
    assert out.getvalue() == "one\n\ttwo\\x1b[2J\n"
    assert len(notices.getvalue().splitlines()) == 1
    assert harmless(notices.getvalue(), "\n")


def test_a_report_that_is_not_one() -> None:
    assert summary(Report({"mode": 3, "tokens": "x", "total_ms": None, "drafted": 4})) == "3"
    for values in ({}, {"answer": 5}):
        with pytest.raises(MessageError, match="no answer in it"):
            answer_of(Report(values))
    full = {"mode": "cloud_only", "tokens": 3, "total_ms": 10.4, "ttft_ms": 5, "drafted": 4, "accepted": 2}
    assert "accepted 2 of 4" in summary(Report({**full, "target_passes": 1}))


def test_commands_print_through_one_place() -> None:
    """JSON (ASCII, by `json.dumps`) and a daemon's `ready` line are what else is printed."""
    allowed = {"common/cli.py", "common/doctor.py", "common/printable.py", "common/server.py"}
    found = []
    for path in (p for side in ("common", "edge", "cloud") for p in (ROOT / side).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.echo", "click.echo", "print"):
                text = ast.unparse(node)
                if str(path.relative_to(ROOT)) not in allowed and "json.dumps(" not in text and "trace_of(" not in text:
                    found.append(f"{path.relative_to(ROOT)}: {text.partition('{')[0]}")
    assert sorted(found) == [
        "cloud/security_cli.py: typer.echo(token)",
        r"edge/watch_cli.py: typer.echo(f'\r· ",
        r"edge/watch_cli.py: typer.echo(f'\r· ",
    ], "print it with common.cli.say"


def test_a_flood_of_tracebacks_is_one_line_every_ten_seconds() -> None:
    now = [0.0]
    sparing = Sparing(clock=lambda: now[0])
    passed = []
    for now[0] in (0.0, 0.1, 5.0, 9.9, 10.1, 10.2, 30.0):
        if sparing.filter(record("a call broke")):
            passed.append(now[0])
    assert passed == [0.0, 10.1, 30.0]
