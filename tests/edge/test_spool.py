"""Journals: what was written is found again, whatever was cut off; a disk that fails costs no answer."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
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
    for name, contents in (("nonsense", b"\x80\x04nonsense"), ("other", b"")):
        (tmp_path / f"{name}.journal").write_bytes(contents)
        (tmp_path / f"{name}.journal").chmod(0o600)
    (tmp_path / "keep.txt").write_text("not ours")
    written(tmp_path, disk).close()
    (tmp_path / f"{ID}.journal").rename(tmp_path / f"{ID[::-1]}.journal")  # another's name
    assert Spool(tmp_path, disk).found() == []
    assert [p.name for p in tmp_path.iterdir()] == ["keep.txt"]


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, Path]:
    """What may lie in a spool under a journal's name, and isn't one."""
    names = {what: tmp_path / f"{what}.journal" for what in ("dangling", "link", "folder", "fifo", "open", "socket")}
    names["dangling"].symlink_to(tmp_path / "nowhere")
    (tmp_path / "precious").write_text("not a journal")
    names["link"].symlink_to(tmp_path / "precious")
    names["folder"].mkdir()
    (names["folder"] / "precious").touch()
    os.mkfifo(names["fifo"], 0o600)
    names["open"].write_text("anybody may have written this")
    names["open"].chmod(0o666)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(names["socket"]))
    return names


def test_what_is_no_file_of_ours_is_left_alone_with_a_line_each(
    tmp_path: Path, disk: Executor, strange: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, disk, [5]).close()
    (found,) = Spool(tmp_path, disk).found()
    assert found.ask == ASK
    for path in strange.values():
        assert path.is_symlink() or path.exists()
        (line,) = [record.getMessage() for record in caplog.records if path.name in record.getMessage()]
        assert "is left alone" in line and "\n" not in line
    assert (strange["folder"] / "precious").exists()


@pytest.mark.parametrize("what", ["dangling", "link", "folder", "fifo", "open", "socket"])
def test_an_answer_whose_journal_cant_be_there_goes_on_without(
    tmp_path: Path, disk: Executor, strange: dict[str, Path], what: str
) -> None:
    """At once: a FIFO without a reader would keep its writer waiting."""
    journal = Spool(tmp_path, disk).journal(what, Progress("session-0"))
    assert journal is not None
    began = time.monotonic()
    journal.begin(ASK)
    journal.commit([5])
    journal.finish({"answer": ""}, None)
    assert time.monotonic() - began < 5.0
    assert journal.trouble is not None
    assert (tmp_path / "precious").read_text() == "not a journal"
    assert read_journal(strange[what]) is None


def test_anothers_journal_is_left_alone(tmp_path: Path, disk: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, disk, [5]).close()
    spool = Spool(tmp_path, disk)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert spool.found() == []
    assert (tmp_path / f"{ID}.journal").exists()
    with pytest.raises(SettingsError, match="belongs to another user"):
        Spool(tmp_path, disk)


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o770, 0o1777])
def test_a_spool_that_others_may_write_to_is_refused(tmp_path: Path, disk: Executor, mode: int) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(mode)
    with pytest.raises(SettingsError, match="others may write into the spool") as caught:
        Spool(tmp_path / "spool", disk)
    assert "chmod 700" in str(caught.value) and "\n" not in str(caught.value)


def test_a_spool_that_others_may_look_into_is_closed(
    tmp_path: Path, disk: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    Spool(tmp_path / "spool", disk)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert "closing it" in caplog.text


def test_a_spool_that_cant_be_listed_any_more_is_told(
    tmp_path: Path, disk: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path / "spool", disk)
    (tmp_path / "spool").rmdir()
    assert spool.found() == []
    assert "can't be read" in caplog.text


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
