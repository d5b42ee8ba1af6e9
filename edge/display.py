"""Shows a streaming answer: committed text plain, provisional text dim and in brackets.

Of an answer newlines and tabs are kept; what else would steer a terminal is escaped (`common/printable.py`).
"""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from common.ask import Answer, AskEvent, Notice, Report
from common.errors import MessageError
from common.printable import one_line, paragraphs


def answer_text(answer: Answer) -> Text:
    """Committed text plain; provisional text dim and in brackets, told apart without colours too."""
    text = Text(paragraphs(answer.committed_text))
    if answer.provisional_text:
        text.append("⟨" + paragraphs(answer.provisional_text) + "⟩", style="dim italic cyan")
    return text


class LiveDisplay:
    """On a terminal: one paragraph that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=30, transient=True)
        self._text = Text()
        self._live.start()

    def show(self, event: AskEvent) -> None:
        """Take an event in."""
        if isinstance(event, Answer):
            self._text = answer_text(event)
            self._live.update(self._text)
        elif isinstance(event, Notice):
            self._console.print(Text(one_line(f"· {event.text}"), style="yellow"))

    def close(self, answer: str | None) -> None:
        """Leave the final answer on the screen (None: there is none)."""
        self._live.stop()
        if answer is not None:
            self._console.print(Text(paragraphs(answer)))


class PlainDisplay:
    """In a pipe: committed text as it comes, nothing else on standard output; notices on standard error."""

    def __init__(self, out: TextIO, notices: TextIO) -> None:
        self._out = out
        self._notices = notices
        self._shown = ""

    def show(self, event: AskEvent) -> None:
        """Take an event in."""
        if isinstance(event, Answer) and event.committed_text.startswith(self._shown):
            self._out.write(paragraphs(event.committed_text[len(self._shown) :]))
            self._out.flush()
            self._shown = event.committed_text
        elif isinstance(event, Notice):
            self._notices.write(one_line(f"· {event.text}") + "\n")

    def close(self, answer: str | None) -> None:
        """Write what is missing of the answer, and end the line."""
        if answer is not None and answer.startswith(self._shown):
            self._out.write(paragraphs(answer[len(self._shown) :]))
        if answer is not None or self._shown:
            self._out.write("\n")
        self._out.flush()


Display = LiveDisplay | PlainDisplay


def make_display() -> Display:
    """A live display on a terminal, a plain one elsewhere."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(sys.stdout, sys.stderr)


def answer_of(report: Report) -> str:
    """The finished answer of a report. Raises MessageError if there is none."""
    answer = report.values.get("answer")
    if not isinstance(answer, str):
        raise MessageError("the edge daemon's report has no answer in it: is it of this version?")
    return answer


def summary(report: Report) -> str:
    """One line of figures under an answer; what a daemon of another version doesn't say is left out."""
    values = report.values
    told = {name: value for name, value in values.items() if isinstance(value, int | float)}
    parts = [str(values.get("mode", "?"))]
    if {"tokens", "total_ms"} <= told.keys():
        parts.append(f"{told['tokens']} tokens in {told['total_ms']:.0f} ms")
    if "ttft_ms" in told:
        parts.append(f"first after {told['ttft_ms']:.0f} ms")
    if told.get("drafted") and {"accepted", "target_passes"} <= told.keys():
        parts.append(f"accepted {told['accepted']} of {told['drafted']} drafted")
        parts.append(f"{told['target_passes']} target passes")
    return " · ".join(parts)
