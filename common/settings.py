"""Settings: a TOML file, then the environment, then flags, each overriding the one before.

A settings class is a frozen dataclass whose `__post_init__` raises `SettingsError`. Its table in the TOML file is
`[edge]` or `[cloud]`, its environment variables are `EVENTSPEC_EDGE_...` or `EVENTSPEC_CLOUD_...` in capitals.
"""

from __future__ import annotations

import difflib
import os
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from common.errors import SettingsError

S = TypeVar("S")
DTYPES = ("float32", "float16", "bfloat16")
QUANTIZATIONS = ("none", "4bit", "8bit")
_TABLES = ("cloud", "edge")  # of the settings file: both daemons may share one
TEXTS = tuple[str, ...]  # the type of settings with several values: a list in TOML, with colons in the environment
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def load_settings(
    kind: type[S],
    table: str,
    *,
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
) -> S:
    """Settings of class `kind`.

    Args:
        kind: a frozen dataclass of fields that are str, int, float, bool or `TEXTS`.
        table: name of its table in the file, and of its environment variables.
        file: a TOML file; None for none.
        environment: usually `os.environ`.
        flags: values given on the command line; None means not given.

    Raises:
        SettingsError: naming the place and the setting that makes no sense.
    """
    types = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in _from_file(file, table).items():
        _check_name(name, types, f"{file}, table [{table}]")
        values[name] = _typed(value, types[name], f"{name} in {file}")
    prefix = f"EVENTSPEC_{table.upper()}_"
    for variable, text in environment.items():
        if variable.startswith(prefix):
            name = variable[len(prefix) :].lower()
            _check_name(name, types, f"the environment variable {variable}")
            values[name] = _parsed(text, types[name], variable)
    values |= {name: _flag(value, types[name]) for name, value in flags.items() if value is not None}
    return kind(**values)


def _from_file(file: Path | None, table: str) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except OSError as error:
        raise SettingsError(f"can't read the settings file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} isn't valid TOML: {error}") from error
    known = sorted({*_TABLES, table})
    for name, value in content.items():
        if name in known and not isinstance(value, dict):
            raise SettingsError(f"[{name}] in {file} must be a table")
        if name not in known and not isinstance(value, dict):
            raise SettingsError(f"{name} in {file} stands outside of any table: move it below the line [{table}]")
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f"did you mean [{near[0]}]?" if near else f"known are {', '.join(f'[{k}]' for k in known)}"
            raise SettingsError(f"{file}: there is no table [{name}]; {hint}")
    found: dict[str, Any] = content.get(table, {})
    return found


def _check_name(name: str, types: Mapping[str, Any], where: str) -> None:
    if name in types:
        return
    near = difflib.get_close_matches(name, types, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(types))}"
    raise SettingsError(f"{where}: there is no setting {name}; {hint}")


def _typed(value: Any, kind: Any, where: str) -> Any:
    """A value of a TOML file, which has types of its own: nothing is parsed, cut or spelt out silently."""
    if type(value) is int and kind is float:
        return float(value)
    if kind == TEXTS:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise SettingsError(f"{where} must be {_article(kind)}, not {value!r}")
        return tuple(value)
    if type(value) is not kind:
        raise SettingsError(f"{where} must be {_article(kind)}, not {value!r}")
    return value


def _parsed(text: str, kind: Any, where: str) -> Any:
    """A value of an environment variable, which is always text."""
    try:
        if kind is bool:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError(text)
            return text.lower() in _TRUE
        if kind == TEXTS:
            return tuple(one for one in text.split(os.pathsep) if one)
        return kind(text)
    except ValueError as error:
        raise SettingsError(f"{where} must be {_article(kind)}, not {text!r}") from error


def _flag(value: Any, kind: Any) -> Any:
    return tuple(value) if kind == TEXTS else value


def _article(kind: Any) -> str:
    if kind == TEXTS:
        return "a list of texts"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, str(kind))


def require(condition: bool, message: str) -> None:
    """Raise SettingsError with `message` unless `condition`."""
    if not condition:
        raise SettingsError(message)


def check_address(name: str, address: str) -> None:
    """An address is HOST:PORT (port 0: any free one), or unix:PATH."""
    if address.startswith("unix:"):
        return
    host, _, port = address.rpartition(":")
    ok = bool(host) and port.isascii() and port.isdigit() and int(port) < 65536
    require(ok, f"{name} must be HOST:PORT, for example 127.0.0.1:50051, not {address!r}")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model and how: the part that both daemons' settings share. `model` empty: the shipped tiny one."""

    model: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    quantize: str = "none"
    threads: int = 0

    def check_model(self) -> None:
        """Raise SettingsError if a value makes no sense."""
        require(self.dtype in DTYPES, f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        known = ", ".join(QUANTIZATIONS)
        require(self.quantize in QUANTIZATIONS, f"quantize must be one of {known}, not {self.quantize!r}")
        require(self.threads >= 0, f"threads must be 0 (automatic) or more, not {self.threads}")

    @property
    def torch_threads(self) -> int:
        """Threads for torch: as set, else half of the cores."""
        return self.threads or max(1, (os.cpu_count() or 2) // 2)

    @property
    def quantization(self) -> Literal["4bit", "8bit"] | None:
        """The quantisation, or None."""
        return None if self.quantize == "none" else self.quantize  # type: ignore[return-value]
