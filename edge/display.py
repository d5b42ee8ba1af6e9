"""Shows a streaming answer: committed text plain, provisional text dim and in brackets."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from common.ask import Answer, AskEvent, Notice, Report


def answer_text(answer: Answer) -> Text:
    """Committed text plain; provisional text dim and in brackets, told apart without colours too."""
    text = Text(answer.committed_text)
    if answer.provisional_text:
        text.append("⟨" + answer.provisional_text + "⟩", style="dim italic cyan")
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
            self._console.print(Text(f"· {event.text}", style="yellow"))

    def close(self, answer: str | None) -> None:
        """Leave the final answer on the screen (None: there is none)."""
        self._live.stop()
        if answer is not None:
            self._console.print(Text(answer))


class PlainDisplay:
    """In a pipe: committed text as it comes, nothing else on standard output; notices on standard error."""

    def __init__(self, out: TextIO, notices: TextIO) -> None:
        self._out = out
        self._notices = notices
        self._shown = ""

    def show(self, event: AskEvent) -> None:
        """Take an event in."""
        if isinstance(event, Answer) and event.committed_text.startswith(self._shown):
            self._out.write(event.committed_text[len(self._shown) :])
            self._out.flush()
            self._shown = event.committed_text
        elif isinstance(event, Notice):
            self._notices.write(f"· {event.text}\n")

    def close(self, answer: str | None) -> None:
        """Write what is missing of the answer, and end the line."""
        if answer is not None and answer.startswith(self._shown):
            self._out.write(answer[len(self._shown) :])
        if answer is not None or self._shown:
            self._out.write("\n")
        self._out.flush()


Display = LiveDisplay | PlainDisplay


def make_display() -> Display:
    """A live display on a terminal, a plain one elsewhere."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(sys.stdout, sys.stderr)


def summary(report: Report) -> str:
    """One line of figures under an answer."""
    values: dict[str, Any] = report.values
    parts = [f"{values['mode']}", f"{values['tokens']} tokens in {values['total_ms']:.0f} ms"]
    if values["ttft_ms"] is not None:
        parts.append(f"first after {values['ttft_ms']:.0f} ms")
    if values["drafted"]:
        parts.append(f"accepted {values['accepted']} of {values['drafted']} drafted")
        parts.append(f"{values['target_passes']} target passes")
    return " · ".join(parts)
