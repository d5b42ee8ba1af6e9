"""Journals: what was written is found again, whatever was cut off; a disk that fails costs no answer."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.ask import AskRequest
from common.errors import CapacityError, SettingsError
from common.types import SamplingParams
from edge.spool import MAX_BYTES, Journal, Progress, Spool, read_journal

ID = "0123456789abcdef0123456789abcdef"
ASK = AskRequest("what moves?", "/events.npy", "/clip.mp4", sampling=SamplingParams(0.7, seed=9), answer_id=ID)


@pytest.fixture(scope="module")
def disk() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def written(folder: Path, disk: Executor, *commits: list[int]) -> Journal:
    journal = Spool(folder, disk).journal(ID, Progress("session-0"))
    assert journal is not None
    journal.begin(ASK)
    journal.connecting(0)
    for committed in commits:
        journal.commit(committed)
    return journal


def test_an_answer_in_progress_is_found_again(tmp_path: Path, disk: Executor) -> None:
    written(tmp_path, disk, [5], [5, 6, 7]).connecting(1)
    (found,) = Spool(tmp_path, disk).found()
    assert found.ask == ASK
    assert found.progress == Progress("session-0", 1, [5, 6, 7])
    assert (found.report, found.error) == (None, None)


def test_an_answer_that_ended_is_kept_with_its_end(tmp_path: Path, disk: Executor) -> None:
    written(tmp_path, disk, [5, 6]).finish({"answer": "the ball", "token_ids": [5, 6]}, None)
    (found,) = Spool(tmp_path, disk).found()
    assert found.report == {"answer": "the ball", "token_ids": [5, 6]}
    written(tmp_path, disk).finish(None, CapacityError("all sessions are taken"))
    (found,) = Spool(tmp_path, disk).found()
    assert isinstance(found.error, CapacityError)
    assert str(found.error) == "all sessions are taken"


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), tail=st.binary(max_size=20))
def test_a_journal_cut_anywhere_is_a_beginning_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, disk: Executor, cut: int, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    written(folder, disk, [5], [5, 6], [5, 6, 7, 8]).close()
    path = folder / f"{ID}.journal"
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))] + tail)
    found = read_journal(path)
    if found is not None:
        assert found.ask == ASK
        committed = found.progress.committed
        assert [5, 6, 7, 8][: len(committed)] == committed or tail


@pytest.mark.parametrize(
    "line",
    [
        *("[]", "{}", "null", '{"c":[-1]}', '{"c":["5"]}', '{"c":[true]}', '{"e":"1"}', '{"c":[4294967296]}'),
        *('{"report":1}', "[" * 20_000, '{"error":["nonsense","x"]}', "\\xff"),
    ],
)
def test_a_line_that_makes_no_sense_ends_the_journal(tmp_path: Path, disk: Executor, line: str) -> None:
    journal = written(tmp_path, disk, [5, 6])
    journal.close()
    path = tmp_path / f"{ID}.journal"
    path.write_text(path.read_text() + line + "\n" + json.dumps({"c": [99]}) + "\n")
    found = read_journal(path)
    assert found is not None
    assert found.progress.committed == [5, 6]
    assert (found.report, found.error) == (None, None)


def test_what_isnt_a_journal_is_removed(tmp_path: Path, disk: Executor) -> None:
    (tmp_path / "nonsense.journal").write_bytes(b"\x80\x04nonsense")
    (tmp_path / "other.journal").write_bytes(b"")
    (tmp_path / "keep.txt").write_text("not ours")
    written(tmp_path, disk).close()
    (tmp_path / f"{ID}.journal").rename(tmp_path / f"{ID[::-1]}.journal")  # another's name
    assert Spool(tmp_path, disk).found() == []
    assert [p.name for p in tmp_path.iterdir()] == ["keep.txt"]


def test_a_full_disk_is_told_and_the_answer_goes_on(tmp_path: Path, disk: Executor) -> None:
    journal = written(tmp_path, disk, [5])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        journal.commit([5, 6])
        assert journal.trouble is not None
        journal.commit([5, 6, 7])
        journal.finish({"answer": ""}, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.progress.committed == [5, 6, 7]
    found = read_journal(tmp_path / f"{ID}.journal")
    assert found is not None
    assert found.progress.committed == [5]


def test_a_journal_is_bounded(tmp_path: Path, disk: Executor) -> None:
    journal = written(tmp_path, disk)
    journal.commit([2**31] * MAX_BYTES)
    assert journal.trouble is not None
    assert (tmp_path / f"{ID}.journal").stat().st_size < 1000


def test_without_a_folder_nothing_is_spooled(tmp_path: Path, disk: Executor) -> None:
    assert Spool(None, disk).journal(ID, Progress("s")) is None
    assert Spool(None, disk).found() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="spool"):
        Spool(tmp_path / "file", disk)


def test_others_may_not_read_it(tmp_path: Path, disk: Executor) -> None:
    written(tmp_path / "spool", disk).close()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "spool" / f"{ID}.journal").stat().st_mode & 0o777 == 0o600
