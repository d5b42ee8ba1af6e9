"""Reads the JSON files of a model folder, whose contents may be anything. No torch in here."""

import json
from pathlib import Path
from typing import Any

from common.errors import ModelError

_MOST_JSON = 64 << 20

LONGEST_NAME = 200  # of what a message shows of a name that a file holds


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`.

    Raises:
        ModelError: the folder or the file is missing, or it isn't a JSON object.
    """
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}: check the path")
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} has no config.json, so it isn't a model folder: check the path")
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model folder.

    Raises:
        ModelError: the file can't be read, is very long, or holds something else.
    """
    try:
        with path.open("rb") as file:
            contents = file.read(_MOST_JSON + 1)
        if len(contents) > _MOST_JSON:
            raise ModelError(f"{path} is longer than {_MOST_JSON >> 20} MiB: it describes no model; download it again")
        values = json.loads(contents)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} can't be read ({one_line(error)}): copy or download it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds a JSON {type(values).__name__} instead of an object: download it again")
    return values


def count_of(values: dict[str, Any], name: str, default: int) -> int:
    """A size in a model's configuration, `default` if it isn't there or null.

    Raises:
        ModelError: it is no positive whole number.
    """
    value = values.get(name)
    if value is None:
        return default
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelError(f"{name} in config.json is no positive whole number: download it again")
    return value


def some(names: "set[str]", most: int = 3) -> str:
    """A few of `names` for a message."""
    listed = ", ".join(name[:LONGEST_NAME] for name in sorted(names)[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


def one_line(error: Exception, most: int = 200) -> str:
    """The beginning of an error's message on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}..."
