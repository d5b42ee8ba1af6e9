"""Answers in progress on disk, so that they go on after the edge daemon's restart: one small journal an answer.

A journal is lines of JSON: first the question, then every connection's epoch and the committed tokens as they come,
last the report or the error. A line that was cut short ends it; nothing in it is ever run. The question is on the disk
before the answer begins; tokens are flushed to the system at once, which a killed daemon survives, and to the disk
twice a second, which a dead battery survives: what is missing is computed again, and comes out the same.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import codec
from common.ask import AskRequest
from common.errors import EventSpecError
from common.failures import error_of, failure_of
from common.types import Failure, FailureCode
from edge.spool_folder import create, journals, opened, read_own

VERSION = 1
MAX_BYTES = 1 << 20  # of a journal
MAX_JOURNALS = 256
_SYNC_S = 0.5
_SUFFIX = ".journal"


@dataclass
class Progress:
    """How far an answer has come: what its next connection needs."""

    session_id: str
    epoch: int = -1  # of its newest connection; none yet
    committed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spooled:
    """An answer that was found on disk. `report` or `error` is set if it had ended."""

    ask: AskRequest
    progress: Progress
    report: dict[str, Any] | None = None
    error: EventSpecError | None = None


class Journal:
    """Writes one answer's journal. A disk that fails is told once, by `trouble`, and then left alone.

    `parting`: the daemon goes down, the session in the cloud shall stay for the next one.
    """

    def __init__(self, path: Path, progress: Progress, disk: Executor) -> None:
        self.progress = progress
        self.trouble: OSError | None = None
        self.parting = False
        self._path = path
        self._disk = disk
        self._file: int | None = None
        self._size = 0
        self._synced = time.monotonic()

    def begin(self, ask: AskRequest) -> None:
        """The question, and what is known already, safely on disk. May block: not for an event loop."""
        question = base64.b64encode(codec.encode_ask(ask)).decode()
        try:
            self._file = create(self._path)
        except OSError as error:
            self.trouble = error
            return
        progress = self.progress
        self._write({"v": VERSION, "ask": question, "session": progress.session_id})
        if progress.epoch >= 0:
            self._write({"e": progress.epoch})
        if progress.committed:
            self._write({"c": progress.committed})
        self._sync()

    def connecting(self, epoch: int) -> None:
        """A stream of this epoch is about to be opened."""
        self.progress.epoch = epoch
        self._write({"e": epoch})

    def commit(self, committed: Sequence[int]) -> None:
        """The committed tokens as they stand."""
        known = len(self.progress.committed)
        if len(committed) <= known:
            return
        fresh = list(committed[known:])
        self.progress.committed += fresh
        self._write({"c": fresh})
        if self._file is not None and time.monotonic() - self._synced >= _SYNC_S:
            self._synced = time.monotonic()
            with suppress(RuntimeError):  # the daemon is going down
                self._disk.submit(self._sync)

    def finish(self, report: dict[str, Any] | None, error: EventSpecError | None) -> None:
        """The end, kept for an asker who has lost the daemon. May block."""
        if error is not None:
            failure = failure_of(error)
            self._write({"error": [failure.code.value, failure.message]})
        else:
            self._write({"report": report})
        self._sync()
        self.close()

    def close(self) -> None:
        """Leave the journal as it is."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Nobody will ask for it again."""
        self.close()
        with suppress(OSError):
            self._path.unlink()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            if self._size + len(data) > MAX_BYTES:
                raise OSError(f"a journal holds at most {MAX_BYTES} bytes")
            if os.write(self._file, data) != len(data):
                raise OSError("the disk is full")
        except OSError as error:
            self.trouble = error
            self.close()
            return
        self._size += len(data)

    def _sync(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file)


class Spool:
    """A folder of journals. Without a folder nothing is written, and nothing survives."""

    def __init__(self, folder: Path | None, disk: Executor) -> None:
        """Open the folder; it is made if it is missing.

        Raises:
            SettingsError: it can't be used, is another user's, or others may write there.
        """
        self._folder = folder
        self._disk = disk
        if folder is not None:
            opened(folder)

    def journal(self, answer_id: str, progress: Progress) -> Journal | None:
        """A journal for an answer; None if nothing is spooled."""
        if self._folder is None or not answer_id:
            return None
        return Journal(self._folder / f"{answer_id}{_SUFFIX}", progress, self._disk)

    def found(self) -> list[Spooled]:
        """The answers that an earlier daemon left, newest first. May block.

        Own files that make no sense are removed; what isn't a file of this user's, closed to others, is left alone.
        """
        if self._folder is None:
            return []
        answers = []
        for place, path in enumerate(journals(self._folder, _SUFFIX)):
            spooled = read_journal(path) if place < MAX_JOURNALS else None
            if spooled is None or spooled.ask.answer_id != path.name.removesuffix(_SUFFIX):
                with suppress(OSError):
                    path.unlink()
            else:
                answers.append(spooled)
        return answers


def read_journal(path: Path) -> Spooled | None:
    """A journal, up to the first line that makes no sense; None if it hasn't even a question."""
    contents = read_own(path, MAX_BYTES)
    if contents is None:
        return None
    try:
        first, *lines = contents.split(b"\n")
        head = json.loads(first)
        if head["v"] != VERSION:
            return None
        ask = codec.decode_ask(base64.b64decode(head["ask"], validate=True))
        progress = Progress(str(head["session"]))
    except (ValueError, KeyError, TypeError, RecursionError, EventSpecError):
        return None
    report: dict[str, Any] | None = None
    error: EventSpecError | None = None
    for line in lines:
        try:
            match json.loads(line):
                case {"e": int(epoch)} if epoch > progress.epoch:
                    progress.epoch = epoch
                case {"c": [*ids]} if all(type(i) is int and 0 <= i < 2**32 for i in ids):
                    progress.committed += ids
                case {"report": dict(values)}:
                    report = values
                case {"error": [str(code), str(text)]}:
                    error = error_of(Failure(FailureCode(code), text))
                case _:
                    break
        except (ValueError, RecursionError):
            break
    return Spooled(ask, progress, report, error)
