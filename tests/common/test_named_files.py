"""Names of files: what they stand for, opened without waiting, inside the roots or not at all."""

import os
import stat
import threading
from pathlib import Path

import pytest

from common.errors import PathError, SettingsError
from common.named_files import Allowed, Kind, allowed_in, kind_of, open_named, path_of


def test_a_regular_file_is_opened_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"contents")
    with open_named(tmp_path / "a") as file:
        assert file.name == str(tmp_path / "a")
        assert path_of(file).read_bytes() == b"contents"
        assert file.read() == b"contents"
    assert file.closed


def test_kinds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    (tmp_path / "link").symlink_to("/proc/self/status")
    found = {
        name: kind_of(tmp_path / name) for name in ("pipe", "socket", "link", ".", "/dev/null", "/sys", "/proc/version")
    }
    assert found == {
        "pipe": Kind.PIPE,
        "socket": Kind.SOCKET,
        "link": Kind.KERNEL,
        ".": Kind.FOLDER,
        "/dev/null": Kind.DEVICE,
        "/sys": Kind.FOLDER,
        "/proc/version": Kind.KERNEL,
    }
    for name in found:
        with pytest.raises(PathError, match=rf"^is {found[name].value}; name a file$"):
            open_named(tmp_path / name)


def test_a_pipe_is_never_opened_by_mistake(tmp_path: Path) -> None:
    """Not even for a moment: its writer would take that for a reader."""
    os.mkfifo(tmp_path / "pipe")
    opened = threading.Event()

    def write() -> None:
        os.close(os.open(tmp_path / "pipe", os.O_WRONLY))
        opened.set()

    threading.Thread(target=write, daemon=True).start()
    for _ in range(100):
        with pytest.raises(PathError):
            open_named(tmp_path / "pipe")
    assert not opened.wait(0.2)
    open_named(tmp_path / "pipe", kinds=frozenset({Kind.PIPE})).close()
    assert opened.wait(5)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5_000, "/nowhere/a", "loop", "file/inside"])
def test_what_is_no_name_of_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    for allowed in (Allowed(), Allowed(()), allowed_in([str(tmp_path)])):
        with pytest.raises(PathError) as caught:
            open_named(name, allowed)
        assert len(str(caught.value)) < 200


def test_a_file_that_may_not_be_read_is_told_inside_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    allowed = allowed_in([str(tmp_path / "in")])
    with pytest.raises(PathError, match="No such file"):
        open_named(tmp_path / "in" / "absent", allowed)
    (tmp_path / "out" / "there").write_bytes(b"")
    said = set()
    for name in ("there", "absent", "there/inside", "../in/../out/there", "../in/../out/absent"):
        with pytest.raises(PathError) as caught:
            open_named(tmp_path / "out" / name, allowed)
        said.add(str(caught.value))
    assert len(said) == 1


def test_names_that_change_while_they_are_followed(tmp_path: Path) -> None:
    """A link that leads in and out by turns: what is read is always what was checked."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    allowed, done = allowed_in([str(tmp_path / "in")]), threading.Event()

    def flip() -> None:
        while not done.is_set():
            for target in (tmp_path / "in" / "file", tmp_path / "secret"):
                (tmp_path / "next").symlink_to(target)
                (tmp_path / "next").rename(tmp_path / "in" / "link")

    thread = threading.Thread(target=flip)
    thread.start()
    read = refused = 0
    while read < 100 or refused < 100:
        try:
            with open_named(tmp_path / "in" / "link", allowed) as file:
                assert file.read() == b"inside"
            read += 1
        except PathError:
            refused += 1
    done.set()
    thread.join()


def test_roots(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    assert allowed_in([str(tmp_path / "link"), "/"]).roots == (str(tmp_path / "a"), "/")
    allowed_in(["/"]).check("/etc/passwd")
    with pytest.raises(PathError):
        allowed_in([str(tmp_path / "a")]).check(str(tmp_path / "ab"))
    for missing in ("", str(tmp_path / "absent")):
        with pytest.raises(SettingsError, match="there is no folder"):
            allowed_in([missing])
