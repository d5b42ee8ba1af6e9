"""What an engine counts, and how the counts get from its process to the front: as words on a page of memory.

Pure but for `StatsPage`, which maps the page, and `EngineTotals`, which reads it. The engine's process writes all
words a few times a second, the front reads them when somebody scrapes; no message, no lock. Counts of an engine that
died stay in the front.
"""

from __future__ import annotations

import mmap
from array import array
from dataclasses import dataclass, field, fields
from pathlib import Path

from cloud.page_file import PageFile
from common.metrics import LATENCY_S, SHORT_S, Histogram
from common.types import CloudMessage, Commit, Failure, FailureCode, Finished, FinishReason

_LENGTHS = 257  # a pass checks at most 256 draft tokens
_SIZE = 8192
REASONS = tuple(FinishReason)
CODES = tuple(FailureCode)
_GAUGES = ("kv_tokens", "sessions_waiting", "frames_waiting", "draft_credit")


def _short() -> Histogram:
    return Histogram(SHORT_S)


def _latency() -> Histogram:
    return Histogram(LATENCY_S)


@dataclass
class EngineStats:
    """Counters since the start; the last four are what is so at the moment.

    `drafted_lengths[n]` and `accepted_lengths[n]`: passes that checked, or accepted, n draft tokens. `finished` and
    `failed` are by `REASONS` and `CODES`. `ttft` is from a session's opening to its first commit, `tpot` a session's
    mean from its first to its last commit, `queue` what the newest draft (or pass) had to wait for its turn.
    """

    steps: int = 0
    forward_us: int = 0
    vision_us: int = 0
    committed: int = 0
    drafted: int = 0
    accepted: int = 0
    target_passes: int = 0
    verifications: int = 0
    rejections: int = 0
    stale_drafts: int = 0
    over_credit: int = 0
    stepped: int = 0
    opened: int = 0
    resumed: int = 0
    replayed: int = 0
    clips: int = 0
    drafted_lengths: list[int] = field(default_factory=lambda: [0] * _LENGTHS)
    accepted_lengths: list[int] = field(default_factory=lambda: [0] * _LENGTHS)
    finished: list[int] = field(default_factory=lambda: [0] * len(REASONS))
    failed: list[int] = field(default_factory=lambda: [0] * len(CODES))
    step: Histogram = field(default_factory=_short)
    queue: Histogram = field(default_factory=_short)
    ttft: Histogram = field(default_factory=_latency)
    tpot: Histogram = field(default_factory=_short)
    kv_tokens: int = 0
    sessions_waiting: int = 0
    frames_waiting: int = 0
    draft_credit: int = 0

    def forwarded(self, forward_us: int, sessions: int) -> None:
        """A step's forward over so many sessions."""
        self.steps += 1
        self.stepped += sessions
        self.forward_us += forward_us
        self.step.observe(forward_us)

    def commit(self, commit: Commit) -> None:
        """A pass that chose tokens."""
        self.committed += len(commit.token_ids)
        self.target_passes += 1
        self.queue.observe(commit.timings.queue_us)
        if commit.drafted:
            self.drafted += commit.drafted
            self.accepted += commit.accepted
            self.verifications += 1
            self.rejections += commit.accepted < commit.drafted
            self.drafted_lengths[commit.drafted] += 1
            self.accepted_lengths[commit.accepted] += 1

    def told(self, message: CloudMessage) -> None:
        """A message for an edge."""
        if isinstance(message, Finished):
            self.finished[REASONS.index(message.reason)] += 1
        elif isinstance(message, Failure):
            self.failed[CODES.index(message.code)] += 1

    def words(self) -> array[int]:
        """All of it, in the order of the fields."""
        words = array("Q")
        for part in (getattr(self, name) for name in _NAMES):
            if isinstance(part, Histogram):
                words.extend(map(_word, part.counts))
                words.append(_word(part.sum_us))
            elif isinstance(part, list):
                words.extend(map(_word, part))
            else:
                words.append(_word(part))
        return words

    @classmethod
    def of_words(cls, words: array[int]) -> EngineStats:
        """The reverse of `words`; what follows them is ignored."""
        stats, at = cls(), 0
        for name in _NAMES:
            part = getattr(stats, name)
            if isinstance(part, Histogram):
                end = at + len(part.counts)
                part.counts, part.sum_us = list(words[at:end]), words[end]
                at = end + 1
            elif isinstance(part, list):
                setattr(stats, name, list(words[at : at + len(part)]))
                at += len(part)
            else:
                setattr(stats, name, words[at])
                at += 1
        return stats

    def add(self, other: EngineStats) -> None:
        """Another engine's counts, from before; what is so at the moment stays."""
        for name in _NAMES:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Histogram):
                mine.add(theirs)
            elif isinstance(mine, list):
                setattr(self, name, [a + b for a, b in zip(mine, theirs, strict=True)])
            elif name not in _GAUGES:
                setattr(self, name, mine + theirs)


def _word(count: float) -> int:
    """As a word of 64 bits: what is counted must never end the process that counts."""
    return min(max(int(count), 0), 2**64 - 1)


_NAMES = tuple(one.name for one in fields(EngineStats))


class StatsPage:
    """The page in a file, as the engine writes it. Words are aligned and written whole."""

    def __init__(self, path: Path) -> None:
        """Map the page, which the front has made."""
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _SIZE)

    def write(self, stats: EngineStats) -> None:
        """The engine's counts."""
        data = stats.words().tobytes()
        self._page[: len(data)] = data


class EngineTotals:
    """The counts of an engine and of those before it that died. The front may see a step's first half."""

    def __init__(self) -> None:
        self._past = EngineStats()
        self._page: PageFile | None = None

    def begin(self, path: Path) -> None:
        """A new engine, which counts from zero on this new page."""
        if self._page is not None:
            self._past.add(self._read())
            self._page.close()
        self._page = PageFile(path, _SIZE)

    def now(self) -> EngineStats:
        """All counts, and what is so at the moment."""
        stats = self._read()
        stats.add(self._past)
        return stats

    def _read(self) -> EngineStats:
        return EngineStats.of_words(array("Q", self._page.read())) if self._page is not None else EngineStats()
