"""Settings: file < environment < flags, and every mistake is told with its place and a hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud.config import CloudSettings
from common.errors import SettingsError
from common.settings import check_address, load_settings, require
from edge.config import EdgeSettings


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of each kind."""

    name: str = "default"
    count: int = 1
    share: float = 0.5
    loud: bool = False

    def __post_init__(self) -> None:
        require(self.count > 0, f"count must be positive, not {self.count}")


def load(
    text: str | None = None,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **flags: Any,
) -> Sample:
    file = None
    if text is not None:
        assert folder is not None
        file = folder / "settings.toml"
        file.write_text(text)
    return load_settings(Sample, "sample", file=file, environment=environment or {}, flags=flags)


def test_defaults() -> None:
    assert load() == Sample()


def test_each_place_overrides_the_one_before(tmp_path: Path) -> None:
    text = '[sample]\nname = "file"\ncount = 2\nshare = 0.1\nloud = true\n[edge]\nsessions = 1\n'
    environment = {"EVENTSPEC_SAMPLE_COUNT": "3", "EVENTSPEC_SAMPLE_SHARE": "0.25", "PATH": "/bin"}
    settings = load(text, folder=tmp_path, environment=environment, share=0.75, name=None)
    assert settings == Sample("file", 3, 0.75, True)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert load("\ufeff[sample]\ncount = 3\n", folder=tmp_path).count == 3


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    assert load("[sample]\nshare = 1\n", folder=tmp_path).share == 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("false", False), ("No", False)],
)
def test_true_and_false_in_the_environment(text: str, value: bool) -> None:
    assert load(environment={"EVENTSPEC_SAMPLE_LOUD": text}).loud is value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sample\n", "isn't valid TOML"),
        ("[sample]\ncuont = 1\n", "did you mean count?"),
        ("[sample]\nzzzzzz = 1\n", "known are count, loud, name, share"),
        ('[sample]\ncount = "many"\n', "count in .*settings.toml must be a whole number, not 'many'"),
        ("[sample]\ncount = true\n", "must be a whole number, not True"),
        ("[sample]\ncount = [1]\n", "must be a whole number"),
        ("[sample]\ncount = 2.7\n", "must be a whole number, not 2.7"),
        ("[sample]\nname = 7\n", "must be text, not 7"),
        ("[sample]\nloud = 1\n", "must be true or false, not 1"),
        ("[sample]\ncount = 0\n", "count must be positive, not 0"),
        ("sample = 3\n", "must be a table"),
        ('[sample]\ncount = "3"\n', "count in .*settings.toml must be a whole number, not '3'"),
        ('[sample]\nloud = "yes"\n', "must be true or false, not 'yes'"),
        ('tokens = "tokens.toml"\n', r"tokens in .* stands outside of any table: move it below the line \[sample\]"),
        ("[Sample]\ncount = 3\n", r"there is no table \[Sample\]; did you mean \[sample\]\?"),
        ("[samples]\ncount = 3\n", r"there is no table \[samples\]; did you mean \[sample\]\?"),
        ("[clod]\nsessions = 3\n", r"there is no table \[clod\]; did you mean \[cloud\]\?"),
        ("[zzz]\n", r"there is no table \[zzz\]; known are \[cloud\], \[edge\], \[sample\]"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        load(text, folder=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("EVENTSPEC_SAMPLE_COUNT", "1.5", "EVENTSPEC_SAMPLE_COUNT must be a whole number, not '1.5'"),
        ("EVENTSPEC_SAMPLE_SHARE", "half", "EVENTSPEC_SAMPLE_SHARE must be a number"),
        ("EVENTSPEC_SAMPLE_LOUD", "maybe", "EVENTSPEC_SAMPLE_LOUD must be true or false, not 'maybe'"),
        ("EVENTSPEC_SAMPLE_NAEM", "x", "EVENTSPEC_SAMPLE_NAEM: there is no setting naem; did you mean name?"),
    ],
)
def test_mistakes_in_the_environment(variable: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environment={variable: text})
    assert words in str(caught.value)


def test_a_missing_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't read the settings file"):
        load_settings(Sample, "sample", file=tmp_path / "none.toml", environment={}, flags={})
    with pytest.raises(SettingsError, match="can't read the settings file"):
        load_settings(Sample, "sample", file=tmp_path, environment={}, flags={})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="isn't valid TOML"):
        load_settings(Sample, "sample", file=tmp_path / "bytes.toml", environment={}, flags={})


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:0", "[::1]:80", "unix:/tmp/edge.sock", "host:65535"])
def test_addresses(address: str) -> None:
    check_address("listen", address)


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:port", "host:65536", "host:-1", "127.0.0.1"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(SettingsError, match="listen must be HOST:PORT"):
        check_address("listen", address)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (CloudSettings, "listen", "nowhere"),
        (CloudSettings, "dtype", "float8"),
        (CloudSettings, "quantize", "2bit"),
        (CloudSettings, "sessions", 0),
        (CloudSettings, "max_draft", 257),
        (CloudSettings, "prompt_chunk", 0),
        (CloudSettings, "open_timeout_s", 0.0),
        (CloudSettings, "resume_ttl_s", float("nan")),
        (CloudSettings, "threads", -1),
        (EdgeSettings, "cloud", "nowhere"),
        (EdgeSettings, "listen", "nowhere"),
        (EdgeSettings, "dtype", "int4"),
        (EdgeSettings, "max_ahead", 0),
        (EdgeSettings, "branches", 17),
        (EdgeSettings, "branches", -2),
        (EdgeSettings, "max_answer_tokens", 0),
        (EdgeSettings, "give_up_after_s", float("nan")),
        (EdgeSettings, "sessions", 0),
    ],
)
def test_daemons_refuse_what_makes_no_sense(kind: type[Any], field: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(**{field: value})
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_engine_gets_its_part_of_the_settings() -> None:
    settings = CloudSettings(sessions=3, max_draft=5, model="folder")
    assert (settings.engine.sessions, settings.engine.max_draft, settings.engine.model) == (3, 5, "folder")
